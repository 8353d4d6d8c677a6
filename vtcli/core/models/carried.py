"""What a person carries in front of the top, for which the parser's labels have no name: bags, straps, phones, cups.

A small head on the parser's maps. It is trained by `benchmarks/carried.py` on VITON's people with drawn things and on
street photos with labelled bags; the parser itself stays as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.models.efficientnet import CHANNELS
from vtcli.core.models.parser import PARSER_PRESETS, ParserPreset


class CarriedHead(nn.Module):
    """The parser's `merged` (B, 256, H/4, W/4) and the encoder's `finest` (B, 32, H/2, W/2) → logits (B, 1, H/2, W/2) of
    things carried. Random weights, to be loaded."""

    def __init__(self, preset: ParserPreset = PARSER_PRESETS["lite"]) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(4 * preset.segmentation, 32, 1)
        self.look = nn.Conv2d(32 + CHANNELS[0], 32, 3, padding=1)
        self.around = nn.Conv2d(32, 32, 3, padding=3, dilation=3)
        self.out = nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, merged: Tensor, finest: Tensor) -> Tensor:
        coarse = F.relu(self.squeeze(merged))
        x = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = F.relu(self.look(torch.cat([x, finest], dim=1)))
        x = x + F.relu(self.around(x))
        out: Tensor = self.out(x)
        return out
