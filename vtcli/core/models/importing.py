"""CP-VTON's `gmm_final.pth` and `tom_final.pth` become weights files of the `paper` preset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from vtcli.core.models.cpvton import PaperTOMSettings
from vtcli.core.models.foreign import read_tensors
from vtcli.core.models.presets import build_gmm, build_tom
from vtcli.core.models.weights import check_finite, save_weights, sha256
from vtcli.core.system.errors import UsageProblem, VtcliError

GMM_PREFIXES = {
    "extractionA.model.": "person_encoder.layers.",
    "extractionB.model.": "cloth_encoder.layers.",
    "regression.": "regressor.",
}
"""Where CP-VTON's GMM keeps its parts, and where ours does; inside of them the numbering is the same."""


@dataclass
class Imported:
    """One imported file: itself, the weights file written, its stage and its number of parameters."""

    source: Path
    path: Path
    stage: str
    parameters: int


def import_weights(
    sources: Sequence[Path], out: Path, stage: str | None = None, force: bool = False
) -> list[Imported]:
    """Turn `.pth` files of CP-VTON into `out/<stage>.safetensors` (float32, preset `paper`, no auxiliary decoder).

    The stage is recognised by a file's keys; where `stage` is given, another one is refused. An existing file is replaced
    only with `force`. Raises VtcliError when a file is not a plain state dict of one of the two networks, to the last key
    and shape, and UsageProblem when two are of the same stage; nothing is written then.
    """
    networks: dict[str, tuple[Path, nn.Module]] = {}
    for source in sources:
        found, network = _read(source)
        if stage is not None and stage != found:
            raise UsageProblem(f"{source}: holds the weights of a {found}, not of a {stage}")
        if found in networks:
            raise UsageProblem(
                f"{networks[found][0]} and {source} both hold the weights of a {found}; name one of them"
            )
        networks[found] = source, network
        path = out / f"{found}.safetensors"
        if path.exists() and not force:
            raise VtcliError(f"{path}: exists already; choose another folder, or replace it (--force)")
    return [
        _write(source, network, found, out / f"{found}.safetensors")
        for found, (source, network) in networks.items()
    ]


def _read(source: Path) -> tuple[str, nn.Module]:
    """The stage of a file, and its network."""
    state = read_tensors(source, "CP-VTON's weights")
    found = recognise(state)
    if found is None:
        some = ", ".join(sorted(state)[:3]) or "nothing"
        raise VtcliError(f"{source}: neither CP-VTON's GMM nor its TOM (it holds {some} …)")
    if _is_cp_vton_plus(state):
        raise VtcliError(
            f"{source}: the {found.upper()} of CP-VTON+, whose networks also see the garment's mask; vtcli has CP-VTON's, for "
            "which the files of CP-VTON itself are made"
        )
    with torch.device("meta"):  # every value comes from the file
        network = _network(found)
    mapped = _mapped(state, _names(found, network), network.state_dict(), source)
    network.load_state_dict(mapped, assign=True)
    return found, network


def _write(source: Path, network: nn.Module, stage: str, path: Path) -> Imported:
    metadata = {
        "stage": stage, "preset": "paper", "aux": False, "keep": "head",
        "source": {"file": source.name, "sha256": sha256(source)},
    }  # fmt: skip
    save_weights(path, network, metadata, half=False)
    return Imported(source, path, stage, sum(p.numel() for p in network.parameters()))


def _is_cp_vton_plus(state: Mapping[str, Tensor]) -> bool:
    """Whether a GMM sees the garment's mask in the garment's place, or a TOM the mask as well (Minar et al., 2020)."""
    channels = {"extractionB.model.0.weight": 1, "model.model.0.weight": 26}
    return any(
        key in state and state[key].ndim == 4 and state[key].shape[1] == n for key, n in channels.items()
    )


def recognise(state: Mapping[str, Tensor]) -> str | None:
    """Which of CP-VTON's networks has these keys: "gmm", "tom" or None."""
    if "regression.linear.weight" in state and "extractionA.model.0.weight" in state:
        return "gmm"
    if "model.model.0.weight" in state and "model.model.1.model.1.weight" in state:
        return "tom"
    return None


def _network(stage: str) -> nn.Module:
    return build_gmm("paper", aux=False) if stage == "gmm" else build_tom("paper", aux=False)


def _names(stage: str, network: nn.Module) -> dict[str, str]:
    """Our names → CP-VTON's, for every entry of the network's state."""
    if stage == "gmm":
        back = {ours: theirs for theirs, ours in GMM_PREFIXES.items()}
        return {
            key: theirs + key.removeprefix(ours)
            for key in network.state_dict()
            for ours, theirs in back.items()
            if key.startswith(ours)
        }
    names: dict[str, str] = {}
    for ours, theirs in _unet_convolutions(len(PaperTOMSettings().widths)):
        names |= {f"{ours}.{part}": f"{theirs}.{part}" for part in ("weight", "bias")}
    return names


def _unet_convolutions(levels: int) -> list[tuple[str, str]]:
    """Our U-Net's convolutions and CP-VTON's, level by level.

    Theirs are nested Sequentials: [Conv, level below, ReLU, Upsample, Conv, Norm] outermost, then [LeakyReLU,
    Conv, Norm, level below, ReLU, Upsample, Conv, Norm], innermost [LeakyReLU, Conv, ReLU, Upsample, Conv, Norm].
    """
    pairs = []
    ours, theirs = "unet.levels", "model.model"
    for level in range(levels):
        if level == 0:
            down, below, up = (0, 0), 1, 4
        elif level < levels - 1:
            down, below, up = (1, 1), 3, 6
        else:
            down, below, up = (1, 1), -1, 4
        pairs += [(f"{ours}.down.{down[0]}", f"{theirs}.{down[1]}"), (f"{ours}.up.2", f"{theirs}.{up}")]
        ours, theirs = f"{ours}.below", f"{theirs}.{below}.model"
    return pairs


def _mapped(
    state: Mapping[str, Tensor], names: dict[str, str], own: Mapping[str, Tensor], source: Path
) -> dict[str, Tensor]:
    """`state` under our names, float32; VtcliError names the first key that is missing, odd or superfluous."""
    mapped: dict[str, Tensor] = {}
    for ours, target in own.items():
        theirs = names[ours]
        if theirs not in state and theirs.endswith(".num_batches_tracked"):
            mapped[ours] = torch.zeros((), dtype=target.dtype)  # files of PyTorch before 0.4.1 have none
            continue
        if theirs not in state:
            raise VtcliError(f"{source}: {theirs} is missing")
        value = state[theirs]
        if value.shape != target.shape:
            raise VtcliError(f"{source}: {theirs} is {list(value.shape)}, not {list(target.shape)}")
        value = value.to(target.dtype)
        check_finite(source, {theirs: value})
        mapped[ours] = value
    for extra in sorted(state.keys() - set(names.values())):
        raise VtcliError(f"{source}: {extra} is not part of CP-VTON's network")
    return mapped
