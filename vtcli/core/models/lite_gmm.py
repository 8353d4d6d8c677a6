"""Lite's GMM: person representation and garment → θ of the thin-plate spline, and M_exp. Small and at 128×96.

It differs from the paper's (`cpvton.py`) in this: it looks at the garment's mask, too; a second pass corrects the first
θ by looking at the garment as warped by the first; M_exp is drawn with the person's features of every level; and a
`Refiner` corrects θ on maps of half the size, where M_exp lies beside the garment, after θ was aligned to M_exp
(`alignment.py`; the caller does that).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.labels import LABELS
from vtcli.core.models.blocks import UpDecoder, conv_block
from vtcli.core.models.common import GMM, GMMOutput, correlation, l2_normalise
from vtcli.core.models.representation import CHANNELS
from vtcli.core.models.tps import POINTS, sample, tps_grid

Align = Callable[[Tensor, Tensor, Tensor], Tensor]
"""θ (B, 50), the garment's mask (B, 1, h, w) and M_exp's probabilities (B, 20, h', w') → θ, as `alignment.align`."""


@dataclass(frozen=True)
class LiteGMMSettings:
    """Lite's sizes."""

    input_size: tuple[int, int] = (128, 96)  # height and width of what the network takes
    widths: tuple[int, ...] = (48, 96, 160, 224)  # channels of the encoders' strided convolutions
    parse_widths: tuple[int, ...] = (56, 80, 112)  # channels of the auxiliary decoder, finest first


class Encoder(nn.Module):
    """(B, C, h, w) → (B, widths[-1], h/16, w/16): strided 3×3 convolutions and one more, BatchNorm before ReLU."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in widths:
            layers += conv_block(channels, width, stride=2)
            channels = width
        layers += conv_block(channels, channels)
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out

    def levels(self, x: Tensor) -> list[Tensor]:
        """Features at half the size and so on, finest first; the last is what `forward` gives."""
        found = []
        for first in range(0, len(self.layers), 3):  # a block is three layers
            x = self.layers[first : first + 3](x)
            found.append(x)
        return [*found[:-2], found[-1]]


class Regressor(nn.Module):
    """(B, C, 8, 6) → θ (B, 50), from zero at the start of training."""

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
    """What is left to correct in θ, from garment, M_exp and person laid one upon the other at half the network's size:
    the passes before it compare features at a sixteenth, which miss a print by some pixels."""

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


class ParseDecoder(nn.Module):
    """The auxiliary decoder: both encoders' features and, on the way up, those of the person's encoder, so that M_exp's
    outlines are sharper than a sixteenth of the size → M_exp's logits (B, 20, h/2, w/2)."""

    def __init__(self, encoder_widths: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        skips = (*encoder_widths[:-1], 2 * encoder_widths[-1])
        self.decoder = UpDecoder(skips, widths)
        self.head = nn.Conv2d(widths[0], LABELS, 1)

    def forward(self, person: list[Tensor], both: Tensor) -> Tensor:
        out: Tensor = self.head(self.decoder([*person[:-1], both]))
        return out


class LiteGMM(GMM):
    """`representation` (B, 22, 128, 96) and `garment` (B, 4, 128, 96: I_c on white in [-1, 1], mask in [0, 1])
    → `GMMOutput`."""

    cpvton_inputs = False

    def __init__(self, settings: LiteGMMSettings, aux: bool) -> None:
        super().__init__()
        self.input_size, widths = settings.input_size, settings.widths
        cells = settings.input_size[0] // 16 * (settings.input_size[1] // 16)
        features = 2 * widths[-1]
        self.person_encoder = Encoder(CHANNELS, widths)
        self.cloth_encoder = Encoder(4, widths)
        self.regressor = Regressor(cells + features)
        self.corrector = Regressor(features)
        self.parse_decoder = ParseDecoder(widths, settings.parse_widths) if aux else None
        self.refiner = Refiner(aux)

    def forward(self, representation: Tensor, garment: Tensor, align: Align | None = None) -> GMMOutput:
        """θ of the two passes, and M_exp. In training, with `align`, θ is aligned and refined as well: `theta` is then
        the refined one, and `earlier` has those of both passes."""
        levels = self.person_encoder.levels(representation)
        person, cloth = levels[-1], self.cloth_encoder(garment)
        matching = correlation(l2_normalise(person), l2_normalise(cloth))
        both = torch.cat([person, cloth], dim=1)
        expected = self.parse_decoder(levels, both) if self.parse_decoder is not None else None
        first = self.regressor(torch.cat([matching, both], dim=1)).float()
        # Its own gradient stops here: the correction learns from where the first pass ended.
        grid = tps_grid(first.detach(), self.input_size)
        warped = sample(garment.float(), grid).contiguous(memory_format=torch.channels_last)
        correction = self.corrector(torch.cat([person, self.cloth_encoder(warped)], dim=1)).float()
        second = first.detach() + correction
        if align is None:
            return GMMOutput(second, [first], expected)
        start, probabilities = second.detach(), None
        if expected is not None:
            probabilities = expected.detach().float().softmax(1)
            with torch.no_grad():
                start = align(start, garment[:, 3:], probabilities)
        refined = self.refine(representation, garment, probabilities, start)
        return GMMOutput(refined, [first, second], expected)

    def refine(
        self, representation: Tensor, garment: Tensor, expected: Tensor | None, theta: Tensor
    ) -> Tensor:
        """θ (B, 50), corrected by the `Refiner`; `expected`: M_exp's probabilities (B, 20, 64, 48) where there is the
        auxiliary decoder."""
        refined: Tensor = self.refiner(representation, garment, expected, theta)
        return refined
