"""The discriminator, the TOM's critic: it looks at pictures by EfficientNet-Lite0's features, so that what it
asks of the TOM is texture and form rather than noise, and it has little to learn (projected GANs; Sauer et al., NeurIPS
2021). The features are those of the perceptual loss, which makes it cheap."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from vtcli.core.models.efficientnet import CHANNELS

WIDTH = 64


class Discriminator(nn.Module):
    """Lite0's maps at strides 2 to 32 → a score for every place of every map, higher for real photos (spectral norm:
    Miyato et al., ICLR 2018)."""

    def __init__(self) -> None:
        super().__init__()
        # The finest map is looked at in strides of two: it is as large as all the others together.
        self.heads = nn.ModuleList(
            nn.Sequential(
                spectral_norm(nn.Conv2d(channels, WIDTH, 3, 1 if level else 2, 1)), nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, 1, 1)), nn.LeakyReLU(0.2),
                spectral_norm(nn.Conv2d(WIDTH, 1, 1)),
            )
            for level, channels in enumerate(CHANNELS)
        )  # fmt: skip

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """(B, C, h, w) each → scores (B, 1, h, w), those of the first map at half its size."""
        return [head(x) for head, x in zip(self.heads, maps, strict=True)]


def fooled(scores: list[Tensor], judged: Tensor) -> Tensor:
    """What the TOM descends: minus the mean score of its pictures, which count by `judged` (B,), every map counting the
    same."""
    return -torch.stack([(x.float().mean((1, 2, 3)) * judged).mean() for x in scores]).mean()


def discerned(drawn: list[Tensor], real: list[Tensor]) -> Tensor:
    """What the discriminator descends: the hinge loss of its scores of drawn and real pictures."""
    losses = [
        F.relu(1.0 + x.float()).mean() + F.relu(1.0 - y.float()).mean()
        for x, y in zip(drawn, real, strict=True)
    ]
    return torch.stack(losses).mean()
