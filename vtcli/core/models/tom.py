"""TOM, the try-on module: a U-Net from the person representation and the warped garment to the rendered person
and the composition mask, and, with the second decoder, M_exp (CP-VTON, section 3.2; Ayush et al., figure 1).

`paper` is CP-VTON's U-Net to the number (21,349,252 parameters without the second decoder). `lite` computes
nothing at full resolution: colours go in through pixel-unshuffle, pictures come out through pixel-shuffle,
a gate lets kept pixels (a face, say) through to I_rp at full sharpness, and the warped garment takes I_rp's light.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.labels import LABELS
from vtcli.core.models.blocks import InstanceNorm, UpDecoder, conv_block
from vtcli.core.models.composition import try_on
from vtcli.core.models.relighting import light
from vtcli.core.models.representation import CHANNELS


@dataclass(frozen=True)
class TOMPreset:
    """`widths`: encoder's, from the finest level; `parse_widths`: the second decoder's, from the finest level."""

    widths: tuple[int, ...]
    parse_widths: tuple[int, ...]
    classic: bool


TOM_PRESETS = {
    "paper": TOMPreset((64, 128, 256, 512, 512, 512), (32, 64, 128, 256, 256), True),
    "lite": TOMPreset((32, 64, 112, 176, 240), (20, 28, 48, 80), False),
}


@dataclass
class TOMOutput:
    """`rendered_person` (B, 3, H, W) in [-1, 1]; `composition_mask` (B, 1, H, W) in [0, 1]; `expected_parse`:
    logits of M_exp (B, 20, H/2, W/2), or None; `light` (B, 1, H, W): what is added to I_warp first (`lite`), or None."""

    rendered_person: Tensor
    composition_mask: Tensor
    expected_parse: Tensor | None
    light: Tensor | None = None

    def tryon(self, warped_cloth: Tensor) -> Tensor:
        """I_try-on by equation 1: the warped garment where M_cm is 1, the rendering elsewhere."""
        if self.light is not None:
            warped_cloth = warped_cloth + self.light
        return try_on(self.composition_mask, warped_cloth, self.rendered_person)

    def holding(self, shown: Tensor, warped_cloth: Tensor, warped_mask: Tensor) -> TOMOutput:
        """The same with an M_cm of at least `shown` (B, 1, H, W) in [0, 1], and the light that belongs to it."""
        mask = torch.maximum(self.composition_mask, shown)
        added = self.light
        if added is not None:
            added = light(self.rendered_person, warped_cloth, mask, warped_mask)
        return replace(self, composition_mask=mask, light=added)

    def __getitem__(self, rows: slice) -> TOMOutput:
        """What it says of some of the samples."""
        given = (self.rendered_person, self.composition_mask, self.expected_parse, self.light)
        rendered, mask, parse, light = (x if x is None else x[rows] for x in given)
        assert rendered is not None and mask is not None
        return TOMOutput(rendered, mask, parse, light)


class ClassicLevel(nn.Module):
    """One level of CP-VTON's U-Net: down by a 4×4 convolution, the levels below, up by bilinear enlargement and a
    3×3 convolution. Returns its output joined to its input, but for the outermost level."""

    def __init__(
        self, outer: int, inner: int, below: ClassicLevel | None, channels_in: int | None = None
    ) -> None:
        super().__init__()
        outermost = channels_in is not None
        down: list[nn.Module] = [] if outermost else [nn.LeakyReLU(0.2)]
        down += [nn.Conv2d(channels_in or outer, inner, 4, 2, 1)]
        down += [InstanceNorm()] if below is not None and not outermost else []
        self.down = nn.Sequential(*down)
        self.below = below
        self.up = nn.Sequential(
            nn.ReLU(), nn.Upsample(scale_factor=2.0, mode="bilinear", align_corners=False),
            nn.Conv2d(inner * (2 if below is not None else 1), outer, 3, 1, 1), InstanceNorm(),
        )  # fmt: skip
        self.outermost = outermost

    def forward(self, x: Tensor, features: list[Tensor]) -> Tensor:
        inner = self.down(x)
        features.append(inner)
        out: Tensor = self.up(self.below(inner, features) if self.below is not None else inner)
        return out if self.outermost else torch.cat([x, out], dim=1)


class ClassicUNet(nn.Module):
    """CP-VTON's `UnetGenerator`: 25 channels in, 4 out, six levels, InstanceNorm without affine."""

    def __init__(self, channels_in: int, channels_out: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        level: ClassicLevel | None = None
        for outer, inner in reversed(list(itertools.pairwise(widths))):
            level = ClassicLevel(outer, inner, level)
        self.levels = ClassicLevel(channels_out, widths[0], level, channels_in)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        return self.levels(x, features), features


class LiteEncoder(nn.Module):
    """Pose and shape at half resolution, colours by pixel-unshuffle; then strided blocks."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        # kept pixels 3, warped garment 3 and its mask 1, four pixels to each cell; pose 18 and shape 1.
        self.stem = nn.Sequential(*conv_block(4 * 7 + 19, widths[0]))
        self.levels = nn.ModuleList(
            nn.Sequential(*conv_block(a, b, stride=2), *conv_block(b, b))
            for a, b in itertools.pairwise(widths)
        )

    def forward(self, representation: Tensor, garment: Tensor) -> list[Tensor]:
        shape, kept, pose = representation.split([1, 3, 18], dim=1)
        fine = F.pixel_unshuffle(torch.cat([kept, garment], dim=1), 2)
        coarse = F.avg_pool2d(torch.cat([shape, pose], dim=1), 2)
        x = torch.cat([fine, coarse], dim=1)
        if x.device.type == "cpu":
            x = x.contiguous(memory_format=torch.channels_last)
        features = [self.stem(x)]
        for level in self.levels:
            features.append(level(features[-1]))
        return features


class TOM(nn.Module):
    """`representation` (B, 22, H, W), `warped_cloth` (B, 3, H, W) in [-1, 1], `warped_mask` (B, 1, H, W) in
    [0, 1] (`lite` only) → `TOMOutput`."""

    def __init__(self, preset: TOMPreset, aux: bool) -> None:
        super().__init__()
        self.preset = preset
        widths = preset.widths
        if preset.classic:
            self.unet = ClassicUNet(CHANNELS + 3, 4, widths)
        else:
            self.encoder = LiteEncoder(widths)
            self.decoder = UpDecoder(widths, (48, 64, 96, 144))
            # I_rp's colours 3, M_cm 1, and 1 that lets kept pixels through to I_rp as they are
            self.head = nn.Conv2d(48, 4 * 5, 3, padding=1)
        self.parse_decoder = UpDecoder(widths, preset.parse_widths) if aux else None
        self.parse_head = nn.Conv2d(preset.parse_widths[0], LABELS, 1) if aux else None

    def forward(
        self, representation: Tensor, warped_cloth: Tensor, warped_mask: Tensor, parse: bool = True
    ) -> TOMOutput:
        """`parse=False` leaves the second decoder out (M_exp is then None)."""
        if self.preset.classic:
            out, features = self.unet(torch.cat([representation, warped_cloth], dim=1))
        else:
            features = self.encoder(representation, torch.cat([warped_cloth, warped_mask], dim=1))
            out = F.pixel_shuffle(self.head(self.decoder(features)), 2)
        expected = None
        if parse and self.parse_decoder is not None and self.parse_head is not None:
            expected = self.parse_head(self.parse_decoder(features)).float()
        out = out.float()
        rendered, mask = torch.tanh(out[:, :3]), torch.sigmoid(out[:, 3:4])
        if self.preset.classic:
            return TOMOutput(rendered, mask, expected)
        through = torch.sigmoid(out[:, 4:])
        rendered = through * representation[:, 1:4] + (1.0 - through) * rendered
        return TOMOutput(rendered, mask, expected, light(rendered, warped_cloth, mask, warped_mask))
