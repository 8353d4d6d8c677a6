"""One side of one row in a process of its own: `python -m benchmarks.speed.worker ROW SIDE CONFIG`.

Says "ready" on standard output; then, for each line it reads, does one thing and answers with a line of JSON:
`go` (work once), `flops`, `profile`, `peak`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def matrix_rate(device: torch.device, dtype: torch.dtype, side: int = 2048) -> float:
    """FLOP/s of a product of square matrices: the best of seven."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        a @ b
        wait(device)
        best = max(best, 2 * side**3 / (time.perf_counter() - start))
    return best


def wait(device: torch.device) -> None:
    """Until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def flops(job: Callable[[], int]) -> float:
    """Floating-point operations a unit (matrix products and convolutions)."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        units = job()
    return counter.get_total_flops() / units


def _profile(job: Callable[[], int], device: torch.device) -> list[tuple[str, float]]:
    """The three largest costs, as shares of the time."""
    from torch.profiler import ProfilerActivity, profile

    kinds = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=kinds) as record:
        job()
    key = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    costs = {event.key: float(getattr(event, key)) for event in record.key_averages()}
    whole = sum(costs.values()) or 1.0
    return [(name, costs[name] / whole) for name in sorted(costs, key=costs.__getitem__, reverse=True)[:3]]


def peak(device: torch.device) -> float:
    """Most memory used so far, in MiB: the device's on CUDA, else this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    row, side, text = sys.argv[1:]
    out = os.fdopen(os.dup(1), "w")  # profilers and libraries may write to standard output
    os.dup2(2, 1)
    from benchmarks.speed.sides import Config, lite_steps, rows
    from vtcli.core.system import runtime

    values: dict[str, Any] = json.loads(text)
    device = torch.device(values["device"])
    config = Config(Path(values["viton"]), Path(values["store"]), device, values["jobs"], values["quick"])
    if row == "machine":
        kinds = [torch.float32] + [torch.bfloat16] * runtime.has_bfloat16(
            device
        )  # emulated, it takes minutes
        rates = {str(d).removeprefix("torch."): matrix_rate(device, d) for d in kinds}
        print(json.dumps(rates), file=out, flush=True)
        return
    job = (lite_steps().get(row) or rows()[row][0 if side == "baseline" else 1])(config)
    job()
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        what = line.strip()
        answer: Any
        if what == "go":
            wait(device)
            start = time.perf_counter()
            units = job()
            wait(device)
            answer = (time.perf_counter() - start) / units
        elif what == "flops":
            answer = flops(job)
        elif what == "profile":
            answer = _profile(job, device)
        else:
            answer = peak(device)
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main()
