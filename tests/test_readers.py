"""Parsers of what others have written: whatever it is, they give what they promise or name the file, no third thing."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vtcli.core.data.pairs_lists import read_pairs_list, stem
from vtcli.core.data.poses import read_pose
from vtcli.core.data.prepare.journal import Journal
from vtcli.core.data.results import ResultsInfo
from vtcli.core.data.store import Entry, Manifest
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import is_plain_name

QUICK = settings(max_examples=80, deadline=None)
SOURCE = Path("manifest.json")

numbers = st.integers() | st.floats(width=64) | st.booleans()
values = st.recursive(
    st.none() | numbers | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
# A name as a file may have it: no separator, nothing that a line ends with, no comment.
names = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/\\:,;\ufeff"),
    min_size=1,
    max_size=12,
).filter(lambda n: n.strip() == n and n not in (".", "..") and not n.startswith("#"))


_FOLDERS = tempfile.TemporaryDirectory()  # hypothesis and pytest's own tmp_path do not go together


def _file(data: bytes) -> Path:
    path = Path(tempfile.mkdtemp(dir=_FOLDERS.name)) / "file"
    path.write_bytes(data)
    return path


# -- lists of pairs ------------------------------------------------------------------------------------------


@QUICK
@given(data=st.binary(max_size=200) | st.text(max_size=80).map(str.encode))
@example(data=b"\xff\xfea")
@example(data=b"../a.jpg b.jpg")
@example(data="a.jpg\u2028b.jpg".encode())
def test_any_bytes_are_a_list_of_plain_names_or_an_error(data: bytes) -> None:
    path = _file(data)
    try:
        pairs = read_pairs_list(path)
    except VtcliError as problem:
        assert str(path) in str(problem)
        return
    for pair in pairs:
        assert len(pair) == 2 and all(is_plain_name(name) for name in pair)


@QUICK
@given(
    pairs=st.lists(st.tuples(names, names), min_size=1, max_size=5),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    tab=st.booleans(),
    noise=st.sampled_from(["", "# a comment", "   "]),
)
def test_written_pairs_are_read_again(
    pairs: list[tuple[str, str]], end: str, encoding: str, tab: bool, noise: str
) -> None:
    listed = [(f"{a}.jpg", f"{b}.png") for a, b in pairs]
    lines = [f"{a}\t{b}" if tab else f"{a} {b}" for a, b in listed]
    data = "".join(f"{line}{end}{noise}{end}" for line in lines).encode(encoding)
    known = [stem(a) for a, _ in listed], [stem(b) for _, b in listed]
    read = read_pairs_list(_file(data), *known)
    assert [(stem(a), stem(b)) for a, b in read] == [(stem(a), stem(b)) for a, b in listed]


# -- poses ---------------------------------------------------------------------------------------------------


def _pose(value: Any) -> Path:
    return _file(json.dumps(value).encode())


joints = st.lists(numbers, min_size=54, max_size=54) | st.lists(numbers, max_size=80)
people = st.lists(
    st.fixed_dictionaries({"pose_keypoints_2d": joints})
    | st.fixed_dictionaries({"pose_keypoints": values})
    | values,
    max_size=3,
)


@QUICK
@given(value=values | st.fixed_dictionaries({"people": people}), sized=st.booleans())
@example(value={"people": [{"pose_keypoints_2d": [10**400] * 54}]}, sized=True)
@example(value={"people": [{"pose_keypoints_2d": [1e300] * 54}]}, sized=False)
def test_any_json_is_a_pose_of_finite_numbers_or_an_error(value: Any, sized: bool) -> None:
    path = _pose(value)
    try:
        pose = read_pose(path, (256, 192) if sized else None, allow_empty=True)
    except VtcliError as problem:
        assert str(path) in str(problem)
        return
    assert pose.shape == (18, 3) and pose.dtype == np.float32 and np.isfinite(pose).all()
    if sized:
        assert (pose[:, :2] >= 0).all() and (pose[:, 0] <= 192).all() and (pose[:, 1] <= 256).all()


@QUICK
@given(
    points=st.lists(
        st.tuples(st.floats(2, 190, width=32), st.floats(2, 250, width=32), st.floats(0.125, 1, width=32)),
        min_size=18, max_size=18,
    ),
    key=st.sampled_from(["pose_keypoints", "pose_keypoints_2d"]),
)  # fmt: skip
def test_written_joints_are_read_again(points: list[tuple[float, float, float]], key: str) -> None:
    pose = np.array(points, np.float32)
    path = _pose({"people": [{key: pose.astype(float).ravel().tolist()}, {key: [0.0] * 54}]})
    assert np.array_equal(read_pose(path, (256, 192)), pose)


@pytest.mark.parametrize("people", [1, 2])
def test_joints_in_a_numpy_file_are_read(tmp_path: Path, people: int) -> None:
    """As GP-VTON has them: BODY_25's joints of everybody."""
    body = np.zeros((people, 25, 3))
    body[0, :, 0], body[0, :, 1], body[0, :, 2] = np.arange(25) * 4 + 20, np.arange(25) * 8 + 20, 0.9
    np.save(tmp_path / "a.npy", body)
    pose = read_pose(tmp_path / "a.npy", (256, 192))
    assert pose[1].tolist() == pytest.approx([24, 28, 0.9]) and pose[8].tolist() == pytest.approx(
        [56, 92, 0.9]
    )
    np.save(tmp_path / "b.npy", np.array(["no joints"]))
    (tmp_path / "c.npy").write_bytes(b"\x93NUMPY, cut short")
    np.save(tmp_path / "d.npy", np.array([{"pickled": 1}], dtype=object), allow_pickle=True)
    for name in ("b.npy", "c.npy", "d.npy"):
        with pytest.raises(VtcliError, match=name):
            read_pose(tmp_path / name)


# -- manifests, journals, results ----------------------------------------------------------------------------

entries = st.lists(
    st.builds(Entry, names, names, st.text(max_size=5), st.booleans(), st.just(("parse",)) | st.just(())),
    min_size=1, max_size=4, unique_by=lambda e: e.name,
)  # fmt: skip


@QUICK
@given(entries=entries, size=st.tuples(st.integers(1, 4096), st.integers(1, 4096)), shard=st.integers(1, 999))
def test_written_manifests_are_read_again(entries: list[Entry], size: tuple[int, int], shard: int) -> None:
    manifest = Manifest("train", size, entries, [(e.name, e.cloth) for e in entries], shard_size=shard)
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json())), SOURCE) == manifest


@QUICK
@given(
    key=st.sampled_from(["size", "shard_size", "entries", "unpaired", "derived_by", "split", "layout"]),
    inside=st.sampled_from([None, "name", "cloth", "hash", "seen", "derived"]),
    value=values | st.sampled_from(["../x", "/x", "..", "", "a\0b", [1e999, 4], 10**30]),
)
def test_any_change_to_a_manifest_is_sound_or_an_error(key: str, inside: str | None, value: Any) -> None:
    written = Manifest("test", (128, 96), [Entry("a", "b"), Entry("c", "d")]).to_json()
    if inside is None:
        written[key] = value
    else:
        written["entries"][0][inside] = value
    try:
        manifest = Manifest.from_json(written, SOURCE)
    except VtcliError as problem:
        assert str(SOURCE) in str(problem)
        return
    assert manifest.entries and min(*manifest.size, manifest.shard_size) >= 1
    assert all(is_plain_name(e.name) and is_plain_name(e.cloth) for e in manifest.entries)


@QUICK
@given(value=values)
def test_any_json_is_a_manifest_or_an_error(value: Any) -> None:
    with pytest.raises(VtcliError, match=r"manifest\.json"):
        Manifest.from_json(value, SOURCE)


@QUICK
@given(lines=st.lists(values.map(json.dumps) | st.text(max_size=20), max_size=4), data=st.binary(max_size=40))
def test_any_journal_is_read_as_far_as_it_is_whole(lines: list[str], data: bytes) -> None:
    path = _file(b"").parent
    first = json.dumps({"format": "vtcli-journal", "version": 1, "options": {"a": 1}})
    (path / "journal.jsonl").write_bytes("\n".join([first, *lines]).encode(errors="replace") + data)
    journal = Journal.load(path)
    assert journal is None or journal.header == {"a": 1}


@QUICK
@given(
    key=st.sampled_from(["pairs", "size", "options", "figures", "weights", "seconds", "kind"]),
    value=values | st.just([{"name": "../x", "person": "a", "cloth": "b"}]),
)
def test_any_change_to_results_is_sound_or_an_error(key: str, value: Any) -> None:
    folder = _file(b"").parent
    written = {
        "format": "vtcli-results", "version": 1, "kind": "tryon", "keep": "head", "pairing": "paired",
        "split": "test", "store": "s", "size": [128, 96],
        "pairs": [{"name": "a", "person": "a", "cloth": "b", "seen": False}],
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps({**written, key: value}))
    try:
        info = ResultsInfo.load(folder)
    except VtcliError as problem:
        assert "results.json" in str(problem)
        return
    assert all(is_plain_name(pair.name) for pair in info.pairs)
