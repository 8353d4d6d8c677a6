"""Lite's TOM: person representation and warped garment → rendered person, composition mask, and M_exp.

It differs from the paper's (`cpvton.py`) in this: it computes nothing at full resolution (colours go in through
pixel-unshuffle, pictures come out through pixel-shuffle); it looks at the warped garment's mask and at the GMM's M_exp,
too, which tells it where sleeves end and skin has to be drawn; a gate lets kept
pixels (a face, say) through to I_rp at full sharpness; and the warped garment takes I_rp's brightness
(`relighting.py`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.labels import LABELS
from vtcli.core.models.blocks import UpDecoder, cell_means, conv_block
from vtcli.core.models.common import TOM, TOMOutput
from vtcli.core.models.relighting import relighting_offset


@dataclass(frozen=True)
class LiteTOMSettings:
    """Lite's sizes, all finest level first."""

    widths: tuple[int, ...] = (32, 64, 112, 176, 240)  # channels of the encoder's levels
    decoder_widths: tuple[int, ...] = (48, 64, 96, 144)  # channels of the decoder for I_rp and M_cm
    parse_widths: tuple[int, ...] = (20, 28, 48, 80)  # channels of the auxiliary decoder

    def build(self, aux: bool) -> TOM:
        """The network with fresh weights; `aux`: with the auxiliary decoder."""
        return LiteTOM(self, aux)


class Encoder(nn.Module):
    """Pose, shape and the GMM's M_exp at half resolution, colours by pixel-unshuffle; then strided blocks."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        # kept pixels 3, warped garment 3 and its mask 1, four pixels to each cell; pose 18 and shape 1; M_exp.
        self.stem = nn.Sequential(*conv_block(4 * 7 + 19 + LABELS, widths[0]))
        self.levels = nn.ModuleList(
            nn.Sequential(*conv_block(a, b, stride=2), *conv_block(b, b))
            for a, b in itertools.pairwise(widths)
        )
        self.register_load_state_dict_pre_hook(_blind_to_warp_parse)

    def forward(self, representation: Tensor, garment: Tensor, expected: Tensor) -> list[Tensor]:
        """`representation` (B, 22, H, W), `garment` (B, 4, H, W), `expected` (B, 20, H/2, W/2) → features, finest (half
        the size) first."""
        fine = F.pixel_unshuffle(torch.cat([representation[:, 1:4], garment], dim=1), 2)
        coarse = cell_means(representation, 2)  # colours, too: to leave them out takes longer
        x = torch.cat([fine, coarse[:, :1], coarse[:, 4:], expected.to(fine.dtype)], dim=1)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, enabled=False):
            # Rounding its weights alone moves the grounds that are drawn by up to a grey level on average.
            features = [self.stem(x.float())]
        for level in self.levels:
            features.append(level(features[-1]))
        return features


def _blind_to_warp_parse(encoder: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Older weights have no channels for the GMM's M_exp: those become zero, which changes no picture."""
    name = f"{prefix}stem.0.weight"
    if name in state and state[name].shape[1] == 4 * 7 + 19:
        state[name] = F.pad(state[name], (0, 0, 0, 0, 0, LABELS))


class LiteTOM(TOM):
    """`representation` (B, 22, H, W), `warped_cloth` (B, 3, H, W) in [-1, 1], `warped_mask` (B, 1, H, W) in [0, 1],
    `warp_parse` (B, 20, h, w): the GMM's M_exp as probabilities, or None where it has none → `TOMOutput`."""

    relights = True

    def __init__(self, settings: LiteTOMSettings, aux: bool) -> None:
        super().__init__()
        widths, decoder_widths, parse_widths = settings.widths, settings.decoder_widths, settings.parse_widths
        self.encoder = Encoder(widths)
        self.decoder = UpDecoder(widths, decoder_widths)
        # I_rp's colours 3, M_cm 1, and 1 that lets kept pixels through to I_rp as they are; four pixels to each cell
        self.head = nn.Conv2d(decoder_widths[0], 4 * 5, 3, padding=1)
        self.parse_decoder = UpDecoder(widths, parse_widths) if aux else None
        self.parse_head = nn.Conv2d(parse_widths[0], LABELS, 1) if aux else None

    def forward(
        self, representation: Tensor, warped_cloth: Tensor, warped_mask: Tensor, parse: bool = True,
        warp_parse: Tensor | None = None,
    ) -> TOMOutput:  # fmt: skip
        batch, _, height, width = representation.shape
        half = (height // 2, width // 2)
        if warp_parse is None:
            warp_parse = representation.new_zeros(batch, LABELS, *half)
        elif warp_parse.shape[2:] != half:  # pictures of another size than 256×192
            warp_parse = F.interpolate(warp_parse, half, mode="bilinear", antialias=True, align_corners=False)
        garment = torch.cat([warped_cloth, warped_mask], dim=1)
        features = self.encoder(representation, garment, warp_parse)
        drawn_features = self.decoder(features)
        with torch.autocast(drawn_features.device.type, enabled=False):
            # In bfloat16 the colours themselves would be rounded, to a quarter of a grey level on average.
            out = F.pixel_shuffle(self.head(drawn_features.float()).contiguous(), 2)
        expected = None
        if parse and self.parse_decoder is not None and self.parse_head is not None:
            expected = self.parse_head(self.parse_decoder(features)).float()
        drawn, mask, through = torch.tanh(out[:, :3]), torch.sigmoid(out[:, 3:4]), torch.sigmoid(out[:, 4:])
        rendered = through * representation[:, 1:4] + (1.0 - through) * drawn
        added = relighting_offset(rendered, warped_cloth, mask, warped_mask)
        return TOMOutput(rendered, mask, expected, added)
