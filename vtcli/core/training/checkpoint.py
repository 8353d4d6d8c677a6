"""Checkpoints without pickle: every tensor in one safetensors file, everything else as JSON in its header."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from vtcli.core.models.weights import check_finite
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import write_atomically


@dataclass
class TrainState:
    """Where a run stands, beside its weights and optimisers."""

    step: int = 0  # steps taken, skipped ones included
    seconds: float = 0.0  # time spent in all sittings
    best: float | None = None  # the best validation's score, higher is better; None before the first
    skipped: int = 0  # steps lost to a loss that was not finite
    validated: int = 0  # the step of the last finished validation

    @classmethod
    def from_json(cls, values: Any) -> TrainState:
        """The state that `asdict` gave; ValueError unless every field is there with a sensible value."""
        if not isinstance(values, dict) or values.keys() != cls().__dict__.keys():
            raise ValueError("its state does not have the fields of a run's state")
        for key in ("step", "skipped", "validated"):
            if not _is_count(values[key], int):
                raise ValueError(f"its state's {key} is {values[key]!r}")
        if not _is_count(values["seconds"], int | float):
            raise ValueError(f"its state's seconds are {values['seconds']!r}")
        best = values["best"]
        if best is not None and (not isinstance(best, float) or not math.isfinite(best)):
            raise ValueError(f"its state's best is {best!r}")
        return cls(**values)


def _is_count(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and 0 <= value < 1e15


def save_checkpoint(
    path: Path,
    modules: dict[str, nn.Module],
    optimizers: dict[str, Optimizer],
    state: TrainState,
    options: dict[str, Any],
) -> None:
    """Write modules, optimisers, the run's state and its options (JSON-ready) to `path`, whole or not at all.

    VtcliError where a tensor is not finite: the former checkpoint then stays.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        for key, value in module.state_dict().items():
            tensors[f"module.{name}.{key}"] = value.detach().cpu().contiguous()
    for name, optimizer in optimizers.items():
        for index, moments in optimizer.state_dict()["state"].items():
            for key, value in moments.items():
                tensors[f"optimizer.{name}.{index}.{key}"] = (
                    torch.as_tensor(value).detach().cpu().contiguous()
                )
    check_finite(path, tensors, "not written, ")
    data = save(tensors, metadata={"state": json.dumps(asdict(state)), "options": json.dumps(options)})
    write_atomically(path, lambda stream: stream.write(data))


def load_checkpoint(
    path: Path, modules: dict[str, nn.Module], optimizers: dict[str, Optimizer]
) -> TrainState:
    """Fill modules and optimisers from `path` and return the run's state. VtcliError names a broken file."""
    if not path.is_file():
        raise VtcliError(f"{path}: no checkpoint here to resume from; start anew (without --resume)")
    try:
        with safe_open(str(path), framework="pt") as file:
            state = TrainState.from_json(json.loads(file.metadata()["state"]))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as problem:
        raise VtcliError(f"{path}: not a readable checkpoint ({problem})") from problem
    check_finite(path, tensors)
    for name, module in modules.items():
        try:
            module.load_state_dict(_below(f"module.{name}.", tensors))
        except RuntimeError as problem:
            raise VtcliError(f"{path}: made by another preset or other options ({name})") from problem
    for name, optimizer in optimizers.items():
        try:
            _fill_optimizer(optimizer, _below(f"optimizer.{name}.", tensors))
        except ValueError as problem:
            raise VtcliError(
                f"{path}: made by another preset or other options (optimizer of {name})"
            ) from problem
    return state


FREE = {
    "out", "data", "steps", "epochs", "minutes", "val", "validate_every", "checkpoint_minutes", "compile", "init", "gmm",
}  # fmt: skip
"""Options that a run may change when it is resumed, or that say where things lie."""
_SPOKEN = {"store": "another store", "batch_size": "another batch", "lr": "another learning rate"}


def changed_options(path: Path, options: dict[str, Any]) -> list[str]:
    """What of `options` differs from those in the checkpoint at `path`, in words: the run is then not the one that would
    have been without the interruption. Options that one of the two does not have are not compared."""
    with safe_open(str(path), framework="pt") as file:
        before = json.loads(file.metadata().get("options", "{}"))
    words = []
    for name in options.keys() & before.keys() - FREE:
        was, now = before[name], options[name]
        if was != now and (name not in _SPOKEN or was is not None):
            values = "" if name == "store" else f": {_short(now)}, begun with {_short(was)}"
            words.append(f"{_SPOKEN.get(name, f'another {name}')}{values}")
    return sorted(words)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _fill_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load moments named "<number of the parameter>.<field>"; ValueError where there is no such parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, field = key.partition(".")
        if not index.isdigit() or int(index) >= len(parameters):
            raise ValueError(f"no parameter {index}")
        like = parameters[int(index)]
        if value.shape == like.shape and value.ndim:
            # Fused AdamW walks moments and parameter in one order of memory and does not look at strides.
            value = torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
        moments.setdefault(int(index), {})[field] = value
    whole = optimizer.state_dict()
    whole["state"] = moments
    optimizer.load_state_dict(whole)
