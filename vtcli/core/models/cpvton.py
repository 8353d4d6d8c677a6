"""The paper's networks (Ayush et al., ICCV workshops 2019, figure 1): CP-VTON's two stages (Wang et al., ECCV 2018),
each with an auxiliary decoder for M_exp, the segmentation of the person in the new garment.

    stage one, `PaperGMM`                              stage two, `PaperTOM`
    I_p → extractor ┐                                  I_p, I_warp → U-Net → I_rp, M_cm
                    ├ L2 norm → correlation            encoder's features → auxiliary decoder → M_exp
    I_c → extractor ┘   → regressor → θ
    both features → auxiliary decoder → M_exp          I_try-on = M_cm · I_warp + (1 - M_cm) · I_rp   (1)

The thin-plate spline that makes I_warp of θ and I_c stands in `tps.py`. Without the auxiliary decoders these are
CP-VTON's networks to the number: 19,057,650 and 21,349,252 parameters.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vtcli.core.data.labels import LABELS
from vtcli.core.models.blocks import InstanceNorm, UpDecoder, conv_block
from vtcli.core.models.common import GMM, TOM, GMMOutput, TOMOutput, correlation, l2_normalise
from vtcli.core.models.representation import CHANNELS
from vtcli.core.models.tps import POINTS, sample


@dataclass(frozen=True)
class PaperGMMSettings:
    """CP-VTON's GMM, and the auxiliary decoder, of which the paper gives no widths."""

    input_size: tuple[int, int] = (256, 192)  # height and width of I_p and I_c
    widths: tuple[int, ...] = (64, 128, 256, 512)  # channels of the extractors' strided convolutions
    regressor_widths: tuple[int, ...] = (512, 256, 128, 64)  # channels of θ's regressor
    parse_widths: tuple[int, ...] = (
        256,
        128,
        64,
    )  # channels of the auxiliary decoder, from the coarsest level

    def build(self, aux: bool) -> GMM:
        """The network with fresh weights; `aux`: with the auxiliary decoder."""
        return PaperGMM(self, aux)


@dataclass(frozen=True)
class PaperTOMSettings:
    """CP-VTON's U-Net, and the auxiliary decoder, of which the paper gives no widths."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512)  # channels of the U-Net's levels, finest first
    parse_widths: tuple[int, ...] = (32, 64, 128, 256, 256)  # channels of the auxiliary decoder, finest first

    def build(self, aux: bool) -> TOM:
        """The network with fresh weights; `aux`: with the auxiliary decoder."""
        return PaperTOM(self, aux)


class FeatureExtractor(nn.Module):
    """(B, C, h, w) → (B, 512, h/16, w/16): 4×4 strided convolutions, then two of 3×3; ReLU before BatchNorm."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(width)]
            channels = width
        layers += [nn.Conv2d(channels, channels, 3, 1, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(channels)]
        layers += [nn.Conv2d(channels, channels, 3, 1, 1), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features


class ThetaRegressor(nn.Module):
    """Correlation (B, 192, 16, 12) → θ (B, 50) in [-1, 1]."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, (kernel, stride) in zip(widths, ((4, 2), (4, 2), (3, 1), (3, 1)), strict=True):
            layers += [nn.Conv2d(channels, width, kernel, stride, 1)]
            layers += [nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        self.conv = nn.Sequential(*layers)
        self.linear = nn.Linear(widths[-1] * 4 * 3, 2 * POINTS)

    def forward(self, matching: Tensor) -> Tensor:
        # CP-VTON flattens in NCHW order, whatever the memory format.
        return torch.tanh(self.linear(self.conv(matching).contiguous().flatten(1)))


class GMMParseDecoder(nn.Module):
    """Stage one's auxiliary decoder: both extractors' features, concatenated (B, 1024, h, w) → M_exp's logits
    (B, 20, 8h, 8w)."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers = conv_block(channels, widths[0], kernel=1)
        for width, next_width in zip(widths, (*widths[1:], widths[-1]), strict=True):
            layers += [nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False)]
            layers += conv_block(width, next_width)
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], LABELS, 1))

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features)
        return logits


class PaperGMM(GMM):
    """The geometric matching module: I_p (B, 22, 256, 192) and I_c (B, 3 or more, 256, 192; RGB first) → θ, M_exp."""

    cpvton_inputs = True

    def __init__(self, settings: PaperGMMSettings, aux: bool) -> None:
        super().__init__()
        self.input_size = settings.input_size
        scale = 2 ** len(settings.widths)
        cells = settings.input_size[0] // scale * (settings.input_size[1] // scale)
        self.person_encoder = FeatureExtractor(CHANNELS, settings.widths)
        self.cloth_encoder = FeatureExtractor(3, settings.widths)
        self.regressor = ThetaRegressor(cells, settings.regressor_widths)
        self.parse_decoder = GMMParseDecoder(2 * settings.widths[-1], settings.parse_widths) if aux else None

    def forward(self, representation: Tensor, garment: Tensor, arms: Tensor | None = None) -> GMMOutput:
        person = self.person_encoder(representation)
        cloth = self.cloth_encoder(garment[:, :3])
        matching = correlation(l2_normalise(person), l2_normalise(cloth))
        theta = self.regressor(matching).float()
        expected = None
        if self.parse_decoder is not None:
            expected = self.parse_decoder(torch.cat([person, cloth], dim=1))
        return GMMOutput(theta, expected)


def warp_as_cpvton(cloth: Tensor, mask: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """The shop photo `cloth` (B, 3, H, W) and its mask (B, 1, H, W) sampled at `grid` (B, h, w, 2): beyond the photo its
    border goes on, beyond the mask there is none."""
    return sample(cloth, grid), sample(mask, grid, 0.0)


class UNetLevel(nn.Module):
    """One level of the U-Net: `down`, the levels below, up by bilinear enlargement and a 3×3 convolution. What the
    levels below give is joined to what they were given."""

    def __init__(self, down: nn.Sequential, below: UNetLevel | None, inner: int, outer: int) -> None:
        super().__init__()
        self.down = down
        self.below = below
        self.up = nn.Sequential(
            nn.ReLU(),
            nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
            nn.Conv2d(inner if below is None else 2 * inner, outer, 3, 1, 1),
            InstanceNorm(),
        )

    def forward(self, x: Tensor, features: list[Tensor]) -> Tensor:
        """`features` collects what each level's `down` gives, finest first."""
        inner = self.down(x)
        features.append(inner)
        if self.below is not None:
            inner = torch.cat([inner, self.below(inner, features)], dim=1)
        out: Tensor = self.up(inner)
        return out


class UNet(nn.Module):
    """CP-VTON's `UnetGenerator` (B, 25, H, W) → (B, 4, H, W): six levels, InstanceNorm without affine."""

    def __init__(self, channels_in: int, channels_out: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        level: UNetLevel | None = None
        for outer, inner in reversed(list(itertools.pairwise(widths))):
            down: list[nn.Module] = [nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1)]
            down += [] if level is None else [InstanceNorm()]  # none at the innermost level
            level = UNetLevel(nn.Sequential(*down), level, inner, outer)
        down = [nn.Conv2d(channels_in, widths[0], 4, 2, 1)]
        self.levels = UNetLevel(nn.Sequential(*down), level, widths[0], channels_out)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The four channels, and the encoder's features, finest (half the size) first."""
        features: list[Tensor] = []
        return self.levels(x, features), features


class PaperTOM(TOM):
    """The try-on module: I_p (B, 22, H, W) and I_warp (B, 3, H, W) → I_rp, M_cm, M_exp. It does not look at I_warp's
    mask."""

    relights = False
    cpvton_inputs = True

    def __init__(self, settings: PaperTOMSettings, aux: bool) -> None:
        super().__init__()
        widths, parse_widths = settings.widths, settings.parse_widths
        self.unet = UNet(CHANNELS + 3, 4, widths)
        # Stage two's auxiliary decoder, with the encoder's features at every level.
        self.parse_decoder = UpDecoder(widths, parse_widths) if aux else None
        self.parse_head = nn.Conv2d(parse_widths[0], LABELS, 1) if aux else None

    def forward(
        self, representation: Tensor, warped_cloth: Tensor, warped_mask: Tensor, parse: bool = True,
        warp_parse: Tensor | None = None,
    ) -> TOMOutput:  # fmt: skip
        out, features = self.unet(torch.cat([representation, warped_cloth], dim=1))
        expected = None
        if parse and self.parse_decoder is not None and self.parse_head is not None:
            expected = self.parse_head(self.parse_decoder(features)).float()
        out = out.float()
        return TOMOutput(torch.tanh(out[:, :3]), torch.sigmoid(out[:, 3:]), expected)
