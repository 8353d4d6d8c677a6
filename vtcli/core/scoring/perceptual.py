"""LPIPS of each result and its photo, with a trunk from a local file."""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vtcli.core.scoring.features import read_state
from vtcli.core.scoring.pictures import Picture
from vtcli.core.system.errors import VtcliError

_BATCH = 16
_TRUNKS: dict[tuple[int, ...], str] = {(64, 3, 11, 11): "alex", (64, 3, 3, 3): "vgg"}


class Lpips:
    """LPIPS 0.1 (Zhang et al., CVPR 2018): heads of the package `lpips`, trunk from a torchvision state dict.

    `path` holds torchvision's AlexNet or VGG-16 (ImageNet weights are what LPIPS was calibrated with).
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        try:
            import lpips
        except ImportError as problem:
            raise VtcliError("LPIPS needs its package; run `pip install 'vtcli[lpips]'`") from problem
        what = "torchvision's AlexNet or VGG-16 weights"
        state = read_state(path, what)
        first = state.get("features.0.weight")
        trunk = None if first is None else _TRUNKS.get(tuple(first.shape))
        if trunk is None:
            raise VtcliError(f"{path}: not {what}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision's word on lpips' way of naming weights
            net: Any = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False)
        # lpips cuts the trunk into slices; layers keep their numbers: slice2.3.weight is features.3.weight.
        wanted = {name: f"features.{name.split('.', 1)[1]}" for name in net.net.state_dict()}
        try:
            net.net.load_state_dict({name: state[source] for name, source in wanted.items()})
        except (KeyError, RuntimeError) as problem:
            raise VtcliError(f"{path}: not {what} ({problem})") from problem
        self.net, self.device, self.trunk = net.eval().to(device), device, trunk
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()

    def __call__(self, results: np.ndarray, photos: np.ndarray) -> np.ndarray:
        """Two stacks (B, H, W, 3) of uint8 → (B,) distances."""
        a, b = (
            torch.from_numpy(x).permute(0, 3, 1, 2).to(self.device).float() / 127.5 - 1
            for x in (results, photos)
        )
        with torch.inference_mode():
            return np.asarray(self.net(a, b).flatten().float().cpu().numpy(), dtype=np.float64)


def lpips_of(
    results: Sequence[Picture],
    photos: Sequence[Picture],
    measure: Lpips,
    advance: Callable[[int], object],
) -> np.ndarray:
    """LPIPS (n,) of each result and its photo."""
    values: list[float] = []
    for start in range(0, len(results), _BATCH):
        pairs = [
            (result.read(), photo.read())
            for result, photo in zip(
                results[start : start + _BATCH], photos[start : start + _BATCH], strict=True
            )
        ]
        for _, group in itertools.groupby(pairs, key=lambda pair: pair[0].shape):
            mine, its = zip(*group, strict=True)
            values.extend(measure(np.stack(mine), np.stack(its)))
        advance(len(values))
    return np.array(values)
