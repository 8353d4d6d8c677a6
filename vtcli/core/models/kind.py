"""The kind of a garment: a small head on what the parser's encoder and decoder see in its picture.

The parser is not trained for it and stays as it is; its maps are averaged over 4×3 parts of the picture, so that the
head knows where the sleeves and legs are. Trained by `benchmarks/kinds.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.labels import LABELS
from vtcli.core.models.efficientnet import CHANNELS
from vtcli.core.models.parser import Parser

KINDS = ("top", "outerwear", "trousers", "shorts", "skirt", "dress")
TOPS = ("top", "outerwear")
WORDS = {
    "top": "a top", "outerwear": "outerwear", "trousers": "trousers", "shorts": "shorts", "skirt": "a skirt",
    "dress": "a dress",
}  # fmt: skip
GRID = (4, 3)
"""Parts of the picture, down and across, over which the parser's maps are averaged."""
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


class KindHead(nn.Module):
    """Features (B, C, 4, 3) → logits (B, 6) of `KINDS`."""

    def __init__(self, width: int = 48, hidden: int = 64) -> None:
        super().__init__()
        channels = feature_channels()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.squeeze = nn.Conv2d(channels, width, 1)
        self.hidden = nn.Linear(width * GRID[0] * GRID[1], hidden)
        self.out = nn.Linear(hidden, len(KINDS))
        self.drop = nn.Dropout(0.4)

    mean: Tensor
    scale: Tensor

    def forward(self, features: Tensor) -> Tensor:
        x = (features - self.mean[:, None, None]) * self.scale[:, None, None]
        x = F.relu(self.squeeze(self.drop(x)))
        x = F.relu(self.hidden(self.drop(x.flatten(1))))
        out: Tensor = self.out(x)
        return out


def feature_channels() -> int:
    """Channels of `kind_features`."""
    return CHANNELS[3] + CHANNELS[4] + MERGED + LABELS


MERGED = 256
"""Channels of the parser's decoder."""


def kind_features(parser: Parser, pictures: Tensor) -> Tensor:
    """What the head sees of `pictures` (B, 3, 256, 192) in [-1, 1]: (B, C, 4, 3)."""
    maps = parser.encoder.features(pictures * (127.5 / 128.0))
    merged = parser.decoder(maps[1:])
    labels = parser.fine_labels(merged, maps[0]).softmax(1)
    return torch.cat([F.adaptive_avg_pool2d(x, GRID) for x in (maps[3], maps[4], merged, labels)], 1)
