"""What a table was measured on: processor, instruction set, threads, device, versions, date and commit."""

from __future__ import annotations

import datetime
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

from vtcli.core.system import runtime
from vtcli.core.system.cores import usable_cores

ROOT = Path(__file__).resolve().parent.parent.parent


def describe(device: torch.device) -> dict[str, Any]:
    """The machine and the state of the project, JSON-ready."""
    found: dict[str, Any] = {
        "processor": _processor(), "instructions": _instructions(), "cores": usable_cores(),
        "threads": torch.get_num_threads(), "device": str(device), "bfloat16": runtime.has_bfloat16(device),
        "torch": torch.__version__, "python": platform.python_version(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(), "commit": _commit(),
    }  # fmt: skip
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def machine_line(found: dict[str, Any]) -> str:
    """`describe` in a line, for a table's title."""
    gpu = f"{found['gpu']} (CUDA {found['cuda']}), " if "gpu" in found else ""
    bf16 = "bfloat16" if found["bfloat16"] else "no bfloat16"
    return (
        f"{gpu}{found['processor']} ({found['instructions']}), {found['cores']} cores, {found['threads']} threads, "
        f"{bf16} on {found['device']}, torch {found['torch']}, {found['date']}, commit {found['commit']}"
    )


def _cpuinfo() -> dict[str, str]:
    """The first processor's lines of Linux's /proc/cpuinfo; nothing elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def _processor() -> str:
    info = _cpuinfo()
    return info.get("model name") or platform.processor() or platform.machine()


def _instructions() -> str:
    """What torch computes with, and which kinds of bfloat16 the processor has."""
    flags = _cpuinfo().get("flags", "").split()
    kinds = [name for name in ("avx512_bf16", "amx_bf16") if name in flags]
    return " ".join([torch.backends.cpu.get_cpu_capability(), *kinds])


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude", "*"], cwd=ROOT, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
