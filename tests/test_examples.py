"""The notebook's cells run from a clone; results carry no metadata of the photo."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Ended
from PIL import Image

ROOT = Path(__file__).parents[1]


def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((ROOT / "examples/wardrobe.ipynb").read_text(encoding="utf-8"))
    monkeypatch.chdir(ROOT / "examples")
    names: dict[str, Any] = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells):
        assert cell["outputs"] == [], "the notebook is kept without outputs"
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)
    results, person = names["results"], names["person"]
    assert len(results) == 10
    assert all(result.image.size == person.size for result in results)
    assert len({result.image.tobytes() for result in results}) == 10
    assert all(0.05 < share < 0.9 for share in names["shares"])


def test_results_carry_neither_exif_nor_gps(vtcli: Callable[..., Ended], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)  # the GPS latitude
    photo = Image.open(ROOT / "sample_data/person.jpg")
    photo.save(tmp_path / "person.jpg", exif=exif, comment=b"at home")
    assert Image.open(tmp_path / "person.jpg").getexif().get_ifd(0x8825)
    for name in ("out.jpg", "out.png"):
        ended = vtcli(
            "tryon", tmp_path / "person.jpg", ROOT / "sample_data/cloth.jpg", "-o", tmp_path / name, "--quiet"
        )
        assert ended.code == 0, ended.err
        with Image.open(tmp_path / name) as result:
            assert not result.getexif()
            assert "comment" not in result.info
        assert b"a camera" not in (tmp_path / name).read_bytes()
