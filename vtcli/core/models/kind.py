"""The kind of a garment, by a network that looks at its picture; `benchmarks/kinds.py` trains it.

EfficientNet-Lite2 (Tan & Le, ICML 2019), from ImageNet's weights. It sees little: what tells a top from a skirt is its outline.
It is trained on views of 192×144 and looks at larger ones, since garments are larger in training, where views are zoomed (Touvron et
al., "Fixing the train-test resolution discrepancy", NeurIPS 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from vtcli.core.models.efficientnet import LITE2, EfficientNetLite
from vtcli.core.models.lite0 import lite0_scale

KINDS = ("top", "outerwear", "trousers", "shorts", "skirt", "dress")
TOPS = ("top", "outerwear")
WORDS = {
    "top": "a top", "outerwear": "outerwear", "trousers": "trousers", "shorts": "shorts", "skirt": "a skirt",
    "dress": "a dress",
}  # fmt: skip
SIZE = (224, 168)
"""Height and width at which a garment is looked at."""
LEAST_TOP = 0.57
"""Probability of top and outerwear together below which a garment is none. Of 109 held-out tops none has less, of 36 shop photos of tops
one, of VITON's 500 validation garments three; of 91 other garments two have more."""
PROBABLY_TOP = 0.65
"""The same, below which it is said what the garment may be instead."""


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

    @property
    def is_doubtful(self) -> bool:
        """Whether it is likelier something else than a top."""
        return self.certainty > 1.0 - PROBABLY_TOP


class KindNet(nn.Module):
    """Pictures (B, 3, H, W) in [-1, 1] of one garment each → logits (B, 6) of `KINDS`. Random weights, to be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.net = EfficientNetLite(LITE2, classes=len(KINDS))
        self.drop = nn.Dropout(0.3)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.net.classifier(self.drop(self.net.pooled(lite0_scale(pictures))))
        return logits
