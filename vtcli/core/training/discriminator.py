"""The discriminator of stage `tom`, and the two losses of the game.

It sees pictures through EfficientNet-Lite0's features (projected GANs; Sauer et al., NeurIPS 2021): it judges texture
and form rather than noise, has little to learn, and shares the features with the perceptual loss. The paper has none.
"""

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


def generator_loss(scores: list[Tensor], weights: Tensor) -> Tensor:
    """−mean over maps m, pictures and places of w · D_m: what the TOM minimises.

    `scores` of the TOM's pictures, (B, 1, h, w) for each map; `weights` w (B, 1, H, W), of which each place of a map takes the
    mean. Every map counts the same.
    """
    scored = [(x.float() * F.adaptive_avg_pool2d(weights, x.shape[2:])).mean() for x in scores]  # type: ignore[arg-type]
    return -torch.stack(scored).mean()


def discriminator_loss(generated: list[Tensor], real: list[Tensor]) -> Tensor:
    """mean over maps of E[max(0, 1 + D(generated))] + E[max(0, 1 − D(real))]: the hinge loss (Lim and Ye, 2017).

    Scores (B, 1, h, w) for each map; the numbers of generated and real pictures may differ.
    """
    losses = [
        F.relu(1.0 + x.float()).mean() + F.relu(1.0 - y.float()).mean()
        for x, y in zip(generated, real, strict=True)
    ]
    return torch.stack(losses).mean()
