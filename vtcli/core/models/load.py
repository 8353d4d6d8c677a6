"""Weights files → networks, ready for inference."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vtcli.core.models.common import GMM, TOM
from vtcli.core.models.kind import KindNet
from vtcli.core.models.outline import OutlineNet
from vtcli.core.models.parser import PARSER_PRESETS, Parser, with_own_labels
from vtcli.core.models.presets import GMM_PRESETS, TOM_PRESETS, build_gmm, build_tom
from vtcli.core.models.weights import fill, read_weights, stage_file
from vtcli.core.system.errors import VtcliError

Network = TypeVar("Network", bound=nn.Module)


def load_gmm(path: Path) -> GMM:
    """The GMM of a weights file, in eval mode, channels-last, without gradients."""
    preset, metadata, state = _read(path, "gmm", GMM_PRESETS)
    return _ready(build_gmm(preset, bool(metadata.get("aux"))), state, path)


def load_tom(path: Path) -> TOM:
    """The TOM of a weights file, in eval mode, channels-last, without gradients."""
    preset, metadata, state = _read(path, "tom", TOM_PRESETS)
    return _ready(build_tom(preset, bool(metadata.get("aux"))), state, path)


def load_parser(path: Path) -> Parser:
    """The parser of a weights file, in eval mode, channels-last, without gradients."""
    preset, _, state = _read(path, "parser", PARSER_PRESETS)
    return _ready(Parser(PARSER_PRESETS[preset]), with_own_labels(state), path)


def load_kind(folder: Path | None) -> KindNet:
    """The network that tells kinds of garments, of `folder` or of vtcli's own weights, in eval mode, channels-last."""
    path = stage_file(folder, "kind")
    return _ready(KindNet(), _checked(path, "kind")[1], path)


def load_outline(folder: Path | None) -> OutlineNet:
    """The network that finds garments on any background, of `folder` or of vtcli's own weights, in eval mode, channels-last."""
    path = stage_file(folder, "outline")
    return _ready(OutlineNet(), _checked(path, "outline")[1], path)


def _checked(path: Path, stage: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and state of a weights file; VtcliError where it is another stage's."""
    metadata, state = read_weights(path)
    if metadata.get("stage") != stage:
        raise _unlike(path, metadata, stage)
    return metadata, state


def _unlike(path: Path, metadata: dict[str, Any], stage: str) -> VtcliError:
    return VtcliError(
        f"{path}: weights of a {metadata.get('stage')}, not of a {stage}; name a folder that holds {stage}.safetensors"
    )


def _read(path: Path, stage: str, presets: Collection[str]) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Preset, metadata and state of a weights file of `stage`; VtcliError where it is another stage's."""
    metadata, state = _checked(path, stage)
    preset = metadata.get("preset")
    if not isinstance(preset, str) or preset not in presets:
        raise VtcliError(f"{path}: unknown preset {preset!r}")
    return preset, metadata, state


def _ready(network: Network, state: dict[str, Tensor], path: Path) -> Network:
    fill(network.eval(), state, path)
    network.requires_grad_(False)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
