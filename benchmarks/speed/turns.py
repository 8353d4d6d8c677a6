"""Two processes that take turns, so that whatever else the machine does meets both alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vtcli.core.system.cores import settings

ROOT = Path(__file__).resolve().parent.parent.parent
ALLOCATOR = ("MALLOC_MMAP_MAX_", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")


def environment(ours: bool = False) -> dict[str, str]:
    """This process's environment, less what a user may have set to make memory quick; for vtcli's side (`ours`) with
    what its commands set for themselves."""
    kept = {k: v for k, v in os.environ.items() if k not in ALLOCATOR}
    return {**kept, "PYTHONPATH": str(ROOT), **(settings() if ours else {})}


class Side:
    """A `benchmarks.speed.worker`, ready to work when asked."""

    def __init__(self, row: str, side: str, config: dict[str, Any]) -> None:
        command = [sys.executable, "-m", "benchmarks.speed.worker", row, side, json.dumps(config)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
            env=environment(side == "ours"),
        )  # fmt: skip

    def answer(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(self.process.stderr.read()[-2000:])
        return line

    def ask(self, what: str) -> Any:
        """Have it do one thing."""
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return json.loads(self.answer())

    def __enter__(self) -> Side:
        self.answer()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


@dataclass
class Turns:
    """Seconds a unit, turn about; peaks in MiB; FLOPs a unit; vtcli's largest costs, as shares of its time."""

    baseline: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    baseline_peak: float = 0.0
    peak: float = 0.0
    flops: float = 0.0
    costs: list[tuple[str, float]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Medians, and the median of the rounds' ratios with their extremes."""
        ratios = [b / o for b, o in zip(self.baseline, self.ours, strict=True)]
        seconds = statistics.median(self.ours)
        return {
            "baseline_seconds": statistics.median(self.baseline), "seconds": seconds,
            "ratio": statistics.median(ratios), "ratio_range": [min(ratios), max(ratios)], "rounds": len(ratios),
            "baseline_peak_mib": round(self.baseline_peak), "peak_mib": round(self.peak),
            "flops": self.flops, "flops_per_second": self.flops / seconds, "costs": self.costs,
        }  # fmt: skip


def take_turns(row: str, config: dict[str, Any], rounds: int) -> Turns:
    """Baseline, ours, baseline, ours, …"""
    found = Turns()
    with Side(row, "baseline", config) as theirs, Side(row, "ours", config) as ours:
        for _ in range(rounds):
            found.baseline.append(theirs.ask("go"))
            found.ours.append(ours.ask("go"))
        found.baseline_peak, found.peak = theirs.ask("peak"), ours.ask("peak")
        found.flops, found.costs = ours.ask("flops"), ours.ask("profile")
    return found


def matrix_rates(config: dict[str, Any]) -> dict[str, float]:
    """The machine's own matrix-product rate in float32 and bfloat16, FLOP/s."""
    side = Side("machine", "", config)
    rates: dict[str, float] = json.loads(side.answer())
    side.__exit__()
    return rates
