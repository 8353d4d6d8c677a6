"""The cores that this process may use, and how its threads wait for one.

Imports nothing heavy: the settings have to stand in the environment before torch, and with it OpenMP, is loaded.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

WAITING = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"}
"""OpenMP's threads sleep while they wait for each other (GNU's, LLVM's and Intel's library). As they come, they
spin: beside another program on every core a thread then waits, spinning, for one that has no core."""
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def usable_cores() -> int:
    """Cores that this process may use: its affinity, and its control group's share of processor time, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(allowed, cpu_quota()))


def cpu_quota(own: Path = Path("/proc/self/cgroup"), mounts: Path = Path("/sys/fs/cgroup")) -> float:
    """Cores' worth of time that Linux's control groups (version 1 or 2) grant this process; infinity without a limit.

    The smallest limit counts, of its group and of those above.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return math.inf
    quota = math.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "cpu" in controllers.split(","):
            for limit in _limits(mounts / controllers, path.strip("/")):
                quota = min(quota, limit)
    return quota


def _limits(mount: Path, path: str) -> Iterator[float]:
    # In a container the path may be the host's, and the limit lie at the mount's root.
    parts = path.split("/") if path else []
    for length in range(len(parts), -1, -1):
        folder = mount.joinpath(*parts[:length])
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            try:
                text = " ".join((folder / name).read_text().strip() for name in names)
            except OSError:
                continue
            if re.fullmatch(r"[1-9]\d* [1-9]\d*", text):  # "max 100000" and "-1 100000" are no limits
                time, period = map(int, text.split())
                yield time / period


def settings() -> dict[str, str]:
    """What to add to the environment of a vtcli command: a waiting policy unless the user has set one, and a number
    of threads where a control group allows fewer cores than OpenMP sees."""
    found = {} if any(name in os.environ for name in WAITING) else dict(WAITING)
    if not any(name in os.environ for name in _THREADS) and cpu_quota() < math.inf:
        found["OMP_NUM_THREADS"] = str(usable_cores())
    return found


def share_the_machine() -> None:
    """Put `settings` into this process's environment, for its OpenMP library (once it is loaded) and its children.

    Commands do this first of all. Without effect on an OpenMP library that is loaded already.
    """
    os.environ.update(settings())
