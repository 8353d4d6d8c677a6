"""Settings of the process that make torch quick, chosen by the program rather than by the user's environment.

- glibc gives large blocks back to the kernel after every step and then faults them in again; `keep_memory`
  tells it to keep them (a third to a half of a training step's time on a CPU).
- Channels-last is the faster layout for the small convolutions here, on CPUs and on GPUs.
- bfloat16 autocast pays only where the processor has it (AVX-512 bf16, AMX, or a CUDA device).
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from contextlib import AbstractContextManager

import torch

from vtcli.core.system.errors import UsageProblem

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8


def keep_memory() -> bool:
    """Let glibc keep freed memory instead of returning it to the kernel; False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(
            mallopt(_M_MMAP_MAX, 0) and mallopt(_M_ARENA_MAX, 1) and mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        )
    return False


def devices_present() -> list[str]:
    """Names of the devices that torch can use here, e.g. ["cpu", "cuda:0"]."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names


def choose_device(name: str) -> torch.device:
    """ "auto", "cpu", "cuda", "cuda:N" or "mps" → device; UsageProblem lists those present otherwise."""
    present = devices_present()
    if name == "auto":
        return torch.device("cuda:0" if "cuda:0" in present else "cpu")
    full = "cuda:0" if name == "cuda" else name
    if full not in present:
        raise UsageProblem(f"device {name}: not here; present: {', '.join(present)} (or auto)")
    return torch.device(full)


def has_bfloat16(device: torch.device) -> bool:
    """Whether `device` computes in bfloat16 itself; processors without it emulate it, slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # torch may be held to fewer instructions than there are (ATEN_CPU_CAPABILITY=avx2).
        probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(probe and probe()) and torch.backends.cpu.get_cpu_capability() == "AVX512"
    return False


def training_layout(device: torch.device) -> torch.memory_format:
    """The memory format of weights in which a training step is fastest: channels-last, but on a processor without
    bfloat16 contiguous. There a step of CP-VTON's GMM and TOM is about a tenth faster, since oneDNN's float32 gradients are."""
    if device.type == "cpu" and not has_bfloat16(device):
        return torch.contiguous_format
    return torch.channels_last


def exact(device: torch.device) -> torch.device:
    """Where float64 is computed for `device`: there, or on the CPU for Apple's MPS, which has none."""
    return torch.device("cpu") if device.type == "mps" else device


def autocast(device: torch.device, enabled: bool) -> AbstractContextManager[object]:
    """bfloat16 autocast on `device`, or nothing."""
    if enabled:
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()
