"""Checkpoints without pickle: every tensor in one safetensors file, everything else as JSON in its header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import write_atomically


def save_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer], facts: dict[str, Any]
) -> None:
    """Write modules, optimisers and `facts` (JSON-ready) to `path`, whole or not at all."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            tensors[f"module.{name}.{key}"] = value.detach().cpu().contiguous()
    for name, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                tensors[f"optimizer.{name}.{index}.{key}"] = (
                    torch.as_tensor(value).detach().cpu().contiguous()
                )
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise VtcliError(f"{path}: not written, {key} holds values that are not finite")
    data = save(tensors, metadata={"facts": json.dumps(facts)})
    write_atomically(path, lambda stream: stream.write(data))


def load_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]
) -> dict[str, Any]:
    """Fill modules and optimisers from `path` and return its facts. VtcliError names a broken file."""
    if not path.is_file():
        raise VtcliError(f"{path}: no checkpoint here to resume from; start without --resume")
    try:
        with safe_open(str(path), framework="pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
            _check_state(facts["state"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as problem:
        raise VtcliError(f"{path}: not a readable checkpoint ({problem})") from problem
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise VtcliError(f"{path}: {key} holds values that are not finite")
    for name, module in modules.items():
        prefix = f"module.{name}."
        own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        try:
            module.load_state_dict(own)
        except RuntimeError as problem:
            raise VtcliError(f"{path}: made by another preset or other options ({name})") from problem
    for name, optimizer in optimizers.items():
        prefix = f"optimizer.{name}."
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(prefix):
                index, _, field = key.removeprefix(prefix).partition(".")
                if not index.isdigit() or int(index) >= len(parameters):
                    raise VtcliError(f"{path}: made by another preset or other options (optimizer of {name})")
                like = parameters[int(index)]
                if value.shape == like.shape and value.ndim:
                    # Fused AdamW walks moments and parameter in one order of memory and does not look at strides.
                    value = torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
                state.setdefault(int(index), {})[field] = value
        whole = optimizer.state_dict()
        whole["state"] = state
        optimizer.load_state_dict(whole)
    return facts


def _check_state(state: Any) -> None:
    """ValueError unless a run's state has the numbers that the loop counts with."""
    if not isinstance(state, dict):
        raise ValueError("its state is not an object")
    for key in ("step", "seconds", "skipped"):
        value = state.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
            raise ValueError(f"its state's {key} is {value!r}")
    if not all(isinstance(state.get(key, 0), int) for key in ("step", "skipped", "validated")):
        raise ValueError("its state's counts are not whole numbers")
