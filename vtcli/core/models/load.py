"""Weights files → networks, ready for inference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from vtcli.core.models.gmm import GMM, GMM_PRESETS
from vtcli.core.models.parser import PARSER_PRESETS, Parser
from vtcli.core.models.tom import TOM, TOM_PRESETS
from vtcli.core.models.weights import fill, read_weights
from vtcli.core.system.errors import VtcliError

Network = TypeVar("Network", bound=nn.Module)


def load_gmm(path: Path) -> GMM:
    """The GMM of a weights file, in eval mode, channels-last, without gradients."""
    facts, state = read_weights(path)
    _check(path, facts, "gmm", GMM_PRESETS)
    return _ready(GMM(GMM_PRESETS[facts["preset"]], bool(facts.get("aux"))), state, path)


def load_tom(path: Path) -> TOM:
    """The TOM of a weights file, in eval mode, channels-last, without gradients."""
    facts, state = read_weights(path)
    _check(path, facts, "tom", TOM_PRESETS)
    return _ready(TOM(TOM_PRESETS[facts["preset"]], bool(facts.get("aux"))), state, path)


def load_parser(path: Path) -> Parser:
    """The parser of a weights file, in eval mode, channels-last, without gradients."""
    facts, state = read_weights(path)
    _check(path, facts, "parser", PARSER_PRESETS)
    return _ready(Parser(PARSER_PRESETS[facts["preset"]]), state, path)


def _check(path: Path, facts: Mapping[str, object], stage: str, presets: Mapping[str, object]) -> None:
    if facts.get("stage") != stage:
        raise VtcliError(f"{path}: weights of a {facts.get('stage')}, not of a {stage}")
    preset = facts.get("preset")
    if not isinstance(preset, str) or preset not in presets:
        raise VtcliError(f"{path}: unknown preset {preset!r}")


def _ready(network: Network, state: dict[str, torch.Tensor], path: Path) -> Network:
    fill(network, state, path)
    network.eval().requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
