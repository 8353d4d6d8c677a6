"""Weights files: safetensors, half precision on disk, with metadata in the header. Never a pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import not_the_file, write_atomically

DEFAULT_FOLDER = Path(__file__).resolve().parents[2] / "weights"
"""The weights that come with vtcli."""
FORMAT = "vtcli-weights"
_FOREIGN = "not a vtcli weights file; foreign ones go through `vtcli weights import`"
METADATA_KEY = "facts"
"""Key of the metadata in the header; part of the file format."""
OF_GARMENTS = ("kind", "outline")
"""Stages that look at garments' pictures, and are no part of a trained system."""
LARGE = 32768
"""Values of a layer from which it may be rounded to 8 bits: at the ends of the networks are smaller ones, and with them rounded, too,
pictures with keep=head lose .01 SSIM; with the large ones alone nothing."""
SCALE = ":scale"
"""What the name of a tensor's scales ends in, if its values are whole numbers; part of the file format."""


def save_weights(
    path: Path, network: nn.Module, metadata: dict[str, Any], half: bool = True, whole: bool = False
) -> None:
    """Write a network's state to `path` (float16 unless `half` is False) with JSON-ready `metadata` in the header.
    `whole`: the weights of large layers as whole numbers of 8 bits, with a scale for each output channel."""
    tensors: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        value = value.detach().cpu()
        if whole and value.is_floating_point() and value.ndim > 1 and value.numel() >= LARGE:
            scale = value.flatten(1).abs().amax(1).clamp_min(1e-8) / 127
            value = (value / _along(scale, value)).round().to(torch.int8)
            tensors[key + SCALE] = scale
        tensors[key] = (value.half() if half and value.is_floating_point() else value).contiguous()
    data = save(tensors, metadata={"format": FORMAT, METADATA_KEY: json.dumps(metadata)})
    write_atomically(path, lambda stream: stream.write(data))


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a weights file; VtcliError when it is not one."""
    return _open(path)[0]


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and float32 state of a weights file; VtcliError when it is not one."""
    metadata, tensors = _open(path, tensors=True)
    state = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    for key in [k for k in state if k.endswith(SCALE)]:
        scale, name = state.pop(key), key.removesuffix(SCALE)
        if name in state:
            state[name] = state[name] * _along(scale, state[name])
    return metadata, state


def _along(scale: Tensor, value: Tensor) -> Tensor:
    """`scale` (C) shaped to multiply `value` (C, ...)."""
    return scale.view(-1, *[1] * (value.ndim - 1))


def fill(network: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    """Load `state` (of the file `path`, for messages) into `network`, all of it."""
    try:
        network.load_state_dict(state)
    except RuntimeError as problem:
        first = str(problem).splitlines()[-1].strip()
        raise VtcliError(f"{path}: does not fit the network its header names ({first})") from problem


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def stage_file(folder: Path | None, stage: str) -> Path:
    """`folder/<stage>.safetensors` (default folder: the weights that come with vtcli), which must exist.

    `folder` may also be a run's folder (`runs`, with `<stage>/best.safetensors`) or a weights file itself. A
    folder without a parser goes with the parser that comes with vtcli: it is no part of a trained system. Neither are
    the networks that look at garments' pictures, "kind" and "outline".
    """
    root = Path(folder) if folder is not None else DEFAULT_FOLDER
    own = () if stage in OF_GARMENTS else (root,)
    for path in (root / f"{stage}.safetensors", root / stage / "best.safetensors", *own):
        if path.is_file():
            return path
    shipped = DEFAULT_FOLDER / f"{stage}.safetensors"
    if stage in OF_GARMENTS or (stage == "parser" and root.is_dir() and shipped.is_file()):
        return shipped
    advice = "name a weights folder that has one, or train one"
    if root.is_dir() and any(root.glob("*.pth")):
        advice = "`vtcli weights import` makes them of CP-VTON's .pth files"
    there = folder is None or root.exists()
    raise VtcliError(
        f"{root}: {f'no {stage}.safetensors here' if there else 'no such file or folder'}; {advice}"
    )


def _open(path: Path, tensors: bool = False) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not Path(path).is_file():
        raise VtcliError(f"{path}: no such weights file")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise VtcliError(f"{path}: {_FOREIGN}")
            metadata: dict[str, Any] = json.loads(header[METADATA_KEY])
            if not isinstance(metadata, dict):
                raise ValueError("its metadata is not an object")
            values: dict[str, Tensor] = {}
            if tensors:
                values = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as problem:
        foreign = Path(path).suffix.lower() in (".pth", ".pt", ".ckpt", ".pkl", ".bin")
        words = not_the_file(path) or (
            _FOREIGN if foreign else f"not a readable safetensors file ({problem}); copy or download it again"
        )
        raise VtcliError(f"{path}: {words}") from problem
    check_finite(path, values)
    return metadata, values


def check_finite(path: Path, tensors: dict[str, Tensor], outcome: str = "") -> None:
    """VtcliError that names `path`, the `outcome` and the tensor where one of them holds infinity or NaN."""
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise VtcliError(f"{path}: {outcome}{key} holds values that are not finite")
