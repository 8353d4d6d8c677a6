"""Whole commands, as a user calls them: wall-clock time, peak memory, and where the time goes."""

from __future__ import annotations

import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.turns import ROOT, environment

VTCLI = ("-m", "vtcli")


@dataclass
class Ran:
    """Seconds and peak memory (MiB, of the largest process) of a command."""

    seconds: float
    peak: float


def run(*arguments: object) -> Ran:
    """Run this Python with `arguments`; RuntimeError with its last words where it fails."""
    with tempfile.TemporaryFile() as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)], stdout=said, stderr=said, cwd=ROOT, env=environment()
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            said.seek(0)
            raise RuntimeError(f"{arguments}: {said.read()[-2000:].decode()}")
    return Ran(seconds, usage.ru_maxrss / 1024)


def vtcli(*arguments: object) -> Ran:
    """Run a vtcli command."""
    return run(*VTCLI, *arguments)


def median(runs: int, *arguments: object) -> float:
    """Median seconds of a command."""
    return statistics.median(run(*arguments).seconds for _ in range(runs))


def costs(*arguments: object) -> list[tuple[str, float]]:
    """The three largest costs of a vtcli command as shares of its time (main thread)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "profile"
        run("-m", "cProfile", "-o", file, *VTCLI, *arguments)
        table = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    own = {key: values[2] for key, values in table.items()}
    whole = sum(own.values())
    largest = sorted(own, key=own.__getitem__, reverse=True)[:3]
    return [
        (f"{Path(file).name} {name}".removeprefix("~ "), own[(file, line, name)] / whole)
        for file, line, name in largest
    ]
