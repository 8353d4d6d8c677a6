"""`vtcli prepare`: the store holds what the files say, once each; stopped or repeated, it ends the same."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Ended, drawn_pairs
from PIL import Image, ImageDraw

from vtcli.core.data import labels as L
from vtcli.core.data.prepare import Advanced, Annotate, Doubt, Event, PrepareOptions, SplitDone, prepare
from vtcli.core.data.store import FIELDS, PreparedStore
from vtcli.core.system.errors import VtcliError

Cli = Callable[..., Ended]
SIZE = (64, 48)
SMALL = PrepareOptions(size=SIZE, jobs=1, shard_size=4)


def _save_pair(folder: Path, number: int, fields: dict[str, np.ndarray], *, annotated: bool = True) -> None:
    """Write one pair in VITON's layout."""
    name, cloth = f"{number:06d}_0", f"{number:06d}_1"
    kinds = ("image", "cloth", "cloth-mask", "image-parse", "pose")
    for kind in kinds if annotated else kinds[:2]:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    Image.fromarray(fields["image"]).save(folder / "image" / f"{name}.jpg", quality=92)
    Image.fromarray(fields["cloth"]).save(folder / "cloth" / f"{cloth}.jpg", quality=92)
    if annotated:
        Image.fromarray(fields["cloth_mask"]).save(folder / "cloth-mask" / f"{cloth}.png")
        Image.fromarray(fields["parse"]).save(folder / "image-parse" / f"{name}.png")
        pose = {"people": [{"pose_keypoints_2d": fields["keypoints"].astype(float).ravel().tolist()}]}
        (folder / "pose" / f"{name}_keypoints.json").write_text(json.dumps(pose))


def _data(root: Path, train: int = 10, test: int = 4, size: tuple[int, int] = SIZE) -> dict[str, np.ndarray]:
    """A VITON folder of synthetic pairs; returns the training pairs' fields."""
    every = drawn_pairs(train + test, 5, size)
    for i in range(train + test):
        split = "train" if i < train else "test"
        _save_pair(root / split, i, {k: v[i] for k, v in every.items()})
    _list(root, "train", [(i, i) for i in range(train)])
    persons = list(range(train, train + test))
    _list(root, "test", list(zip(persons, persons[1:] + persons[:1], strict=True)))
    return {k: v[:train] for k, v in every.items()}


def _list(root: Path, split: str, pairs: list[tuple[int, int]]) -> None:
    lines = [f"{a:06d}_0.jpg {b:06d}_1.jpg\n" for a, b in pairs]
    (root / f"{split}_pairs.txt").write_text("".join(lines))


def _run(
    data: Path, out: Path, options: PrepareOptions = SMALL, annotator: Any = None
) -> dict[str, SplitDone]:
    return {e.split: e for e in prepare(data, out, options, annotator) if isinstance(e, SplitDone)}


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def _times(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in sorted(folder.iterdir())}


def test_the_store_holds_what_the_files_say(tmp_path: Path) -> None:
    fields = _data(tmp_path / "viton")
    reports = _run(tmp_path / "viton", tmp_path / "out")
    store = PreparedStore.open(tmp_path / "out", "train")
    assert len(store) == 10 and store.size == SIZE and store.shard_size == 4
    everything = {name: store.read(name, range(10)) for name in FIELDS}
    for name in ("cloth_mask", "parse"):
        assert np.array_equal(everything[name], fields[name])
    assert np.allclose(everything["keypoints"], fields["keypoints"])
    for i, entry in enumerate(store.manifest.entries):
        for kind, name in (("image", entry.name), ("cloth", entry.cloth)):
            decoded = np.asarray(Image.open(tmp_path / "viton/train" / kind / f"{name}.jpg"))
            assert np.array_equal(everything[kind][i], decoded)  # untouched at their own size
        assert entry.derived == () and not entry.seen
    test = PreparedStore.open(tmp_path / "out", "test").manifest
    assert [(e.name, e.cloth) for e in test.entries] == [(f"{i:06d}_0", f"{i:06d}_1") for i in range(10, 14)]
    assert test.unpaired[0] == ("000010_0", "000011_1") and len(test.unpaired) == 4
    assert reports["train"].written == 10 and reports["test"].unseen == 4 and reports["test"].seen == 0


def test_several_processes_write_the_same_store(tmp_path: Path) -> None:
    _data(tmp_path / "viton")
    for jobs, out in ((1, "one"), (2, "two")):
        _run(tmp_path / "viton", tmp_path / out, PrepareOptions(SIZE, "train", jobs, shard_size=4))
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def _plant(root: Path) -> None:
    """Pairs that repeat others by content though their files differ, and test photos out of training."""
    train, test = root / "train", root / "test"

    def copy(kind: str, source: Path, target: Path) -> None:
        image = Image.open(source)
        if kind == "image":  # other bytes, the same pixels
            image.save(target.with_suffix(".png"))
            target.unlink(missing_ok=True)
        else:
            shutil.copy(source, target)

    for number, original in ((10, 3), (11, 3), (12, 7)):
        for kind, end in (
            ("image", "0.jpg"),
            ("cloth", "1.jpg"),
            ("cloth-mask", "1.png"),
            ("image-parse", "0.png"),
        ):
            copy(kind, train / kind / f"{original:06d}_{end}", train / kind / f"{number:06d}_{end}")
    for kind, end in (("cloth", "1.jpg"), ("cloth-mask", "1.png")):  # another garment: another pair
        shutil.copy(train / kind / f"000005_{end}", train / kind / f"000012_{end}")
    for number, original in ((20, 1), (21, 2)):
        copy("image", train / f"image/{original:06d}_0.jpg", test / f"image/{number:06d}_0.jpg")
    copy("image", test / "image/000022_0.jpg", test / "image/000023_0.jpg")
    shutil.copy(test / "cloth/000022_1.jpg", test / "cloth/000023_1.jpg")


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """8 + 5 training pairs (2 of them repetitions) and 5 test pairs (2 seen, 1 a repetition)."""
    root = tmp_path / "viton"
    fields = drawn_pairs(18, 6, SIZE)
    for i in range(18):
        number, split = (i, "train") if i < 13 else (i + 7, "test")
        _save_pair(root / split, number, {k: v[i] for k, v in fields.items()})
    _plant(root)
    _list(root, "train", [(i, i) for i in range(13)])
    _list(root, "test", [(i, 20 + (i - 19) % 5) for i in range(20, 25)])
    return root


def test_planted_duplicates_are_found_by_content(planted: Path, tmp_path: Path, vtcli: Cli) -> None:
    reports = _run(planted, tmp_path / "out")
    train, test = reports["train"], reports["test"]
    assert (train.listed, train.written, train.different, train.duplicates) == (13, 11, 11, 2)
    names = [e.name for e in PreparedStore.open(tmp_path / "out", "train").manifest.entries]
    assert names == [f"{i:06d}_0" for i in (*range(10), 12)]  # the first of each, and the new combination
    assert (test.listed, test.written, test.seen, test.unseen) == (5, 5, 2, 2)
    entries = PreparedStore.open(tmp_path / "out", "test").manifest.entries
    assert [e.seen for e in entries] == [True, True, False, False, False]
    ended = vtcli("prepare", planted, "--out", tmp_path / "cli", "--size", "64x48", "-j", 1)
    assert ended.code == 0
    assert "train: 13 pairs, 11 different" in ended.err
    assert "test: 5 pairs, 2 seen in training, 2 different pairs unseen" in ended.err


def test_keep_duplicates(planted: Path, tmp_path: Path) -> None:
    reports = _run(planted, tmp_path / "out", PrepareOptions(size=SIZE, jobs=1, keep_duplicates=True))
    assert (reports["train"].written, reports["train"].different, reports["train"].duplicates) == (13, 11, 0)


def test_seen_is_known_where_only_the_test_split_is_prepared(planted: Path, tmp_path: Path) -> None:
    def seen(out: Path) -> list[bool]:
        return [e.seen for e in PreparedStore.open(out, "test").manifest.entries]

    options = PrepareOptions(size=SIZE, jobs=1, split="test")
    alone = _run(planted, tmp_path / "alone", options)
    assert set(alone) == {"test"} and not (tmp_path / "alone/train").exists()
    assert seen(tmp_path / "alone") == [True, True, False, False, False]
    # Once the training split's journal knows the photos, they need no second reading.
    _run(planted, tmp_path / "after", PrepareOptions(size=SIZE, jobs=1, split="train"))
    events = list(prepare(planted, tmp_path / "after", options))
    assert not [e for e in events if isinstance(e, Advanced) and e.task == "compare"]
    assert seen(tmp_path / "after") == [True, True, False, False, False]


def test_run_again_it_does_nothing_and_says_so(planted: Path, tmp_path: Path, vtcli: Cli) -> None:
    arguments = ("prepare", planted, "--out", tmp_path / "out", "--size", "64x48", "-j", 1)
    first = vtcli(*arguments)
    before = _times(tmp_path / "out/train") | _times(tmp_path / "out/test")
    again = vtcli(*arguments)
    assert (first.code, again.code) == (0, 0)
    assert _times(tmp_path / "out/train") | _times(tmp_path / "out/test") == before
    assert "nothing to do" in again.err and "nothing to do" not in first.err
    assert again.out == first.out
    forced = vtcli(*arguments, "--force")
    assert forced.code == 0 and "nothing to do" not in forced.err
    after = _times(tmp_path / "out/train") | _times(tmp_path / "out/test")
    assert all(after[name] > before[name] for name in before)


class _Stopped(Exception):
    pass


def _until(events: Iterator[Event], done: int) -> None:
    for event in events:
        if isinstance(event, Advanced) and event.split == "train" and event.done == done:
            raise _Stopped


@pytest.mark.parametrize("stop", [1, 4, 5, 9, 12])
def test_interrupted_it_continues(planted: Path, tmp_path: Path, stop: int) -> None:
    _run(planted, tmp_path / "whole")
    out = tmp_path / "out"
    with pytest.raises(_Stopped):
        _until(prepare(planted, out, SMALL), stop)
    with pytest.raises(VtcliError, match="no prepared store"):
        PreparedStore.open(out, "train")
    kept = _times(out / "train") if stop > 4 else {}  # before its first shard, nothing is written
    events = list(prepare(planted, out, SMALL))
    first = next(e for e in events if isinstance(e, Advanced))
    assert first.done == 1 + (stop - 1) // 4 * 4
    assert _bytes(out) == _bytes(tmp_path / "whole")
    now = _times(out / "train")
    assert all(now[name] == kept[name] for name in kept if name.endswith(".npy"))


def test_a_journal_cut_short_is_no_obstacle(planted: Path, tmp_path: Path) -> None:
    _run(planted, tmp_path / "out")
    whole = _bytes(tmp_path / "out")
    journal = tmp_path / "out/train/journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    (tmp_path / "out/train/manifest.json").unlink()
    (tmp_path / "out/train/parse-0001.npy").write_bytes(b"\x93NUMPY")
    _run(planted, tmp_path / "out")
    assert _bytes(tmp_path / "out") == whole


def test_changed_inputs_are_read_anew_from_their_shard_on(planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _run(planted, out)
    before = _times(out / "train")
    photo = planted / "train/image/000006_0.jpg"
    Image.fromarray(255 - np.asarray(Image.open(photo))).save(photo)
    _run(planted, out)
    after = _times(out / "train")
    assert after["image-0000.npy"] == before["image-0000.npy"]
    assert after["image-0001.npy"] > before["image-0001.npy"]
    fresh = tmp_path / "fresh"
    _run(planted, fresh)
    assert _bytes(out) == _bytes(fresh)


def test_fewer_pairs_leave_no_old_shards(planted: Path, tmp_path: Path) -> None:
    _run(planted, tmp_path / "out")
    _list(planted, "train", [(i, i) for i in range(5)])
    reports = _run(planted, tmp_path / "out")
    assert reports["train"].written == 5
    assert sorted(p.name for p in (tmp_path / "out/train").glob("image-*")) == [
        "image-0000.npy",
        "image-0001.npy",
    ]


def test_another_folders_store_is_not_overwritten(planted: Path, tmp_path: Path, vtcli: Cli) -> None:
    _run(planted, tmp_path / "out")
    before = _bytes(tmp_path / "out")
    ended = vtcli("prepare", planted, "--out", tmp_path / "out", "--size", "128x96")
    assert ended.code == 1 and "--force" in ended.err and ended.err.count("\n") <= 2
    assert _bytes(tmp_path / "out") == before
    forced = vtcli("prepare", planted, "--out", tmp_path / "out", "--size", "128x96", "--force", "-j", 1)
    assert forced.code == 0 and PreparedStore.open(tmp_path / "out", "train").size == (128, 96)


def test_a_store_by_an_older_vtcli_is_not_overwritten(planted: Path, tmp_path: Path, vtcli: Cli) -> None:
    out = tmp_path / "out"
    _run(planted, out)
    for file in out.glob("*/journal.jsonl"):
        first, *rest = file.read_text().splitlines()
        header = json.loads(first)
        del header["options"]["store"]
        file.write_text("\n".join([json.dumps(header), *rest]) + "\n")
    before = _bytes(out)
    ended = vtcli("prepare", planted, "--out", out, "-j", 1)
    assert ended.code == 1 and "older vtcli" in ended.err and "--force" in ended.err
    assert _bytes(out) == before


def test_what_cannot_be_used_is_skipped_with_a_reason(tmp_path: Path, vtcli: Cli) -> None:
    root = tmp_path / "viton"
    _data(root)
    train = root / "train"
    (train / "image/000001_0.jpg").write_bytes(b"\xff\xd8 cut")
    (train / "cloth/000002_1.jpg").unlink()
    Image.fromarray(np.full(SIZE, 99, np.uint8)).save(train / "image-parse/000003_0.png")
    (train / "pose/000004_0_keypoints.json").write_text('{"people": [{"pose_keypoints_2d": [1, 2, 3]}]}')
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(train / "image-parse/000005_0.png")
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(train / "cloth-mask/000006_1.png")
    arguments = ("prepare", root, "--out", tmp_path / "out", "--size", "64x48", "-j", 1)
    ended = vtcli(*arguments)
    assert ended.code == 0 and "6 skipped" in ended.err
    with (tmp_path / "out/train/skipped.csv").open(newline="") as stream:
        rows = {row["file"]: row["reason"] for row in csv.DictReader(stream)}
    expected = {
        "train/image/000001_0.jpg": "picture",
        "train/image/000002_0.jpg": "garment 000002_1 is missing",
        "train/image-parse/000003_0.png": "label 99",
        "train/pose/000004_0_keypoints.json": "3 joint values",
        "train/image-parse/000005_0.png": "48x48",
        "train/cloth-mask/000006_1.png": "empty",
    }
    assert rows.keys() == expected.keys()
    assert all(expected[file] in reason for file, reason in rows.items())
    assert not (tmp_path / "out/test/skipped.csv").exists()
    names = [e.name for e in PreparedStore.open(tmp_path / "out", "train").manifest.entries]
    assert names == [f"{i:06d}_0" for i in (0, 7, 8, 9)]
    strict = vtcli(*arguments, "--strict")
    assert strict.code == 1 and "6 skipped" in strict.err


def test_unpaired_lines_that_the_store_cannot_serve_are_reported(tmp_path: Path) -> None:
    _data(tmp_path / "viton")
    (tmp_path / "viton/test/image/000011_0.jpg").write_bytes(b"broken")
    report = _run(tmp_path / "viton", tmp_path / "out")["test"]
    manifest = PreparedStore.open(tmp_path / "out", "test").manifest
    assert manifest.unpaired == [("000012_0", "000013_1"), ("000013_0", "000010_1")]
    assert [s.file for s in report.skipped] == ["test/image/000011_0.jpg", "test/cloth/000011_1"]


def test_a_folder_of_blank_masks_says_why_nothing_is_left(tmp_path: Path, vtcli: Cli) -> None:
    _data(tmp_path / "viton", train=3, test=0)
    for file in (tmp_path / "viton/train/cloth-mask").iterdir():
        Image.new("L", (SIZE[1], SIZE[0])).save(file)
    ended = vtcli(
        "prepare", tmp_path / "viton", "--split", "train", "--size", "64x48", "-o", tmp_path / "out", "-j", 1
    )
    assert ended.code == 1 and "no train pair could be used (the mask is empty); see skipped.csv" in ended.err


def test_nothing_left_is_an_error(tmp_path: Path, vtcli: Cli) -> None:
    root = tmp_path / "viton"
    _data(root, train=2, test=1)
    for photo in (root / "train/image").iterdir():
        photo.write_bytes(b"")
    ended = vtcli("prepare", root, "--out", tmp_path / "out", "--size", "64x48", "-j", 1)
    assert ended.code == 1 and "no train pair could be used" in ended.err
    assert not (tmp_path / "out/train/manifest.json").exists()
    assert (tmp_path / "out/train/skipped.csv").is_file() and len(
        PreparedStore.open(tmp_path / "out", "test")
    ) == 1


class Seen:
    """Networks that see what a test says; garments lie where the picture is darkest."""

    sha256 = "cafe" * 16

    def __init__(self, people: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]) -> None:
        self.people = people

    def garment(self, picture: np.ndarray) -> np.ndarray:
        return np.asarray(picture.mean(2) < 60)


def _annotator(calls: list[int]) -> Any:
    def annotate(photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        calls.append(len(photos))
        parse = np.where(photos[..., 0] > 127, L.UPPER_CLOTHES, L.BACKGROUND).astype(np.uint8)
        joints = np.zeros((len(photos), L.JOINTS, 3), np.float32)
        joints[:, L.NOSE] = (*photos[:, 0, 0, :2].T.mean(1), 1.0)
        return parse, joints

    return lambda: Seen(annotate)


def test_what_is_missing_is_made(tmp_path: Path) -> None:
    fields = drawn_pairs(6, 8, SIZE)
    for i in range(6):
        for kind in ("image", "cloth"):
            (tmp_path / "raw" / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(fields[kind][i]).save(tmp_path / f"raw/{kind}/look {i}.png")
    calls: list[int] = []
    report = _run(tmp_path / "raw", tmp_path / "out", SMALL, _annotator(calls))["train"]
    assert calls == [4, 2] and report.derived == {"cloth_mask": 6, "parse": 6, "keypoints": 6}
    store = PreparedStore.open(tmp_path / "out", "train")
    assert store.manifest.layout == "raw" and store.manifest.entries[0].name == "look 0"
    assert store.manifest.entries[0].derived == ("cloth_mask", "parse", "keypoints")
    assert store.manifest.derived_by["parse"] == store.manifest.derived_by["keypoints"]
    assert (
        "cafe" * 16 in store.manifest.derived_by["parse"]
        and "garment" in store.manifest.derived_by["cloth_mask"]
    )
    masks = store.read("cloth_mask", range(6)) > 0
    wanted = fields["cloth_mask"] > 0
    assert (masks & wanted).sum() / (masks | wanted).sum() > 0.9
    expected = np.where(fields["image"][..., 0] > 127, L.UPPER_CLOTHES, 0)
    assert np.array_equal(store.read("parse", range(6)), expected)
    # Other weights make the annotations anew; the same ones do nothing.
    _run(tmp_path / "raw", tmp_path / "out", SMALL, _annotator(calls))
    assert len(calls) == 2


def test_an_alpha_channel_marks_a_garment_a_card_or_nothing(tmp_path: Path) -> None:
    """A window with round corners is no garment: it is cut out of the picture; an inverted alpha channel is refused."""
    _data(tmp_path / "viton", train=3, test=0)
    train = tmp_path / "viton/train"
    shutil.rmtree(train / "cloth-mask")
    for number in range(3):
        cloth = Image.new("RGB", (384, 512), "white")
        ImageDraw.Draw(cloth).rectangle((90, 120, 290, 420), fill=(40, 60, 150))
        alpha = Image.new("L", cloth.size, 0)
        if number < 2:
            ImageDraw.Draw(alpha).rounded_rectangle((0, 0, 383, 511), 40, fill=255)
        else:
            ImageDraw.Draw(alpha).rectangle((0, 0, 383, 511), fill=255)
            ImageDraw.Draw(alpha).rectangle((90, 120, 290, 420), fill=0)
        cloth.putalpha(alpha if number else 255)
        (train / f"cloth/{number:06d}_1.jpg").unlink()
        cloth.save(train / f"cloth/{number:06d}_1.png")
    reports = _run(tmp_path / "viton", tmp_path / "out", PrepareOptions((256, 192), "train", 1))
    store = PreparedStore.open(tmp_path / "out", "train")
    plain, card = store.read("cloth_mask", range(2)) > 0
    assert reports["train"].written == len(store) == 2
    assert (plain & card).sum() / (plain | card).sum() > 0.97 and 0.2 < plain.mean() < 0.4
    with (tmp_path / "out/train/skipped.csv").open(newline="") as stream:
        (skipped,) = csv.DictReader(stream)
    assert "alpha channel is inverted" in skipped["reason"] and skipped["file"].endswith("000002_1.png")


def test_given_annotations_that_do_not_fit_are_told(tmp_path: Path, vtcli: Cli) -> None:
    """A folder of inverted masks: told, and with --strict the end, before anything is written."""
    _data(tmp_path / "viton", train=6, test=0)
    for file in (tmp_path / "viton/train/cloth-mask").iterdir():
        Image.fromarray(255 - np.asarray(Image.open(file).convert("L"))).save(file)
    arguments = ("prepare", tmp_path / "viton", "--split", "train", "--size", "128x96", "-o")
    ended = vtcli(*arguments, tmp_path / "told")
    assert ended.code == 0 and "6 of 6 garment masks" in ended.err and "inverted" in ended.err
    ended = vtcli(*arguments, tmp_path / "strict", "--strict")
    assert (
        ended.code == 1 and "inverted" in ended.err and not (tmp_path / "strict/train/manifest.json").exists()
    )


def test_a_single_mask_that_does_not_fit_is_told(tmp_path: Path, vtcli: Cli) -> None:
    _data(tmp_path / "viton", train=6, test=0)
    first = sorted((tmp_path / "viton/train/cloth-mask").iterdir())[0]
    Image.fromarray(255 - np.asarray(Image.open(first).convert("L"))).save(first)
    arguments = ("prepare", tmp_path / "viton", "--size", "64x48", "--device", "cpu", "-j", 1, "--out")
    ended = vtcli(*arguments, tmp_path / "told")
    assert ended.code == 0 and "1 of 6 garment masks" in ended.err
    assert vtcli(*arguments, tmp_path / "strict", "--strict").code == 1


def test_garments_that_colours_do_not_tell_are_left_to_the_network(tmp_path: Path) -> None:
    """A dark shirt on boards of its own browns, and one on paper."""
    fields = _data(tmp_path / "viton", train=2, test=0)
    shutil.rmtree(tmp_path / "viton/train/cloth-mask")
    height, width = SIZE
    boards = np.random.default_rng(3).integers(70, 220, (height // 4, width // 4, 3), np.uint8)
    boards = boards.repeat(4, 0).repeat(4, 1)
    shirt = np.zeros(SIZE, bool)
    shirt[height // 4 : -height // 4, width // 4 : -width // 4] = True
    for file, ground in zip(
        sorted((tmp_path / "viton/train/cloth").iterdir()), (boards, np.full_like(boards, 255)), strict=True
    ):
        Image.fromarray(np.where(shirt[..., None], 20, ground).astype(np.uint8)).save(file, quality=95)
    people = lambda photos: (fields["parse"][: len(photos)], fields["keypoints"][: len(photos)])  # noqa: E731
    _run(tmp_path / "viton", tmp_path / "out", SMALL, lambda: Seen(people))
    store = PreparedStore.open(tmp_path / "out", "train")
    for field in ("cloth_mask", "garment_mask"):
        for mask in store.read(field, [0, 1]) > 0:
            assert (mask & shirt).sum() / (mask | shirt).sum() > 0.9
    alone = _run(tmp_path / "viton", tmp_path / "alone", SMALL)["train"]
    assert alone.written == 2  # without networks by colour alone


def test_parse_maps_and_joints_are_compared_with_the_parsers(tmp_path: Path) -> None:
    fields = _data(tmp_path / "viton", train=6, test=0)

    def load(mirrored: bool) -> Annotate:
        def annotate(photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            joints = fields["keypoints"][: len(photos)]
            return fields["parse"][: len(photos)], joints[:, L.FLIP_JOINTS] if mirrored else joints

        return Seen(annotate)

    for mirrored in (False, True):
        events = prepare(tmp_path / "viton", tmp_path / f"{mirrored}", SMALL, lambda m=mirrored: load(m))
        told = [event for event in events if isinstance(event, Doubt)]
        assert [(d.what, d.wrong) for d in told] == ([("poses", 6)] if mirrored else [])
        assert all("left and right" in d.reason for d in told)


def test_raw_photos_are_parsed_by_the_project_itself(tmp_path: Path, vtcli: Cli) -> None:
    samples = Path(__file__).resolve().parent.parent / "sample_data" / "train"
    names = sorted(f.stem.removesuffix("_0") for f in (samples / "image").iterdir())[:2]
    for kind, end in (("image", "0"), ("cloth", "1")):
        (tmp_path / "raw" / kind).mkdir(parents=True)
        for i, name in enumerate(names):
            shutil.copy(samples / kind / f"{name}_{end}.jpg", tmp_path / f"raw/{kind}/look {i}.jpg")
    ended = vtcli("prepare", tmp_path / "raw", "--out", tmp_path / "out", "--device", "cpu", "-j", 1)
    assert ended.code == 0 and "2 parse" in ended.err
    store = PreparedStore.open(tmp_path / "out", "train")
    parse = store.read("parse", [0])[0]
    truth = np.asarray(Image.open(samples / f"image-parse/{names[0]}_0.png"))
    assert ((parse > 0) == (truth > 0)).mean() > 0.9
    assert store.read("keypoints", [0])[0, L.NECK, 2] > 0
    assert len(store.manifest.derived_by["parse"].rpartition(":")[2]) == 64


def test_only_the_gaps_are_filled(tmp_path: Path) -> None:
    fields = _data(tmp_path / "viton", train=4, test=1)
    (tmp_path / "viton/train/image-parse/000001_0.png").unlink()
    (tmp_path / "viton/train/pose/000002_0_keypoints.json").write_text('{"people": []}')
    (tmp_path / "viton/train/cloth-mask/000003_1.png").unlink()
    calls: list[int] = []
    _run(tmp_path / "viton", tmp_path / "out", SMALL, _annotator(calls))
    store = PreparedStore.open(tmp_path / "out", "train")
    assert [e.derived for e in store.manifest.entries] == [(), ("parse",), ("keypoints",), ("cloth_mask",)]
    assert calls == [4, 2, 1]  # the samples of both splits that are compared, and between them the gaps
    assert np.array_equal(store.read("parse", [2]), fields["parse"][[2]])
    assert np.allclose(store.read("keypoints", [1]), fields["keypoints"][[1]])
    with pytest.raises(VtcliError, match="no parser"):
        _run(tmp_path / "viton", tmp_path / "none")


def test_a_cut_out_garment_brings_its_own_mask(tmp_path: Path) -> None:
    (tmp_path / "raw/image").mkdir(parents=True)
    (tmp_path / "raw/cloth").mkdir()
    Image.fromarray(drawn_pairs(1, 0, SIZE)["image"][0]).save(tmp_path / "raw/image/a.png")
    cut = np.zeros((*SIZE, 4), np.uint8)
    cut[10:50, 8:40] = (240, 240, 240, 255)
    Image.fromarray(cut).save(tmp_path / "raw/cloth/a.png")
    _run(tmp_path / "raw", tmp_path / "out", SMALL, _annotator([]))
    store = PreparedStore.open(tmp_path / "out", "train")
    assert np.array_equal(store.read("cloth_mask", [0])[0] > 0, cut[..., 3] > 0)
    assert (store.read("cloth", [0])[0][:10] == 255).all() and "cloth_mask" not in store.manifest.entries[
        0
    ].derived


def test_pictures_of_other_sizes_are_scaled_and_padded(tmp_path: Path) -> None:
    fields = {k: v[0] for k, v in drawn_pairs(1, 3, (192, 144)).items()}
    _save_pair(tmp_path / "viton/train", 0, fields)
    wide = np.pad(fields["image"], ((0, 0), (24, 24), (0, 0)), mode="edge")  # 1:1 rather than 3:4
    moved = fields["keypoints"].copy()
    moved[moved[:, 2] > 0, 0] += 24
    parse = np.pad(fields["parse"], ((0, 0), (24, 24)))
    _save_pair(tmp_path / "viton/train", 1, fields | {"image": wide, "parse": parse, "keypoints": moved})
    _run(tmp_path / "viton", tmp_path / "out")
    store = PreparedStore.open(tmp_path / "out", "train")
    joints, labels = store.read("keypoints", [0, 1]), store.read("parse", [0, 1])
    here = fields["keypoints"][:, 2] > 0
    assert np.allclose(joints[0, here, :2], fields["keypoints"][here, :2] / 3, atol=1e-3)
    # The wide photo is 48 pixels across: a square of 48 in the middle of 64 rows.
    assert np.allclose(joints[1, here, 0], moved[here, 0] / 4, atol=1e-3)
    assert np.allclose(joints[1, here, 1], moved[here, 1] / 4 + 8, atol=1e-3)
    assert (labels[1, :8] == 0).all() and (labels[1, 56:] == 0).all() and labels[1, 8:56].any()
    assert np.array_equal(labels[0], fields["parse"][1::3, 1::3])


def test_viton_hd_maps_cihp_labels(tmp_path: Path, vtcli: Cli) -> None:
    fields = {k: v[0] for k, v in drawn_pairs(1, 3, SIZE).items()}
    folder = tmp_path / "hd/test"
    for kind in ("image", "cloth", "cloth-mask", "image-parse-v3", "openpose_json"):
        (folder / kind).mkdir(parents=True)
    for kind, field, end in (
        ("image", "image", "jpg"),
        ("cloth", "cloth", "jpg"),
        ("cloth-mask", "cloth_mask", "jpg"),
    ):
        Image.fromarray(fields[field]).save(folder / kind / f"00001_00.{end}")
    parse = fields["parse"].copy()
    parse[34:38, 20:28] = 10  # CIHP: the skin of the neck
    Image.fromarray(parse).save(folder / "image-parse-v3/00001_00.png")
    body25 = np.zeros((25, 3))
    body25[list(L.BODY25_TO_COCO18)] = fields["keypoints"]
    pose = {"people": [{"pose_keypoints_2d": body25.ravel().tolist()}]}
    (folder / "openpose_json/00001_00_keypoints.json").write_text(json.dumps(pose))
    (tmp_path / "hd/test_pairs.txt").write_text("00001_00.jpg 00001_00.jpg\n")
    ended = vtcli("prepare", tmp_path / "hd", "--out", tmp_path / "out", "--size", "64x48")
    assert ended.code == 0 and "VITON-HD layout" in ended.err
    store = PreparedStore.open(tmp_path / "out", "test")
    assert np.array_equal(store.read("parse", [0])[0], np.where(parse == 10, 0, parse))
    assert np.allclose(store.read("keypoints", [0])[0], fields["keypoints"])
    as_lip = vtcli(
        "prepare", tmp_path / "hd", "--out", tmp_path / "lip", "--size", "64x48", "--labels", "lip"
    )
    assert as_lip.code == 0
    assert (PreparedStore.open(tmp_path / "lip", "test").read("parse", [0])[0] == 10).any()


def test_the_command_tells_what_it_found(planted: Path, tmp_path: Path, vtcli: Cli) -> None:
    ended = vtcli("prepare", planted, "--out", tmp_path / "out", "--size", "64x48", "-j", 1)
    assert "VITON layout" in ended.err
    rows = [
        line.replace("│", " ").split() for line in ended.out.splitlines() if "train" in line or "test" in line
    ]
    assert rows == [["train", "13", "11", "2", "-", "0"], ["test", "5", "5", "0", "2", "0"]]
    quiet = vtcli("prepare", planted, "--out", tmp_path / "quiet", "--size", "64x48", "-j", 1, "--quiet")
    assert quiet.err == "" and quiet.out == ended.out


@pytest.mark.parametrize("size", ["256", "256x", "0x10", "axb", "99999x9", "-256x192"])
def test_sizes_that_are_none_are_usage_problems(tmp_path: Path, vtcli: Cli, size: str) -> None:
    ended = vtcli("prepare", tmp_path, "--size", size)
    assert ended.code == 2 and ("HEIGHTxWIDTH" in ended.err or "side" in ended.err)


def test_help_teaches_by_example(vtcli: Cli) -> None:
    ended = vtcli("prepare", "--help")
    assert ended.code == 0 and "vtcli prepare ~/viton --out prepared" in ended.out
    assert vtcli("prepare", "nowhere").err.strip() == "vtcli: nowhere: no such folder"


def test_not_a_data_folder(tmp_path: Path, vtcli: Cli) -> None:
    ended = vtcli("prepare", tmp_path, "--out", tmp_path / "p")
    assert ended.code == 1 and str(tmp_path) in ended.err and len(ended.err.strip().splitlines()) == 1


def _as_dress_code(root: Path, fields: dict[str, np.ndarray], number: int) -> None:
    """Write one pair as DressCode does: labels of ATR, joints for 384x512 with four values each."""
    for kind in ("images", "label_maps", "keypoints", "skeletons"):
        (root / "upper_body" / kind).mkdir(parents=True, exist_ok=True)
    atr = np.zeros(L.LABELS, np.uint8)
    for label, lip in enumerate(L.ATR_TO_LIP):
        if label not in (8, 16):  # belt and bag share their LIP label with others
            atr[lip] = label
    name, tops = f"{number:06d}", root / "upper_body"
    Image.fromarray(fields["image"]).save(tops / f"images/{name}_0.jpg", quality=92)
    Image.fromarray(fields["cloth"]).save(tops / f"images/{name}_1.jpg", quality=92)
    Image.fromarray(atr[fields["parse"]]).save(tops / f"label_maps/{name}_4.png")
    scale = 512 / fields["image"].shape[0]
    joints = [
        [x * scale, y * scale, c, i] if c else [-1, -1, 0, -1]
        for i, (x, y, c) in enumerate(fields["keypoints"])
    ]
    (tops / f"keypoints/{name}_2.json").write_text(
        json.dumps({"keypoints": np.array(joints, float).tolist()})
    )


def test_dress_code(tmp_path: Path, vtcli: Cli) -> None:
    fields = drawn_pairs(3, 4, SIZE)
    for i in range(3):
        _as_dress_code(tmp_path / "dresscode", {k: v[i] for k, v in fields.items()}, i)
    (tmp_path / "dresscode/lower_body/images").mkdir(parents=True)
    tops = tmp_path / "dresscode/upper_body"
    (tops / "train_pairs.txt").write_text("000000_0.jpg\t000000_1.jpg\n")
    (tops / "test_pairs_paired.txt").write_text("000001_0.jpg\t000001_1.jpg\n000002_0.jpg\t000002_1.jpg\n")
    (tops / "test_pairs_unpaired.txt").write_text("000001_0.jpg\t000002_1.jpg\n")
    ended = vtcli("prepare", tmp_path / "dresscode", "-o", tmp_path / "out", "--size", "64x48", "-j", 1)
    assert ended.code == 0, ended.err
    assert "DressCode layout, parse maps in ATR labels: train 1 pairs, test 2 pairs" in ended.err
    assert "found and not used: lower_body, upper_body/skeletons" in ended.err
    store = PreparedStore.open(tmp_path / "out", "test")
    assert store.manifest.layout == "dresscode" and store.manifest.unpaired == [("000001_0", "000002_1")]
    assert np.array_equal(store.read("parse", [0, 1]), fields["parse"][1:])
    assert np.allclose(store.read("keypoints", [0, 1]), fields["keypoints"][1:], atol=0.01)


@pytest.mark.parametrize(
    "name", ["photo.heic", "photo.HEIF", "photo.hif", "photo.avif", "photo.jxl", "photo.dng"]
)
def test_pictures_of_unknown_formats_are_listed_as_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without a reader for it, a picture is in `skipped.csv`, never passed over."""
    monkeypatch.setattr("vtcli.core.data.images._learn_heic", lambda: False)
    data = tmp_path / "raw"
    for kind in ("image", "cloth"):
        (data / kind).mkdir(parents=True)
        Image.fromarray(drawn_pairs(1, 0, SIZE)[kind][0]).save(data / kind / "a.png")
    brand = b"avif" if name.endswith("avif") else b"heic" if "h" in Path(name).suffix.lower() else b"\0\0\0\0"
    (data / "image" / name).write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0" * 40)
    Image.fromarray(drawn_pairs(1, 0, SIZE)["cloth"][0]).save(data / "cloth/photo.png")
    report = _run(data, tmp_path / "out", SMALL, _annotator([]))["train"]
    assert report.written == 1
    (row,) = list(csv.reader((tmp_path / "out/train/skipped.csv").open()))[1:]
    assert row[0] == f"image/{name}" and "JPEG or PNG" in row[1]
