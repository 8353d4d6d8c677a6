"""`vtcli score --sleeves`: where sleeves end in results, against the garment's own model and what was worn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ended
from score_samples import make_results, run_score

from vtcli.core.data.store import PreparedStore

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"


def test_results_that_keep_the_worn_sleeves_have_its_slope(
    vtcli: Callable[..., Ended], tmp_path: Path
) -> None:
    """The results are the photos themselves: their sleeves are the worn ones, whatever garment is asked for."""
    assert vtcli("prepare", SAMPLES, "--out", tmp_path / "store", "--split", "test").code == 0
    store = PreparedStore.open(tmp_path / "store", "test")
    own = make_results(tmp_path / "own", store, lambda photo, _: photo)
    worn = make_results(tmp_path / "worn", store, lambda photo, _: photo, paired=False)
    file = tmp_path / "scores.json"
    done = run_score(own, worn, "--sleeves", "--json", file, "--bootstrap", 0, "--jobs", 1)
    assert done.exit_code == 0, done.output
    paired, unpaired = json.loads(file.read_text())
    assert paired["sleeve_error"] < 0.06, "the parser sees them where the store's parse has them"
    assert unpaired["sleeve_error"] > 2 * paired["sleeve_error"]
    assert unpaired["sleeve_worn"] == pytest.approx(1.0, abs=0.15)
    assert unpaired["sleeve_own"] == pytest.approx(0.0, abs=0.15)
    assert "shoulder" in paired["definitions"]["sleeve_error"]


def test_sleeves_are_measured_where_they_are_asked_for(tmp_path: Path, store: Path) -> None:
    """A store of another size than the parser's has none, and says so."""
    small = PreparedStore.open(store, "test")
    results = make_results(tmp_path / "results", small, lambda photo, _: photo)
    for options, words in (((), "--sleeves"), (("--sleeves",), "256×192")):
        file = tmp_path / f"{len(options)}.json"
        assert run_score(results, *options, "--json", file, "--bootstrap", 0, "--jobs", 1).exit_code == 0
        (row,) = json.loads(file.read_text())
        assert row["sleeve_error"] is None and words in row["reasons"]["sleeve_error"]
