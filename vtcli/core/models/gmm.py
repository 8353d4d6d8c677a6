"""GMM, the geometric matching module: person representation and garment → θ of the thin-plate spline, and,
with the auxiliary decoder, M_exp (CP-VTON, section 3.1; Ayush et al., section 3.1 and figure 1).

`paper` is CP-VTON's network to the number (19,057,650 parameters without the decoder). `lite` works at
128×96, corrects its first θ in a second pass that looks at the garment as warped by the first, aligns the second to
M_exp (`core/alignment.py`), and refines it on maps of half that size, where M_exp lies beside the garment.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.labels import LABELS
from vtcli.core.models import alignment
from vtcli.core.models.blocks import UpDecoder, conv_block
from vtcli.core.models.representation import CHANNELS
from vtcli.core.models.tps import POINTS, sample, tps_grid


@dataclass(frozen=True)
class GMMPreset:
    """`size`: what the network takes; `widths`: of the strided convolutions; `garment_channels`: 3 for I_c, 4
    with its mask; `passes`: 2 with the correcting pass; `refined`: whether the `Refiner` follows; `decoder`: widths of
    the auxiliary decoder, in the order of its layers (`paper`) or from the finest level (`lite`)."""

    size: tuple[int, int]
    widths: tuple[int, ...]
    garment_channels: int
    passes: int
    refined: bool
    decoder: tuple[int, ...]
    classic: bool


GMM_PRESETS = {
    "paper": GMMPreset((256, 192), (64, 128, 256, 512), 3, 1, False, (256, 128, 64), True),
    "lite": GMMPreset((128, 96), (48, 96, 160, 224), 4, 2, True, (56, 80, 112), False),
}


@dataclass
class GMMOutput:
    """`theta` (B, 50); `earlier`: the thetas of passes before the last; `expected_parse`: logits of M_exp
    (B, 20, h, w) at a fraction of the input's size, or None without the decoder."""

    theta: Tensor
    earlier: list[Tensor]
    expected_parse: Tensor | None


class Encoder(nn.Module):
    """Strided convolutions to a sixteenth of the size. `classic`: CP-VTON's (4×4, ReLU before BatchNorm, two
    more convolutions of the last width); otherwise 3×3, BatchNorm before ReLU, one more."""

    def __init__(self, channels: int, widths: tuple[int, ...], classic: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            if classic:
                layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(width)]
            else:
                layers += conv_block(channels, width, stride=2)
            channels = width
        for last in range(2 if classic else 1):
            if classic:
                layers += [nn.Conv2d(channels, channels, 3, 1, 1), nn.ReLU(inplace=True)]
                layers += [nn.BatchNorm2d(channels)] if last == 0 else []
            else:
                layers += conv_block(channels, channels)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out

    def levels(self, x: Tensor) -> list[Tensor]:
        """What every strided convolution's block gives, finest first; the last is `forward`'s (not `classic`)."""
        blocks = [self.layers[i : i + 3] for i in range(0, len(self.layers), 3)]
        found = []
        for block in blocks:
            x = block(x)
            found.append(x)
        return [*found[:-2], found[-1]]


class ClassicRegressor(nn.Module):
    """CP-VTON's: correlation (B, 192, 16, 12) → θ in [-1, 1]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width, kernel, stride in ((512, 4, 2), (256, 4, 2), (128, 3, 1), (64, 3, 1)):
            layers += [
                nn.Conv2d(channels, width, kernel, stride, 1),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.conv = nn.Sequential(*layers)
        self.linear = nn.Linear(64 * 4 * 3, 2 * POINTS)

    def forward(self, x: Tensor) -> Tensor:
        # CP-VTON flattens in NCHW order, whatever the memory format.
        return torch.tanh(self.linear(self.conv(x).contiguous().flatten(1)))


class Regressor(nn.Module):
    """(B, C, 8, 6) → θ, from zero at the start of training."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *conv_block(channels, 192, kernel=1), *conv_block(192, 192), *conv_block(192, 128, stride=2)
        )
        self.linear = nn.Linear(128 * 4 * 3, 2 * POINTS)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.conv(x).contiguous().flatten(1))
        return out


class Refiner(nn.Module):
    """What is left to correct, from garment, M_exp and person one upon the other at half the network's size: the
    passes before it compare features at a sixteenth, which miss a print by some pixels."""

    def __init__(self, aux: bool) -> None:
        super().__init__()
        # warped garment 3 and its mask 1, four pixels to each cell; the person's 22; M_exp
        channels = 4 * 4 + CHANNELS + (LABELS if aux else 0)
        self.layers = nn.Sequential(
            *conv_block(channels, 96, stride=2), *conv_block(96, 160, stride=2), *conv_block(160, 160),
            *conv_block(160, 224, stride=2),
        )  # fmt: skip
        self.regressor = Regressor(224)

    def forward(self, person: Tensor, garment: Tensor, expected: Tensor | None, theta: Tensor) -> Tensor:
        """`person` (B, 22, h, w), `garment` (B, 4, h, w), M_exp's probabilities (B, 20, h/2, w/2) with the auxiliary
        decoder, θ (B, 50) → θ, corrected."""
        warped = sample(garment.float(), tps_grid(theta, (garment.shape[2], garment.shape[3])))
        seen = [
            F.pixel_unshuffle(warped, 2),
            F.avg_pool2d(person, 2),
            *([] if expected is None else [expected]),
        ]
        x = torch.cat(seen, dim=1).contiguous(memory_format=torch.channels_last)
        correction: Tensor = self.regressor(self.layers(x)).float()
        return theta + correction


class ClassicParseDecoder(nn.Module):
    """The auxiliary decoder as the paper draws it: both encoders' features, concatenated, → M_exp's logits at 8×
    their size."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers = conv_block(channels, widths[0], kernel=1)
        for here, there in zip(widths, (*widths[1:], widths[-1]), strict=True):
            layers += [
                nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
                *conv_block(here, there),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], LABELS, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class ParseDecoder(nn.Module):
    """The auxiliary decoder of `lite`: the same features, and on the way up those of the person's encoder, so that
    M_exp's outlines are sharper than a sixteenth of the size → logits at half the size."""

    def __init__(self, encoder_widths: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        skips = (*encoder_widths[:-1], 2 * encoder_widths[-1])
        self.decoder = UpDecoder(skips, widths)
        self.head = nn.Conv2d(widths[0], LABELS, 1)

    def forward(self, person: list[Tensor], both: Tensor) -> Tensor:
        out: Tensor = self.head(self.decoder([*person[:-1], both]))
        return out


class GMM(nn.Module):
    """`representation` (B, 22, h, w) and `garment` (B, 3 or 4, h, w: I_c on white in [-1, 1], mask in [0, 1])
    at the preset's size → `GMMOutput`."""

    def __init__(self, preset: GMMPreset, aux: bool) -> None:
        super().__init__()
        self.preset = preset
        self.person_encoder = Encoder(CHANNELS, preset.widths, preset.classic)
        self.cloth_encoder = Encoder(preset.garment_channels, preset.widths, preset.classic)
        cells = preset.size[0] // 16 * (preset.size[1] // 16)
        features = 2 * preset.widths[-1]
        self.regressor: nn.Module = ClassicRegressor(cells) if preset.classic else Regressor(cells + features)
        self.corrector = Regressor(features) if preset.passes == 2 else None
        self.parse_decoder: nn.Module | None = None
        if aux and preset.classic:
            self.parse_decoder = ClassicParseDecoder(features, preset.decoder)
        elif aux:
            self.parse_decoder = ParseDecoder(preset.widths, preset.decoder)
        self.refiner = Refiner(aux) if preset.refined else None

    def forward(self, representation: Tensor, garment: Tensor, refine: bool = False) -> GMMOutput:
        """`refine` (`lite`): θ is aligned and refined as well, which `earlier` then tells of; for training."""
        garment = garment[:, : self.preset.garment_channels]
        levels = [] if self.preset.classic else self.person_encoder.levels(representation)
        person = levels[-1] if levels else self.person_encoder(representation)
        cloth = self.cloth_encoder(garment)
        matching = correlation(normalise(person), normalise(cloth))
        both = torch.cat([person, cloth], dim=1)
        expected = None
        if self.parse_decoder is not None:
            expected = self.parse_decoder(levels, both) if levels else self.parse_decoder(both)
        if self.corrector is None:
            return GMMOutput(self.regressor(matching).float(), [], expected)
        first = self.regressor(torch.cat([matching, both], dim=1)).float()
        # Its own gradient stops here: the correction learns from where the first pass ended.
        grid = tps_grid(first.detach(), self.preset.size)
        warped = sample(garment.float(), grid).contiguous(memory_format=torch.channels_last)
        correction = self.corrector(torch.cat([person, self.cloth_encoder(warped)], dim=1)).float()
        thetas = [first, first.detach() + correction]
        if refine:
            probabilities, start = None, thetas[-1].detach()
            if expected is not None:
                probabilities = expected.detach().float().softmax(1)
                with torch.no_grad():
                    start = alignment.align(start, garment[:, 3:], probabilities)
            thetas.append(self.refined(representation, garment, probabilities, start))
        return GMMOutput(thetas[-1], thetas[:-1], expected)

    def refined(
        self, representation: Tensor, garment: Tensor, expected: Tensor | None, theta: Tensor
    ) -> Tensor:
        """θ (B, 50), refined (`lite`), with M_exp's probabilities `expected` where there is the auxiliary decoder."""
        if self.refiner is None:
            return theta
        refined: Tensor = self.refiner(representation, garment, expected, theta)
        return refined


def normalise(features: Tensor) -> Tensor:
    """L2-normalise over channels (Rocco et al., CVPR 2017)."""
    return features / (features.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()


def correlation(person: Tensor, cloth: Tensor) -> Tensor:
    """Scalar products of all positions, (B, h * w, h, w): channels run over the person's positions, columns
    first (as in CP-VTON's weights), pixels over the garment's."""
    batch, _, height, width = person.shape
    positions = person.transpose(2, 3).flatten(2)
    products = torch.einsum("bcp,bcq->bpq", positions, cloth.flatten(2))
    return products.view(batch, height * width, height, width)


def garment_input(cloth: Tensor, mask: Tensor, size: tuple[int, int]) -> Tensor:
    """I_c (B, 3, H, W) in [-1, 1] set on white by its mask (B, 1, H, W) in [0, 1], and the mask, at `size`."""
    joined = cloth.new_empty((len(cloth), 4, *cloth.shape[2:]))
    torch.mul(cloth, mask, out=joined[:, :3]).add_(1.0 - mask)
    joined[:, 3:] = mask
    factor = cloth.shape[2] // size[0]
    return F.avg_pool2d(joined, factor) if factor > 1 else joined
