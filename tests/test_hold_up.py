"""The scripts that kill, fill and corrupt, in short: a kill, a small disk, and some of the bad files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "hold_up.py"


def _held(work: Path, *options: str) -> dict[str, dict[str, Any]]:
    """What the script counted, by what it did."""
    report = work / "held.json"
    short = ["--kills", "1", "--disks", "1", "--every", "50", *options]
    ended = subprocess.run(
        [sys.executable, SCRIPT, "--work", work, "--json", report, *short],
        capture_output=True, text=True, timeout=900, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    tallies = {tally["what"]: tally for tally in json.loads(report.read_text())}
    assert not any(tally["lost"] for tally in tallies.values())
    return tallies


def test_killed_it_loses_nothing(tmp_path: Path) -> None:
    tallies = _held(tmp_path, "--only", "kills", "--commands", "prepare", "train", "tryon")
    assert [tallies[f"kill -9, {command}"]["tried"] for command in ("prepare", "train", "tryon")] == [1, 1, 1]


def test_with_a_full_disk_and_bad_files_it_loses_nothing(tmp_path: Path) -> None:
    tallies = _held(tmp_path, "--only", "disk", "corpus", "--commands", "tryon")
    bad = [tally for what, tally in tallies.items() if what.startswith(("bad", "planted", "lying"))]
    assert sum(tally["tried"] for tally in bad) >= 10
    assert any(what.startswith(("full disk", "read-only")) for what in tallies)
