"""Weights files of other programs → named tensors. Pickles are read by torch's restricted reader
alone, which makes tensors and containers and runs nothing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import not_the_file

_INSIDE = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "generator",
    "params_ema",
    "params",
    "weights",
)
"""Keys under which training programs keep a network's tensors beside their own state."""


def read_tensors(path: Path, what: str) -> dict[str, Tensor]:
    """The tensors of a `.pth` file by name, without what training programs wrap around them and `module.` prefixes.

    `what` the file should be, for messages. VtcliError says what it is instead and what to do: a failed download, an
    archive, other objects than tensors.
    """
    if not path.is_file():
        raise VtcliError(f"{path}: no such file")
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickle's dialects
            value: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises many kinds for a broken file
        raise VtcliError(f"{path}: {_why(path, problem, what)}") from problem
    state = _tensors(value)
    if state is None:
        raise VtcliError(f"{path}: not a state dict (names and tensors) of {what}")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _tensors(value: Any) -> Mapping[str, Tensor] | None:
    """The named tensors in what a file holds; None where there are none."""
    if not isinstance(value, Mapping):
        return None
    if all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items()):
        return value
    inner = (_tensors(value[key]) for key in _INSIDE if key in value)
    return next((state for state in inner if state), None)


def _why(path: Path, problem: Exception, what: str) -> str:
    if instead := not_the_file(path):
        return instead
    found = re.search(r"GLOBAL ([\w.]+)", str(problem))
    if found:
        return (
            f"holds an object of {found[1]} beside tensors, and vtcli runs no code of a file; in the program that wrote it, "
            "save the tensors alone: torch.save(network.state_dict(), 'weights.pth')"
        )
    return f"not readable as {what} ({type(problem).__name__}); is the file whole?"
