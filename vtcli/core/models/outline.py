"""Where the garment lies on a picture with any background, which way up, and whether it is several: EfficientNet-Lite0's first five stages
(Tan & Le, ICML 2019) and a decoder.

The encoder has seen ImageNet and kinds of garments, and stays as it is. The decoder is trained by `benchmarks/cutouts.py` and
`one_garment.py`, on garments laid on other backgrounds, turned, and laid over each other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.models.blocks import UpDecoder, conv_block
from vtcli.core.models.efficientnet import CHANNELS, LITE0, EfficientNetLite
from vtcli.core.models.lite0 import lite0_scale

AREA, STEP = 256 * 192, 32
"""Pixels of what the network sees, and what its height and width are multiples of."""
WIDTHS = (16, 32, 48)
"""Channels of the decoder at strides 2, 4, 8."""
SUMMARY = 64
"""Channels of what the whole picture shows, at stride 16."""
LYING_SIZE = (192, 144)
"""Height and width at which a garment is looked at that was cut out already: how it lies, and whether it is several."""
CELLS = (3, 3)
"""Parts of the picture that are looked at apart to tell which way up the garment is, and whether it is one."""
ENCODED = 5
"""Stages of the encoder: up to stride 16."""
TURNS = 4
"""Quarter turns."""


def view_size(height: int, width: int) -> tuple[int, int]:
    """The size at which the network sees a picture of `height` and `width`: its proportions, about `AREA` pixels."""
    scale = (AREA / (height * width)) ** 0.5
    tall, wide = (max(2 * STEP, round(side * scale / STEP) * STEP) for side in (height, width))
    return min(tall, 16 * STEP), min(wide, 16 * STEP)


class OutlineNet(nn.Module):
    """What `seen` sees → logits (B, 1, H / 2, W / 2) of the garment. Random weights, to be loaded."""

    def __init__(self) -> None:
        super().__init__()
        *finer, deepest = CHANNELS[:4]
        self.encoder = EfficientNetLite(LITE0[:ENCODED], classes=None)
        self.narrow = nn.Sequential(*conv_block(deepest, SUMMARY, 1))
        self.summary = nn.Conv2d(SUMMARY, SUMMARY, 1)
        self.decoder = UpDecoder((*finer, SUMMARY), WIDTHS)
        self.out = nn.Conv2d(WIDTHS[0], 1, 3, padding=1)
        self.turn = nn.Linear(deepest * CELLS[0] * CELLS[1], TURNS)
        self.several = nn.Linear(deepest * CELLS[0] * CELLS[1], 1)

    @torch.no_grad()
    def seen(self, pictures: Tensor) -> list[Tensor]:
        """What the encoder sees of `pictures` (B, 3, H, W) in [-1, 1]: maps at strides 2, 4, 8, 16."""
        return self.encoder.features(lite0_scale(pictures))

    def forward(self, maps: list[Tensor]) -> Tensor:
        deepest = self.narrow(maps[-1])
        deepest = F.relu(deepest + self.summary(deepest.mean((2, 3), keepdim=True)))
        out: Tensor = self.out(self.decoder([*maps[:-1], deepest]))
        return out

    def turns(self, maps: list[Tensor]) -> Tensor:
        """The maps of `seen` of a garment alone, placed as if it were upright → logits (B, 4) of the quarter turns,
        anticlockwise, by which it is turned."""
        out: Tensor = self.turn(F.adaptive_avg_pool2d(maps[-1], CELLS).flatten(1))
        return out

    def overlaps(self, maps: list[Tensor]) -> Tensor:
        """The same maps → logits (B,) that it is several garments, one over another."""
        out: Tensor = self.several(F.adaptive_avg_pool2d(maps[-1], CELLS).flatten(1))[:, 0]
        return out
