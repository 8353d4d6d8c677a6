"""The scripts that kill, fill and corrupt, in short: a kill, a small disk, and some of the bad files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "hold_up.py"


def test_killed_filled_and_corrupted_it_loses_nothing(tmp_path: Path) -> None:
    report = tmp_path / "held.json"
    short = ["--kills", "1", "--disks", "1", "--every", "30", "--commands", "prepare", "train", "tryon"]
    ended = subprocess.run(
        [sys.executable, SCRIPT, "--work", tmp_path, "--json", report, *short],
        capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout + ended.stderr
    tallies = {tally["what"]: tally for tally in json.loads(report.read_text())}
    assert not any(tally["lost"] for tally in tallies.values())
    for command in ("prepare", "train", "tryon"):
        assert tallies[f"kill -9, {command}"]["tried"] == 1
    bad = [tally for what, tally in tallies.items() if what.startswith(("bad", "planted", "lying"))]
    assert sum(tally["tried"] for tally in bad) >= 10
