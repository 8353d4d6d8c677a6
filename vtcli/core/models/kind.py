"""The kind of a garment, by a small network of its own: the first five stages of EfficientNet-Lite0 (Tan & Le, ICML 2019).

It begins from ImageNet's weights and is trained by `benchmarks/kinds.py`. It takes a quarter of the parser's time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.models.efficientnet import STAGES, EfficientNetLite0
from vtcli.core.models.lite0 import lite0_scale

KINDS = ("top", "outerwear", "trousers", "shorts", "skirt", "dress")
TOPS = ("top", "outerwear")
WORDS = {
    "top": "a top", "outerwear": "outerwear", "trousers": "trousers", "shorts": "shorts", "skirt": "a skirt",
    "dress": "a dress",
}  # fmt: skip
SIZE = (192, 144)
"""Height and width of the pictures that the network sees."""
DEPTH, WIDTH = 5, 320
"""Stages of EfficientNet-Lite0 that it has, of seven: up to stride 16; and channels before the means."""
LEAST_TOP = 0.2
"""Probability of top and outerwear together below which a garment is none."""


@dataclass(frozen=True)
class Kind:
    """`probabilities` of `KINDS`."""

    probabilities: tuple[float, ...]

    @property
    def name(self) -> str:
        """The likeliest kind."""
        return max(zip(self.probabilities, KINDS, strict=True))[1]

    @property
    def words(self) -> str:
        """The likeliest kind but tops, as people say it."""
        rest = ((p, k) for p, k in zip(self.probabilities, KINDS, strict=True) if k not in TOPS)
        return WORDS[max(rest)[1]]

    @property
    def certainty(self) -> float:
        """That it is no top, in [0, 1]."""
        return 1.0 - sum(p for p, k in zip(self.probabilities, KINDS, strict=True) if k in TOPS)

    @property
    def is_no_top(self) -> bool:
        """Whether it is something else than a top, as far as can be told."""
        return self.certainty > 1.0 - LEAST_TOP


class KindNet(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] of one garment each → logits (B, 6) of `KINDS`. Random weights, to be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = EfficientNetLite0(head=False, stages=DEPTH)
        self.neck = nn.Conv2d(STAGES[DEPTH - 1][4], WIDTH, 1)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(WIDTH, len(KINDS))

    def forward(self, pictures: Tensor) -> Tensor:
        if pictures.shape[2:] != torch.Size(SIZE):
            pictures = F.interpolate(pictures, SIZE, mode="bilinear", antialias=True)
        return self.judge(self.encoder.features(lite0_scale(pictures))[-1])

    def judge(self, maps: Tensor) -> Tensor:
        """The encoder's last maps (B, C, h, w) → logits (B, 6)."""
        logits: Tensor = self.out(self.drop(F.relu(self.neck(maps)).mean((2, 3))))
        return logits
