"""`vtcli prepare`: what it finds by content, what it derives, and that it does nothing twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Ended
from PIL import Image

from vtcli.core.data.garment import garment_mask
from vtcli.core.data.store import PreparedStore

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
Run = Callable[..., Ended]


@pytest.fixture
def viton(tmp_path: Path) -> Path:
    """A small VITON folder: 6 training pairs of which 2 are copies, 3 test pairs of which 1 is seen."""
    root = tmp_path / "viton"
    train = [line.split()[0] for line in (SAMPLES / "train_pairs.txt").read_text().splitlines()][:4]
    test = [line.split()[0] for line in (SAMPLES / "test_pairs.txt").read_text().splitlines()][:2]

    def copy(split: str, source: str, name: str, to: str) -> None:
        stem, new = name.removesuffix("_0.jpg"), to
        for folder, old, fresh in (
            ("image", f"{stem}_0.jpg", f"{new}_0.jpg"), ("cloth", f"{stem}_1.jpg", f"{new}_1.jpg"),
            ("image-parse", f"{stem}_0.png", f"{new}_0.png"),
            ("pose", f"{stem}_0_keypoints.json", f"{new}_0_keypoints.json"),
        ):  # fmt: skip
            (root / split / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(SAMPLES / source / folder / old, root / split / folder / fresh)
        masks = SAMPLES / source / "cloth-mask"
        (root / split / "cloth-mask").mkdir(parents=True, exist_ok=True)
        mask = next(masks.glob(f"{stem}_1.*"))
        shutil.copy(mask, root / split / "cloth-mask" / f"{new}_1{mask.suffix}")

    for i, name in enumerate([*train, train[0], train[2]]):
        copy("train", "train", name, f"10000{i}")
    for i, name in enumerate(test):
        copy("test", "test", name, f"20000{i}")
    copy("test", "train", train[1], "200002")
    lines = [f"10000{i}_0.jpg 10000{i}_1.jpg" for i in range(6)]
    (root / "train_pairs.txt").write_text("\ufeff" + "\r\n".join(lines) + "\r\n\r\n")
    (root / "test_pairs.txt").write_text(
        "200000_0.jpg 200001_1.jpg\n200001_0.jpg 200002_1.jpg\n200002_0.jpg 200000_1.jpg\n"
    )
    return root


def test_finds_copies_and_seen_photos(vtcli: Run, viton: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    ended = vtcli("prepare", viton, "--out", out, "--jobs", 1)
    assert ended.code == 0, ended.err
    text = ended.out + ended.err
    assert "6 pairs, 4 different" in text and "1 seen in training, 2 different pairs unseen" in text
    train, test = PreparedStore.open(out, "train"), PreparedStore.open(out, "test")
    assert [e.name for e in train.manifest.entries] == [f"10000{i}_0" for i in range(4)]
    assert [e.seen for e in test.manifest.entries] == [False, False, True]
    assert ("200000_0", "200001_1") in test.manifest.unpaired
    kept = vtcli(
        "prepare", viton, "--out", tmp_path / "all", "--split", "train", "--jobs", 1, "--keep-duplicates"
    )
    assert kept.code == 0 and len(PreparedStore.open(tmp_path / "all", "train")) == 6


def test_the_store_holds_the_pictures(vtcli: Run, viton: Path, tmp_path: Path) -> None:
    assert vtcli("prepare", viton, "--out", tmp_path / "p", "--split", "train", "--jobs", 1).code == 0
    store = PreparedStore.open(tmp_path / "p", "train")
    with Image.open(viton / "train" / "image" / "100002_0.jpg") as photo:
        assert np.array_equal(store.read("image", [2])[0], np.asarray(photo.convert("RGB")))
    with Image.open(viton / "train" / "image-parse" / "100002_0.png") as parse:
        assert np.array_equal(store.read("parse", [2])[0], np.asarray(parse))
    pose = json.loads((viton / "train" / "pose" / "100002_0_keypoints.json").read_text())
    person = pose["people"][0]
    points = np.array(person.get("pose_keypoints", person.get("pose_keypoints_2d")), np.float32).reshape(
        18, 3
    )
    there = store.read("keypoints", [2])[0][:, 0] > 1
    np.testing.assert_allclose(store.read("keypoints", [2])[0][there], points[there], atol=1e-3)
    assert set(np.unique(store.read("cloth_mask", [2]))) == {0, 255}


def test_again_does_nothing_and_force_writes_the_same(vtcli: Run, viton: Path, tmp_path: Path) -> None:
    out = tmp_path / "prepared"
    assert vtcli("prepare", viton, "--out", out, "--jobs", 1).code == 0
    files = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(out.rglob("*.npy"))}
    again = vtcli("prepare", viton, "--out", out, "--jobs", 1)
    assert again.code == 0 and "up to date" in again.out + again.err
    assert all(p.stat().st_mtime_ns == when for p, (when, _) in files.items())
    assert vtcli("prepare", viton, "--out", out, "--jobs", 1, "--force").code == 0
    assert all(p.read_bytes() == data for p, (_, data) in files.items())


def test_broken_files_are_skipped_and_named(vtcli: Run, viton: Path, tmp_path: Path) -> None:
    broken = viton / "train" / "image" / "100001_0.jpg"
    broken.write_bytes(broken.read_bytes()[:2000])
    ended = vtcli("prepare", viton, "--out", tmp_path / "p", "--split", "train", "--jobs", 1)
    assert ended.code == 0
    assert "100001_0" in (tmp_path / "p" / "train" / "skipped.csv").read_text()
    assert len(PreparedStore.open(tmp_path / "p", "train")) == 3
    assert (
        vtcli("prepare", viton, "--out", tmp_path / "q", "--split", "train", "--jobs", 1, "--strict").code
        == 1
    )


def test_raw_folders_get_masks_parse_and_joints(vtcli: Run, viton: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for folder in ("image", "cloth"):
        (raw / folder).mkdir(parents=True)
    for i, name in enumerate(("100000", "100003")):
        shutil.copy(viton / "train" / "image" / f"{name}_0.jpg", raw / "image" / f"look {i}.jpg")
        shutil.copy(viton / "train" / "cloth" / f"{name}_1.jpg", raw / "cloth" / f"look {i}.jpg")
    ended = vtcli("prepare", raw, "--out", tmp_path / "p", "--jobs", 1, "--device", "cpu")
    assert ended.code == 0, ended.err
    folder = next((tmp_path / "p").glob("*/manifest.json")).parent
    store = PreparedStore.open(folder)
    assert set(store.manifest.entries[0].derived) == {"cloth_mask", "parse", "keypoints"}
    with Image.open(viton / "train" / "image-parse" / "100000_0.png") as parse:
        truth = np.asarray(parse)
    ours = store.read("parse", [0])[0]
    assert ((ours > 0) == (truth > 0)).mean() > 0.9


@pytest.mark.parametrize("backdrop", [(255, 255, 255), (205, 205, 208), (120, 160, 200)])
def test_garments_are_cut_out_of_plain_backgrounds(backdrop: tuple[int, int, int]) -> None:
    """White, grey and coloured shop backgrounds, with the garment's own mask as truth."""
    ious = []
    for file in sorted((SAMPLES / "test" / "cloth").glob("*.jpg"))[:6]:
        with (
            Image.open(file) as picture,
            Image.open(next((SAMPLES / "test" / "cloth-mask").glob(f"{file.stem}.*"))) as m,
        ):
            rgb, truth = np.asarray(picture.convert("RGB")), np.asarray(m.convert("L")) >= 128
        shown = np.where(truth[..., None], rgb, np.uint8(backdrop)).astype(np.uint8)
        ours = garment_mask(shown)
        ious.append((ours & truth).sum() / (ours | truth).sum())
    assert np.mean(ious) > 0.93, ious


def test_not_a_data_set(vtcli: Run, tmp_path: Path) -> None:
    ended = vtcli("prepare", tmp_path, "--out", tmp_path / "p")
    assert ended.code in (1, 2) and str(tmp_path) in ended.err and len(ended.err.strip().splitlines()) == 1
