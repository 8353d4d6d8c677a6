"""Data folders of every layout, and pairs lists as people have them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from vtcli.core.data.layouts import find_layout, own_cloth, read_pairs_list, stem
from vtcli.core.system.errors import VtcliError


def _touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def _viton(root: Path, split: str, *numbers: str) -> None:
    for n in numbers:
        _touch(
            root / split, f"image/{n}_0.jpg", f"cloth/{n}_1.jpg", f"cloth-mask/{n}_1.png",
            f"image-parse/{n}_0.png", f"pose/{n}_0_keypoints.json",
        )  # fmt: skip


def _hd(root: Path, split: str, *numbers: str) -> None:
    for n in numbers:
        _touch(
            root / split, f"image/{n}_00.jpg", f"cloth/{n}_00.jpg", f"cloth-mask/{n}_00.jpg",
            f"image-parse-v3/{n}_00.png", f"image-parse-agnostic-v3.2/{n}_00.png",
            f"openpose_json/{n}_00_keypoints.json",
        )  # fmt: skip


def test_viton(tmp_path: Path) -> None:
    _viton(tmp_path, "train", "000001", "000002", "000003")
    _viton(tmp_path, "test", "000008", "000009")
    (tmp_path / "train_pairs.txt").write_text("000003_0.jpg 000003_1.jpg\n000001_0.jpg 000001_1.jpg\n")
    (tmp_path / "test_pairs.txt").write_text("000009_0.jpg 000008_1.jpg\n000008_0.jpg 000009_1.jpg\n")
    layout = find_layout(tmp_path)
    assert (layout.title, layout.labels) == ("VITON", "lip")
    train, test = layout.splits["train"], layout.splits["test"]
    assert [(p.name, p.cloth) for p in train.pairs] == [("000003_0", "000003_1"), ("000001_0", "000001_1")]
    first = train.pairs[0]
    assert [f.name for f in first.files()] == [
        "000003_0.jpg", "000003_1.jpg", "000003_1.png", "000003_0.png", "000003_0_keypoints.json",
    ]  # fmt: skip
    # The test list is unpaired: the entries are its persons in what they wear.
    assert [(p.name, p.cloth) for p in test.pairs] == [("000009_0", "000009_1"), ("000008_0", "000008_1")]
    assert test.unpaired == [("000009_0", "000008_1"), ("000008_0", "000009_1")]
    assert train.unpaired == []


def test_viton_hd(tmp_path: Path) -> None:
    _hd(tmp_path, "test", "00001", "00002")
    (tmp_path / "test_pairs.txt").write_text("00001_00.jpg 00002_00.jpg\n")
    layout = find_layout(tmp_path)
    assert (layout.title, layout.labels) == ("VITON-HD", "cihp")
    (pair,) = layout.splits["test"].pairs
    assert (pair.name, pair.cloth) == ("00001_00", "00001_00")
    assert pair.parse_file is not None and pair.parse_file.parent.name == "image-parse-v3"
    assert pair.pose_file is not None and pair.pose_file.parent.name == "openpose_json"
    assert layout.splits["test"].unpaired == [("00001_00", "00002_00")]


def test_raw_in_the_folder_itself(tmp_path: Path) -> None:
    _touch(
        tmp_path, "image/b.png", "image/a.JPG", "cloth/a.png", "cloth/b.webp", "image/c.jpg", "image/._a.jpg"
    )
    layout = find_layout(tmp_path)
    assert (layout.title, list(layout.splits)) == ("raw", ["train"])
    split = layout.splits["train"]
    assert [(p.name, p.cloth, p.mask_file, p.parse_file, p.pose_file) for p in split.pairs] == [
        ("a", "a", None, None, None),
        ("b", "b", None, None, None),
    ]
    assert [(s.file, s.reason) for s in split.skipped] == [("image/c.jpg", "no garment with its name")]
    assert split.listed == 3
    assert list(find_layout(tmp_path, "test").splits) == ["test"]


def test_raw_in_train_and_test(tmp_path: Path) -> None:
    _touch(tmp_path, "train/image/a.jpg", "train/cloth/a.jpg", "test/image/b.jpg", "test/cloth/b.jpg")
    layout = find_layout(tmp_path)
    assert layout.kind == "raw" and set(layout.splits) == {"train", "test"}
    assert layout.splits["test"].unpaired == []


def test_missing_and_repeated_files_are_told(tmp_path: Path) -> None:
    _viton(tmp_path, "train", "000001", "000002", "000003")
    (tmp_path / "train/cloth/000002_1.jpg").unlink()
    (tmp_path / "train/image-parse/000001_0.png").unlink()
    lines = ["000001_0.jpg 000001_1.jpg", "000002_0.jpg 000002_1.jpg", "000007_0.jpg 000007_1.jpg"]
    lines += ["000001_0.jpg 000001_1.jpg", "000003_0.jpg 000001_1.jpg", "000003_0.jpg 000003_1.jpg"]
    (tmp_path / "train_pairs.txt").write_text("\n".join(lines))
    split = find_layout(tmp_path).splits["train"]
    assert [(p.name, p.cloth) for p in split.pairs] == [("000001_0", "000001_1"), ("000003_0", "000001_1")]
    assert split.pairs[0].parse_file is None and split.pairs[0].pose_file is not None
    assert {s.file: s.reason for s in split.skipped} == {
        "train/image/000002_0.jpg": "its garment 000002_1 is missing",
        "train/image/000007_0": "listed, but there is no such photo",
        "train_pairs.txt": "000003_0 is listed again, with 000003_1",
    }


def test_a_folder_that_is_none_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(VtcliError, match="no image/ and cloth/ here"):
        find_layout(tmp_path)
    _touch(tmp_path, "archive/viton/train/image/a.jpg", "archive/viton/train/cloth/a.jpg")
    with pytest.raises(VtcliError, match=r"did you mean .*viton"):
        find_layout(tmp_path / "archive")
    with pytest.raises(VtcliError, match="no test split here, only train"):
        find_layout(tmp_path / "archive/viton", "test")
    with pytest.raises(VtcliError, match="no such folder"):
        find_layout(tmp_path / "absent")


def test_names_in_decomposed_unicode_meet_their_list(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "mañana é")
    _touch(tmp_path, f"train/image/{decomposed}.jpg", "train/cloth/mañana é.jpg")
    (tmp_path / "train_pairs.txt").write_text("mañana é.jpg mañana é.jpg\n", encoding="utf-8")
    (pair,) = find_layout(tmp_path).splits["train"].pairs
    assert pair.name == pair.cloth == "mañana é" and pair.image_file.is_file()


def _list(tmp_path: Path, data: bytes | str) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    "data",
    [
        "a.jpg b.jpg\nc.jpg d.jpg\n",
        "a.jpg b.jpg\r\nc.jpg d.jpg",
        "a.jpg b.jpg\rc.jpg d.jpg\r",
        "\ufeffa.jpg b.jpg\n\n  \n# a comment\n  # another\nc.jpg   d.jpg  \n\n",
        "a.jpg\tb.jpg\nc.jpg\t d.jpg\n",
        "a.jpg,b.jpg\nc.jpg; d.jpg\n",
        "a.jpg b.jpg\nc.jpg d.jpg\n".encode("utf-16"),
    ],
)
def test_lists_of_every_make(tmp_path: Path, data: bytes | str) -> None:
    assert read_pairs_list(_list(tmp_path, data)) == [("a.jpg", "b.jpg"), ("c.jpg", "d.jpg")]


def test_names_with_blanks(tmp_path: Path) -> None:
    lines = [
        "my photo.JPG red top.png",
        "two  words.jpg\tthe cloth 2.jpg",
        "Größe 38.jpeg 上衣 1.webp",
        "a b",
    ]
    assert read_pairs_list(_list(tmp_path, "\n".join(lines))) == [
        ("my photo.JPG", "red top.png"),
        ("two  words.jpg", "the cloth 2.jpg"),
        ("Größe 38.jpeg", "上衣 1.webp"),
        ("a", "b"),
    ]
    # What is cut where depends on which files there are.
    path = _list(tmp_path, "a.jpg copy.jpg b.jpg\n")
    assert read_pairs_list(path) == [("a.jpg", "copy.jpg b.jpg")]
    assert read_pairs_list(path, ["a.jpg copy"], ["b"]) == [("a.jpg copy.jpg", "b.jpg")]


@pytest.mark.parametrize(
    "line", ["../x.jpg b.jpg", "a.jpg /etc/b.jpg", "a.jpg ..\\b.jpg", "C:a.jpg b.jpg", ".. b"]
)
def test_paths_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(VtcliError, match=r"pairs\.txt, line 2: .* is a path") as caught:
        read_pairs_list(_list(tmp_path, f"a.jpg b.jpg\n{line}\n"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("line", ["a.jpg", "a b c", "a.jpg\tb.jpg\tc.jpg", "a.jpg\t"])
def test_lines_that_are_not_two_names_are_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(VtcliError, match="line 1: expected two file names"):
        read_pairs_list(_list(tmp_path, line))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VtcliError, match="line 2: not UTF-8"):
        read_pairs_list(_list(tmp_path, b"a.jpg b.jpg\nGr\xf6\xdfe.jpg b.jpg\n"))


def test_names_and_own_garments() -> None:
    assert [stem(n) for n in ("a.b.JPG", "a.webp", "a", ".jpg", "a.txt")] == [
        "a.b",
        "a",
        "a",
        ".jpg",
        "a.txt",
    ]
    cloths = {"000001_1", "00002_00", "x"}
    assert own_cloth("000001_0", cloths) == "000001_1"
    assert own_cloth("00002_00", cloths) == "00002_00"
    assert own_cloth("x", cloths) == "x" and own_cloth("y", cloths) is None
