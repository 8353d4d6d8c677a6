"""The kind of a garment, by two that look at it and whose probabilities are averaged; `benchmarks/kinds.py` trains both.

`KindNet` is a small network of its own: the first five stages of EfficientNet-Lite0 (Tan & Le, ICML 2019), from ImageNet's
weights. It takes a quarter of the parser's time. `KindHead` is linear, on what the parser sees, which looks at the garment
anyway. The parser was trained on clothes that people wear, and errs on other garments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.labels import LABELS
from vtcli.core.models.efficientnet import CHANNELS, STAGES, EfficientNetLite0
from vtcli.core.models.lite0 import lite0_scale
from vtcli.core.models.parser import PARSER_PRESETS

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
LEAST_TOP, LEAST_TOP_ALONE = 0.30, 0.2
"""Probability of top and outerwear together below which a garment is none: to both, and to `KindNet` alone. Of 36 shop photos of
tops, .30 refuses one and .39 four (camisoles, a cropped top); of 91 held-out photos of other garments it accepts six instead of
five."""
PROBABLY_TOP = 0.5
"""The same, below which it is said what the garment may be instead."""
ROWS, CELLS = 4, (8, 6)
"""Parts of the picture, from above to below, whose maps are averaged for `KindHead`; parts of which it takes the labels."""


@dataclass(frozen=True)
class Kind:
    """`probabilities` of `KINDS`; `least`: of tops together, below which it is none."""

    probabilities: tuple[float, ...]
    least: float = LEAST_TOP

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
        return self.certainty > 1.0 - self.least

    @property
    def is_doubtful(self) -> bool:
        """Whether it is likelier something else than a top."""
        return self.certainty > 1.0 - PROBABLY_TOP


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


GROUPS = (
    ROWS * CHANNELS[-1],
    ROWS * 4 * PARSER_PRESETS["lite"].segmentation,
    LABELS * CELLS[0] * CELLS[1] // 2,
)
"""Numbers in a summary from the encoder's maps, the decoder's, and the labels."""


class KindHead(nn.Module):
    """What the parser sees of pictures of one garment each (`Parser.with_maps`) → logits (B, 6) of `KINDS`. Zeros, to be
    loaded."""

    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("spread", torch.ones(len(GROUPS)))
        self.out = nn.Linear(sum(GROUPS), len(KINDS))

    def forward(self, labels: Tensor, maps: list[Tensor]) -> Tensor:
        logits: Tensor = self.out(summary(labels, maps) / self.scale())
        return logits

    def scale(self) -> Tensor:
        """What each number of a summary is divided by: the `spread` of its group."""
        return self.spread.repeat_interleave(torch.tensor(GROUPS, device=self.spread.device))


def summary(labels: Tensor, maps: list[Tensor]) -> Tensor:
    """Label logits and `maps` of the parser → (B, 2,784): the means of the encoder's last maps and of the decoder's in four
    rows, and how much of each label lies where, left and right together."""
    shares = F.adaptive_avg_pool2d(labels[:, :LABELS].float().softmax(1), CELLS)
    half = ((shares + shares.flip(3)) / 2)[..., : CELLS[1] // 2]
    rows = [F.adaptive_avg_pool2d(x, (ROWS, 1)).flatten(1).float() for x in maps]
    return torch.cat([*rows, half.flatten(1)], 1)
