"""Learned distances of each result and its photo: LPIPS with a trunk from a local file, and ST-LPIPS."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import itertools
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from vtcli.core.models.foreign import read_tensors
from vtcli.core.scoring.pictures import Picture
from vtcli.core.system.errors import VtcliError

_BATCH = 16
_UNUSED = (("IPython", "embed"), ("torchsummary", "summary"))
_TRUNKS: dict[tuple[int, ...], str] = {(64, 3, 11, 11): "alex", (64, 3, 3, 3): "vgg"}


class PairDistance(Protocol):
    """A learned distance between two pictures, by the weights with SHA-256 `digest`."""

    label: str
    digest: str

    def __call__(self, results: np.ndarray, photos: np.ndarray) -> np.ndarray:
        """Two stacks (B, H, W, 3) of uint8 → (B,) distances, 0 for equal pictures."""
        ...


class Lpips:
    """LPIPS 0.1 (Zhang et al., CVPR 2018): heads of the package `lpips`, trunk from a torchvision state dict.

    `path` holds torchvision's AlexNet or VGG-16 (ImageNet weights are what LPIPS was calibrated with).
    """

    label = "LPIPS"

    def __init__(self, path: Path, device: torch.device) -> None:
        try:
            import lpips
        except ImportError as problem:
            raise VtcliError(
                "LPIPS needs its package; run `pip install -e '.[lpips]'` in vtcli's folder"
            ) from problem
        what = "torchvision's AlexNet or VGG-16 weights"
        state = read_tensors(path, what)
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
        return _distances(self.net, self.device, results, photos)


class StLpips:
    """Shift-tolerant LPIPS (Ghildyal and Liu, ECCV 2022), AlexNet; the package holds its trunk and heads."""

    label = "ST-LPIPS"

    def __init__(self, device: torch.device) -> None:
        with _stand_ins():
            try:
                from stlpips_pytorch import stlpips
            except ImportError as problem:
                raise VtcliError(
                    "ST-LPIPS needs its package; run `pip install -e '.[metrics]'` in vtcli's folder"
                ) from problem
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net: Any = stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
        self.net, self.device = net.eval().to(device), device
        weights = Path(stlpips.__file__).parent / "weights/vST0.0/alex_shift_tolerant.pth"
        self.digest = hashlib.sha256(weights.read_bytes()).hexdigest()

    def __call__(self, results: np.ndarray, photos: np.ndarray) -> np.ndarray:
        """Two stacks (B, H, W, 3) of uint8 → (B,) distances."""
        return _distances(self.net, self.device, results, photos)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    """The package imports two modules that it neither uses here nor declares: empty ones do, where they are absent."""
    absent = [(name, used) for name, used in _UNUSED if importlib.util.find_spec(name) is None]
    for name, used in absent:
        module = types.ModuleType(name)
        setattr(module, used, None)
        sys.modules[name] = module
    try:
        yield
    finally:
        for name, _ in absent:
            del sys.modules[name]


def _distances(net: Any, device: torch.device, results: np.ndarray, photos: np.ndarray) -> np.ndarray:
    a, b = (torch.from_numpy(x).permute(0, 3, 1, 2).to(device).float() / 127.5 - 1 for x in (results, photos))
    with torch.inference_mode():
        return np.asarray(net(a, b).flatten().float().cpu().numpy(), dtype=np.float64)


def distances_of(
    results: Sequence[Picture],
    photos: Sequence[Picture],
    measure: PairDistance,
    advance: Callable[[int], object],
) -> np.ndarray:
    """`measure` (n,) of each result and its photo; `advance` hears how many are done."""
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
