"""Work beside other programs: how much longer it takes while every core also runs a busy loop.

Shared fairly, work that uses every core takes twice as long then; what is above that is lost to threads that wait for
each other.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from vtcli.core.system.cores import usable_cores


@contextmanager
def busy_cores() -> Iterator[None]:
    """As many busy loops as there are cores to use, in processes of their own."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(usable_cores())]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def beside(work: Callable[[], float], rounds: int) -> dict[str, Any]:
    """`work` says how many seconds it took: idle, busy, idle, busy, …; medians, and the rounds' ratios."""
    idle, busy = [], []
    for _ in range(rounds):
        idle.append(work())
        with busy_cores():
            busy.append(work())
    ratios = sorted(b / i for b, i in zip(busy, idle, strict=True))
    return {
        "idle_seconds": statistics.median(idle), "seconds": statistics.median(busy),
        "ratio": statistics.median(ratios), "ratio_range": [ratios[0], ratios[-1]], "rounds": rounds,
    }  # fmt: skip
