"""Bad pictures among photos to learn from; the rest of the corpus is walked by `benchmarks/hold_up.py`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.reliability import bad_files
from vtcli.core.data.labelled_photos import LabelledPhotos
from vtcli.core.system.errors import VtcliError

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 48, 3), np.uint8))


@pytest.mark.parametrize("kind", ["photos", "labels"])
def test_labelled_photos_are_read_or_named(kind: str, tmp_path: Path) -> None:
    taken = 0
    for number, (name, data) in enumerate(bad_files.pictures(PHOTO).items()):
        folder = tmp_path / str(number)
        for part, suffix in (("photos", "jpg"), ("labels", "png")):
            (folder / part).mkdir(parents=True)
            picture = PHOTO if part == "photos" else Image.fromarray(np.ones((64, 48), np.uint8))
            picture.save(folder / part / f"one.{suffix}")
        (folder / "labels.json").write_text('["null", "skin"]')
        next((folder / kind).iterdir()).write_bytes(data)
        try:
            read = LabelledPhotos.read(folder)
        except VtcliError as problem:
            assert "one.jpg" in str(problem), name
        else:
            taken += 1
            assert all(p.shape[:2] == g.shape for p, g in zip(read.photos, read.groups, strict=True)), name
    assert taken > 0 or kind == "labels"


@pytest.mark.parametrize("names", [{}, 5, ["x"] * 300, [["skin"]], None])
def test_labels_that_are_no_names(names: object, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    PHOTO.save(tmp_path / "photos" / "one.jpg")
    (tmp_path / "labels.json").write_text(json.dumps(names))
    with pytest.raises(VtcliError, match=r"labels\.json"):
        LabelledPhotos.read(tmp_path)
