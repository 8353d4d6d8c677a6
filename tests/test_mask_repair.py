"""Garment masks that come with a data set: their holes, and the gaps that they cover."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import Ended
from PIL import Image

from vtcli.core.data.annotations import read_mask
from vtcli.core.data.store import FIELDS, FIELDS_OF, PreparedStore
from vtcli.core.garments.collar import without_collar
from vtcli.core.garments.mask_repair import repair_mask
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.pairs import NONE, PairBatches

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
GARMENTS = sorted((SAMPLES / "test" / "cloth").glob("*.jpg"))


def garment(file: Path) -> tuple[np.ndarray, np.ndarray]:
    mask = read_mask(file.parent.parent / "cloth-mask" / f"{file.stem}.png")
    return np.asarray(Image.open(file)), mask


def holed(mask: np.ndarray) -> np.ndarray:
    """The mask as thresholds leave it of a white garment: the sides are there, of the middle some specks."""
    columns = np.nonzero(mask.any(0))[0]
    middle = slice(columns[len(columns) // 4], columns[3 * len(columns) // 4])
    left = mask.copy()
    left[:, middle] &= np.random.default_rng(1).random(left[:, middle].shape) < 0.2
    return left


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("file", GARMENTS, ids=lambda file: file.stem)
def test_holes_are_filled_and_whole_masks_stay(file: Path) -> None:
    cloth, mask = garment(file)
    assert overlap(repair_mask(cloth, mask), mask) > 0.97
    left = holed(mask)
    assert overlap(left, mask) < 0.75 and overlap(repair_mask(cloth, left), mask) > 0.97
    assert (repair_mask(cloth, left) | ~left).all()


def test_gaps_are_left_out() -> None:
    """A top on straps, whose mask covers what shows between them."""
    cloth = np.full((256, 192, 3), 255, np.uint8)
    covered = np.zeros((256, 192), bool)
    covered[30:220, 40:150] = True
    mask = covered.copy()
    mask[40:90, 60:130] = False
    cloth[mask] = 90, 30, 60
    assert overlap(repair_mask(cloth, covered), mask) > 0.98
    assert np.array_equal(repair_mask(cloth, repair_mask(cloth, covered)), repair_mask(cloth, covered))
    holes = covered & (mask == holed(mask))  # it has holes as well
    assert overlap(repair_mask(cloth, holes | (covered & ~mask)), mask) > 0.98


def test_masks_of_something_else_stay() -> None:
    cloth, mask = garment(GARMENTS[0])
    beside = np.zeros_like(mask)
    beside[:40, :40] = True
    noise = np.random.default_rng(0).integers(0, 256, cloth.shape, dtype=np.uint8)
    assert np.array_equal(repair_mask(cloth, beside), beside)
    assert np.array_equal(repair_mask(noise, holed(mask)), holed(mask))


def test_masks_on_cloth_stay() -> None:
    """Of a background that is nearly plain, colours do not tell what is garment."""
    cloth, mask = garment(GARMENTS[0])
    rng = np.random.default_rng(2)
    folds = cv2.GaussianBlur(rng.normal(0, 60, mask.shape).astype(np.float32), (0, 0), 9)[..., None]
    red = np.array([170.0, 30.0, 40.0]) + folds + rng.normal(0, 4, (*mask.shape, 3))
    laid = np.where(mask[..., None], cloth, red.clip(0, 255)).astype(np.uint8)
    assert np.array_equal(repair_mask(laid, mask), mask)


def test_a_store_has_masks_as_given_and_try_ons_are_made_with_repaired_ones(
    vtcli: Callable[..., Ended], tmp_path: Path
) -> None:
    pictures = []
    for kind in ("holed", "repaired"):
        data = tmp_path / kind
        shutil.copytree(SAMPLES, data)
        for file in (data / "test" / "cloth-mask").glob("*.png"):
            mask = holed(read_mask(file))
            if kind == "repaired":
                photo = Image.open(data / "test" / "cloth" / f"{file.stem}.jpg").convert("RGB")
                mask, given = repair_mask(np.asarray(photo), mask), mask
                assert not np.array_equal(mask, given)
            Image.fromarray(mask).save(file)
        assert vtcli("prepare", data, "--out", tmp_path / f"{kind}-store", "--split", "test").code == 0
        store = PreparedStore.open(tmp_path / f"{kind}-store", "test")
        mask = store.read("cloth_mask", [0])[0]
        file = data / "test" / "cloth-mask" / f"{store.manifest.entries[0].cloth}.png"
        assert np.array_equal(mask > 0, read_mask(file))
        whole, front = (store.read(name, [0])[0] for name in ("garment_mask", "front_mask"))
        photo = store.read("cloth", [0])[0]
        assert np.array_equal(whole > 0, repair_mask(photo, mask > 0))
        assert np.array_equal(front > 0, without_collar(photo, whole > 0))
        out = tmp_path / f"{kind}-results"
        assert vtcli("tryon", "--data", store.root.parent, "-o", out, "--limit", 1).code == 0
        pictures.append(np.asarray(Image.open(next((out / "images").glob("*.png")))))
    assert np.array_equal(*pictures)


def test_a_store_of_the_older_format_reads_the_same(vtcli: Callable[..., Ended], tmp_path: Path) -> None:
    """It has the given masks alone: the others are found when they are read."""
    data, out = tmp_path / "data", tmp_path / "store"
    shutil.copytree(SAMPLES, data)
    for file in sorted((data / "test" / "cloth-mask").glob("*.png"))[::2]:
        Image.fromarray(holed(read_mask(file))).save(file)
    assert vtcli("prepare", data, "--out", out, "--split", "test").code == 0
    store = PreparedStore.open(out, "test")
    new = {name: store.read(name, range(len(store))) for name in FIELDS}
    assert all((new[a] != new[b]).any() for a, b in pairwise(("cloth_mask", "garment_mask", "front_mask")))
    manifest = json.loads((store.root / "manifest.json").read_text())
    manifest |= {"version": 1, "fields": list(FIELDS_OF[1])}
    (store.root / "manifest.json").write_text(json.dumps(manifest))
    for name in set(FIELDS) - set(FIELDS_OF[1]):
        for file in store.root.glob(f"{name}-*.npy"):
            file.unlink()
    older = PreparedStore.open(out, "test")
    order = [2, 0, 2, *range(len(store))]  # the second read has some of them already
    for name in FIELDS:
        assert np.array_equal(older.read(name, order[:3]), new[name][order[:3]])
        assert np.array_equal(older.read(name, order), new[name][order])


def test_a_garments_masks_are_moved_with_it(vtcli: Callable[..., Ended], tmp_path: Path) -> None:
    """Training finds no masks of its own: those of the store go where the augmented garment goes."""
    assert vtcli("prepare", SAMPLES, "--out", tmp_path, "--split", "train").code == 0
    store = PreparedStore.open(tmp_path, "train")
    batches = PairBatches(
        TrainOptions("gmm", tmp_path, tmp_path, seed=1), store, np.arange(len(store)), 16, 0.0
    )
    batch = {name: array.numpy() for name, array in batches.batch(0, NONE, slice(8, 16)).items()}
    for kind in ("", "other_"):
        cloth, whole, front = (batch[f"{kind}{name}"] for name in ("cloth", "cloth_mask", "front_mask"))
        assert set(np.unique(front)) == {0, 255}
        assert not (front > whole).any() and (whole > front).any((1, 2)).sum() >= 4
        for rgb, mask, left in zip(cloth, whole > 0, front > 0, strict=True):
            again = without_collar(rgb, mask)  # on the moved garment it is found in the same place, if at all
            assert overlap(again, left) > 0.95
