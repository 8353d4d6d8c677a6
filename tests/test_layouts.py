"""Data folders of every layout, and pairs lists as people have them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from vtcli.core.data.layouts import find_layout, own_cloth
from vtcli.core.data.pairs_lists import read_pairs_list, stem
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
    _touch(tmp_path, "viton.zip")
    with pytest.raises(VtcliError, match="unpack"):
        find_layout(tmp_path / "viton.zip")


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


def test_dress_code_is_read_where_its_tops_are(tmp_path: Path) -> None:
    for n in ("000001", "000002", "000003"):
        _touch(
            tmp_path / "upper_body", f"images/{n}_0.jpg", f"images/{n}_1.jpg", f"label_maps/{n}_4.png",
            f"keypoints/{n}_2.json", f"skeletons/{n}_5.jpg", f"dense/{n}_5.png",
        )  # fmt: skip
    _touch(
        tmp_path, "dresses/images/020000_0.jpg", "dresses/images/020000_1.jpg", "lower_body/images/1_0.jpg"
    )
    tops = tmp_path / "upper_body"
    alone = find_layout(tmp_path).splits["train"]
    assert [(p.name, p.cloth) for p in alone.pairs] == [(f"{n:06d}_0", f"{n:06d}_1") for n in (1, 2, 3)]
    (tops / "train_pairs.txt").write_text("000001_0.jpg\t000001_1.jpg\n")
    (tops / "test_pairs_paired.txt").write_text("000002_0.jpg\t000002_1.jpg\n000003_0.jpg\t000003_1.jpg\n")
    (tops / "test_pairs_unpaired.txt").write_text("000002_0.jpg\t000003_1.jpg\n000003_0.jpg\t000002_1.jpg\n")
    for root in (tmp_path, tops):
        layout = find_layout(root)
        assert (layout.title, layout.labels) == ("DressCode", "atr")
        (pair,) = layout.splits["train"].pairs
        names = ["000001_0.jpg", "000001_1.jpg", "000001_4.png", "000001_2.json"]
        assert [f.name for f in pair.files()] == names
        test = layout.splits["test"]
        assert [p.name for p in test.pairs] == ["000002_0", "000003_0"] and not test.skipped
        assert test.unpaired == [("000002_0", "000003_1"), ("000003_0", "000002_1")]
    assert find_layout(tops).unused == ("dense", "skeletons")
    assert set(find_layout(tmp_path).unused) == {
        "dresses", "lower_body", "upper_body/dense", "upper_body/skeletons",
    }  # fmt: skip
    with pytest.raises(VtcliError, match="tops alone"):
        _touch(tmp_path / "other", "dresses/images/1_0.jpg", "dresses/keypoints/1_2.json")
        find_layout(tmp_path / "other")


def test_dress_codes_list_of_all_garments_is_cut_to_tops(tmp_path: Path) -> None:
    tops = tmp_path / "upper_body"
    _touch(tops, "images/000001_0.jpg", "images/000001_1.jpg", "keypoints/000001_2.json")
    (tmp_path / "train_pairs.txt").write_text(
        "000001_0.jpg\t000001_1.jpg\t0\n020000_0.jpg\t020000_1.jpg\t2\n030000_0.jpg\t030000_1.jpg\t1\n"
    )
    split = find_layout(tmp_path).splits["train"]
    assert [p.name for p in split.pairs] == ["000001_0"] and not split.skipped


def test_gp_vtons_form_of_viton_hd(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for n in ("00001", "00002"):
            _touch(
                tmp_path / split, f"image/{n}_00.jpg", f"cloth/{n}_00.jpg", f"cloth_mask-bytedance/{n}_00.png",
                f"parse-bytedance/{n}_00.png", f"openpose_json/{n}_00_keypoints.json",
                f"cloth_parse-bytedance/{n}_00.png", f"densepose/{n}_00.png",
            )  # fmt: skip
    (tmp_path / "train_pairs_1018.txt").write_text("00001_00.png 00001_00.png upper\n")
    (tmp_path / "test_pairs_paired_1018.txt").write_text("00001_00.png 00001_00.png upper\n")
    (tmp_path / "test_pairs_unpaired_1018.txt").write_text("00001_00.png 00002_00.png upper\n")
    layout = find_layout(tmp_path)
    assert (layout.title, layout.labels) == ("GP-VTON's VITON-HD", "gp-vton")
    (pair,) = layout.splits["train"].pairs
    assert [f.parent.name for f in pair.files()[2:]] == [
        "cloth_mask-bytedance",
        "parse-bytedance",
        "openpose_json",
    ]
    assert layout.splits["test"].unpaired == [("00001_00", "00002_00")]
    assert set(layout.unused) == {
        f"{s}/{f}" for s in ("train", "test") for f in ("cloth_parse-bytedance", "densepose")
    }
    # Laid into VITON-HD itself, its own maps count, and the others are named.
    _touch(tmp_path, "train/image-parse-v3/00001_00.png", "test/image-parse-v3/00001_00.png")
    layout = find_layout(tmp_path)
    assert (layout.title, layout.labels) == ("VITON-HD", "cihp")
    assert "train/parse-bytedance" in layout.unused


def test_gp_vtons_form_of_dress_code(tmp_path: Path) -> None:
    for n in (1, 2):
        _touch(
            tmp_path / "upper", f"image/{n:06d}_0.jpg", f"cloth_align/{n:06d}_1.jpg",
            f"cloth_align_mask-bytedance/{n:06d}_1.png", f"parse-bytedance/{n:06d}_0.png",
            f"pose_25/{n:06d}_0.png.npy", f"densepose/{n:06d}_0.png", f"cloth_align_parse-bytedance/{n:06d}_1.png",
        )  # fmt: skip
    _touch(tmp_path, "lower/image/9_0.jpg", "lower/cloth_align/9_1.jpg")
    (tmp_path / "train_pairs_230729.txt").write_text(
        "000001_0.png 000001_1.png upper\n000009_0.png 000009_1.png lower\n"
    )
    (tmp_path / "test_pairs_unpaired_230729.txt").write_text("000002_0.png 000001_1.png upper\n")
    (tmp_path / "test_pairs_unpaired_old.txt").write_text("000001_0.png 000001_1.png upper\n")
    layout = find_layout(tmp_path)
    assert (layout.title, layout.labels) == ("GP-VTON's DressCode", "gp-vton")
    (pair,) = layout.splits["train"].pairs
    assert [f.parent.name for f in pair.files()] == [
        "image", "cloth_align", "cloth_align_mask-bytedance", "parse-bytedance", "pose_25",
    ]  # fmt: skip
    test = layout.splits["test"]
    assert [(p.name, p.cloth) for p in test.pairs] == [("000002_0", "000002_1")] and not test.skipped
    assert test.unpaired == [("000002_0", "000001_1")]
    assert set(layout.unused) == {
        "lower", "test_pairs_unpaired_old.txt", "upper/densepose", "upper/cloth_align_parse-bytedance",
    }  # fmt: skip


def test_acgpns_folders(tmp_path: Path) -> None:
    for split, n in (("train", 1), ("train", 2), ("test", 3)):
        _touch(
            tmp_path, f"{split}_img/{n:06d}_0.jpg", f"{split}_color/{n:06d}_1.jpg", f"{split}_edge/{n:06d}_1.jpg",
            f"{split}_label/{n:06d}_0.png", f"{split}_pose/{n:06d}_0_keypoints.json", f"{split}_colormask/1_test.png",
        )  # fmt: skip
    layout = find_layout(tmp_path)
    assert (layout.title, layout.labels) == ("ACGPN's VITON", "acgpn")
    assert [(p.name, p.cloth) for p in layout.splits["train"].pairs] == [
        ("000001_0", "000001_1"), ("000002_0", "000002_1"),
    ]  # fmt: skip
    (pair,) = layout.splits["test"].pairs
    names = ["test_img", "test_color", "test_edge", "test_label", "test_pose"]
    assert [f.parent.name for f in pair.files()] == names
    assert "train_colormask" in layout.unused and "test_pose" not in layout.unused
    alone = find_layout(tmp_path, "test")
    assert alone.splits["test"].pairs == [pair]


def test_cp_vton_pluss_form(tmp_path: Path) -> None:
    _viton(tmp_path, "train", "000001")
    _touch(tmp_path, "train/image-parse-new/000001_0.png", "train/image-mask/000001_0.png")
    layout = find_layout(tmp_path)
    assert (layout.title, layout.labels) == ("CP-VTON+'s VITON", "cp-vton+")
    (pair,) = layout.splits["train"].pairs
    assert pair.parse_file is not None and pair.parse_file.parent.name == "image-parse-new"
    assert layout.unused == ("train/image-mask", "train/image-parse")


@pytest.mark.parametrize(
    "line",
    [
        "a.jpg b.jpg upper", "a.jpg\tb.jpg\t0", "a.jpg,b.jpg,upper_body", "a.jpg;b.jpg;", '"a.jpg","b.jpg"', "a,b",
        "a;b", "a.jpg, b.jpg,", '"a.jpg";"b.jpg"',
    ],
)  # fmt: skip
def test_lines_of_other_programs(tmp_path: Path, line: str) -> None:
    (pair,) = read_pairs_list(_list(tmp_path, f"person,cloth\n{line}\nc.jpg d.jpg dresses\n"))
    assert [stem(name) for name in pair] == ["a", "b"]


def test_names_without_endings_may_hold_blanks_where_a_mark_parts_them(tmp_path: Path) -> None:
    path = _list(tmp_path, 'my photo, red top\n"a, b.jpg";"c;d.jpg"\n')
    assert read_pairs_list(path) == [("my photo", "red top"), ("a, b.jpg", "c;d.jpg")]


@pytest.mark.parametrize(
    "titles", ["person,cloth", "Person image\tGarment", "human_img;cloth_img", "im_name c_name", "model,top"]
)
def test_titles_of_columns_are_no_pair(tmp_path: Path, titles: str) -> None:
    assert read_pairs_list(_list(tmp_path, f"{titles}\na.jpg b.jpg\n")) == [("a.jpg", "b.jpg")]
    assert len(read_pairs_list(_list(tmp_path, "person.jpg cloth.jpg\na.jpg b.jpg\n"))) == 2
    assert len(read_pairs_list(_list(tmp_path, "model top\na b\n"), ["model", "a"], ["top", "b"])) == 2
