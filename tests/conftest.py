"""What the tests share: a runner of the command line, and a tiny prepared store of simple drawings of people."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

# Before rich looks: tables must not be cut off at 80 columns.
os.environ["COLUMNS"] = "200"

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from benchmarks.reliability import forks
from vtcli.core.data import labels as L
from vtcli.core.data.store import FIELDS, Entry, Manifest, write_manifest, write_shard
from vtcli.core.garments.masks import find_masks
from vtcli.core.system.runtime import keep_memory

keep_memory()  # as the commands do
torch.set_num_threads(1)  # the pictures are tiny: threads would only wait for each other

STORE_SIZE = (128, 96)


@dataclass
class Ended:
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def _loaded(
    owner: type, load: Callable[..., Any], weights: Path | None, *arguments: object, **more: object
) -> Any:
    """What `load` gives, kept where `weights` are vtcli's own."""
    if weights is not None:
        return load(weights, *arguments, **more)
    key = (owner, arguments, *sorted(more.items()))
    if key not in _KEPT:
        _KEPT[key] = load(weights, *arguments, **more)
    return _KEPT[key]


_KEPT: dict[tuple[object, ...], Any] = {}


@pytest.fixture
def vtcli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Run the command line in this process: `vtcli("train", "gmm", "--steps", 2)`. Networks that come with vtcli are loaded
    once for all tests."""
    from vtcli.cli.app import main
    from vtcli.core.tryon.networks import Networks
    from vtcli.core.tryon.photos.data_annotator import DataAnnotator
    from vtcli.core.tryon.pipeline import TryOn

    for owner in (TryOn, Networks, DataAnnotator):
        monkeypatch.setattr(owner, "load", partial(_loaded, owner, owner.load))

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["vtcli", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        return Ended(code if isinstance(code, int) else int(code is not None), captured.out, captured.err)

    return run


def drawn_pair(rng: np.random.Generator, size: tuple[int, int] = STORE_SIZE) -> dict[str, np.ndarray]:
    """One pair's fields: a person of rectangles and circles, and a garment on white."""
    height, width = size
    unit = height / 128
    middle, shoulder, hip = width / 2 + rng.normal(0, 2 * unit), 40 * unit, 92 * unit
    half, reach = 17 * unit + rng.normal(0, unit), 30 * unit
    parse = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(parse)

    def joints_to(x: float, y: float) -> tuple[float, float]:
        return middle + x, y

    right, left = joints_to(-half, shoulder), joints_to(half, shoulder)
    elbows = [(right[0] - 8 * unit, shoulder + reach * 0.8), (left[0] + 8 * unit, shoulder + reach * 0.8)]
    wrists = [(right[0] - 4 * unit, shoulder + reach * 1.5), (left[0] + 4 * unit, shoulder + reach * 1.5)]
    thick = max(2, round(8 * unit))
    for side, label, a, b, c in (
        (0, L.RIGHT_ARM, right, elbows[0], wrists[0]),
        (1, L.LEFT_ARM, left, elbows[1], wrists[1]),
    ):
        hand = (c[0] + (c[0] - b[0]) * 0.4, c[1] + (c[1] - b[1]) * 0.4)
        draw.line([a, b, hand], fill=label, width=thick)
        del side
    draw.rectangle((middle - half, hip, middle + half, height), fill=L.PANTS)
    draw.rectangle((middle - half, shoulder, middle + half, hip), fill=L.UPPER_CLOTHES)
    head = (middle, 20 * unit)
    draw.ellipse((head[0] - 11 * unit, 4 * unit, head[0] + 11 * unit, 30 * unit), fill=L.HAIR)
    draw.ellipse((head[0] - 8 * unit, 8 * unit, head[0] + 8 * unit, 33 * unit), fill=L.FACE)
    labels = np.asarray(parse, dtype=np.uint8).copy()

    colours = np.full((L.LABELS, 3), 235, np.uint8)
    skin = rng.integers(90, 220, 3)
    for label in L.SKIN_LABELS:
        colours[label] = skin
    colours[L.HAIR], colours[L.PANTS] = rng.integers(0, 90, 3), rng.integers(20, 160, 3)
    colours[L.UPPER_CLOTHES] = cloth_colour = rng.integers(0, 256, 3)
    image = colours[labels].astype(np.int64)
    rows = np.arange(height)[:, None, None]
    stripes = np.where(rows // max(2, round(6 * unit)) % 2 == 0, 0, 40)
    image = np.where((labels == L.UPPER_CLOTHES)[..., None], np.clip(image - stripes, 0, 255), image)
    image = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)

    mask = Image.new("L", (width, height), 0)
    ImageDraw.Draw(mask).rectangle((0.22 * width, 0.2 * height, 0.78 * width, 0.8 * height), fill=255)
    mask_array = np.asarray(mask, dtype=np.uint8).copy()
    cloth = np.where(mask_array[..., None] > 0, np.clip(cloth_colour - stripes, 0, 255), 255).astype(np.uint8)

    keypoints = np.zeros((L.JOINTS, 3), np.float32)
    places = {
        L.NOSE: head, L.NECK: (middle, 36 * unit), L.R_SHOULDER: right, L.R_ELBOW: elbows[0],
        L.R_WRIST: wrists[0], L.L_SHOULDER: left, L.L_ELBOW: elbows[1], L.L_WRIST: wrists[1],
        L.R_HIP: joints_to(-0.7 * half, hip), L.L_HIP: joints_to(0.7 * half, hip),
        L.R_EYE: joints_to(-3 * unit, 16 * unit), L.L_EYE: joints_to(3 * unit, 16 * unit),
    }  # fmt: skip
    for joint, place in places.items():
        keypoints[joint] = (*place, 0.9)
    masks = find_masks(cloth, mask_array > 0)
    return {
        "image": image, "cloth": cloth, "cloth_mask": mask_array, "garment_mask": 255 * masks.whole.astype(np.uint8),
        "front_mask": 255 * masks.front.astype(np.uint8), "parse": labels, "keypoints": keypoints,
    }  # fmt: skip


def drawn_pairs(count: int, seed: int, size: tuple[int, int] = STORE_SIZE) -> dict[str, np.ndarray]:
    """Fields of `count` such pairs, stacked."""
    rng = np.random.default_rng(seed)
    pairs = [drawn_pair(rng, size) for _ in range(count)]
    return {name: np.stack([pair[name] for pair in pairs]) for name in FIELDS}


def write_store(root: Path, split: str, count: int, seed: int, size: tuple[int, int] = STORE_SIZE) -> None:
    """Write `root/split`, a prepared store of `count` such pairs."""
    fields = drawn_pairs(count, seed, size)
    (root / split).mkdir(parents=True)
    write_shard(root / split, 0, fields)
    entries = [Entry(f"{split}{i:03d}_0", f"{split}{i:03d}_1", hash=f"{split}{i}") for i in range(count)]
    write_manifest(root / split, Manifest(split, size, entries))


@contextmanager
def small_presets() -> Iterator[None]:
    """GMM and TOM of `lite` in small; weights that come with vtcli cannot be loaded meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        for presets, settings in forks.small_presets():
            patch.setitem(presets, "lite", settings)
        yield


@pytest.fixture
def small_networks() -> Iterator[None]:
    """`small_presets` for a test."""
    with small_presets():
        yield


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared store with 12 training and 4 test pairs at 128×96."""
    root = tmp_path_factory.mktemp("prepared")
    write_store(root, "train", 12, seed=1)
    write_store(root, "test", 4, seed=2)
    return root
