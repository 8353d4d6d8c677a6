"""Lite's GMM: person representation and garment → a thin-plate spline, a dense flow after it, and M_exp.

It differs from the paper's (`cpvton.py`) in this: it works at 128×96 and looks at the garment's mask, too; and the
spline is only the start. A spline of 5×5 points bends gently: it cannot bring a sleeve down without bending the torso
beside it. So at four sizes, from 8×6 to 64×48, a level looks at the person's features, at the garment's features as
warped so far, and at the level below, and corrects the warp (appearance flow from coarse to fine: Han et al.,
"ClothFlow", ICCV 2019; Ge et al., "PF-AFN", CVPR 2021). The same levels are the auxiliary decoder: M_exp is drawn from
what the finest one knows (Ayush et al., section 2), so warp and segmentation see each other on the way (as in Lee et
al., "HR-VITON", ECCV 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.labels import LABELS
from vtcli.core.models.blocks import conv_block
from vtcli.core.models.common import GMM, GMMOutput, correlation, l2_normalise
from vtcli.core.models.flow import offset_grid, resize_offsets, spline_offsets
from vtcli.core.models.representation import CHANNELS
from vtcli.core.models.sleeve import SleeveHead, sleeve_map
from vtcli.core.models.tps import POINTS, sample


@dataclass(frozen=True)
class LiteGMMSettings:
    """Lite's sizes."""

    input_size: tuple[int, int] = (128, 96)  # height and width of what the network takes
    widths: tuple[int, ...] = (48, 96, 160, 224)  # channels of the encoders, finest level first
    decoder_widths: tuple[int, ...] = (48, 80, 128, 128)  # channels of the flow's levels, finest first

    def build(self, aux: bool) -> GMM:
        """The network with fresh weights; `aux`: with the auxiliary decoder."""
        return LiteGMM(self, aux)


class Residual(nn.Module):
    """x + convolutions(x); they are zero at the start of training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*conv_block(width, width))
        self.out = _from_zero(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.out(self.block(x))
        return out


class Encoder(nn.Module):
    """(B, C, h, w) → features at a half, a quarter, an eighth and a sixteenth of the size, finest first."""

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleList()
        for number, width in enumerate(widths, start=1):
            more = conv_block(width, width) if number == len(widths) else [Residual(width)]
            self.levels.append(nn.Sequential(*conv_block(channels, width, stride=2), *more))
            channels = width

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for level in self.levels:
            x = level(x)
            features.append(x)
        return features


class SplineRegressor(nn.Module):
    """(B, C, 8, 6) → θ (B, 50), from zero at the start of training."""

    def __init__(self, channels: int, cells: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *conv_block(channels, 128, kernel=1), *conv_block(128, 128), *conv_block(128, 96, stride=2)
        )
        self.linear = nn.Linear(96 * (cells // 4), 2 * POINTS)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.conv(x).contiguous().flatten(1))
        return out.float()


class FlowLevel(nn.Module):
    """One size of the decoder: it corrects the warp, then looks at the garment in its new place."""

    def __init__(self, skip: int, below: int, width: int) -> None:
        super().__init__()
        self.look = nn.Sequential(*conv_block(2 * skip + below + 2, width), *conv_block(width, width))
        self.correct = _from_zero(nn.Conv2d(width, 2, 3, padding=1))
        self.decide = nn.Sequential(*conv_block(width + skip, width, kernel=3 if below else 1))

    def forward(
        self, person: Tensor, cloth: Tensor, below: Tensor | None, offsets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`person` and `cloth` (B, skip, h, w), features of the level `below` (B, below, h, w), the warp so far
        `offsets` (B, 2, h, w) → features (B, width, h, w) and the corrected warp."""
        warped = sample(cloth.float(), offset_grid(offsets))
        seen = torch.cat([person, warped, offsets, *([] if below is None else [below])], dim=1)
        x = self.look(_as_taken(self.look, seen))
        offsets = offsets + self.correct(x.float()).float()
        warped = sample(cloth.float(), offset_grid(offsets)).to(x.dtype)
        return self.decide(_as_taken(self.decide, torch.cat([x, warped], dim=1))), offsets


class LiteGMM(GMM):
    """`representation` (B, 22, 128, 96), `garment` (B, 4, 128, 96: I_c on white in [-1, 1], mask in [0, 1]) and `arms`
    (B, 2, 128, 96) as `arm_places` finds them
    → `GMMOutput` with the flow of every level, and M_exp's logits at the input's size, and where the garment's sleeves
    end."""

    cpvton_inputs = False

    def __init__(self, settings: LiteGMMSettings, aux: bool) -> None:
        super().__init__()
        self.input_size, widths = settings.input_size, settings.widths
        cells = settings.input_size[0] // 16 * (settings.input_size[1] // 16)
        self.person_encoder = Encoder(CHANNELS + 1, widths)
        self.cloth_encoder = Encoder(4, widths)
        self.regressor = SplineRegressor(cells + 2 * widths[-1], cells)
        below = (*settings.decoder_widths[1:], 0)
        self.levels = nn.ModuleList(map(FlowLevel, widths, below, settings.decoder_widths))
        # four pixels to each cell of the finest level
        self.parse_head = nn.Conv2d(settings.decoder_widths[0], 4 * LABELS, 3, padding=1) if aux else None
        self.sleeve_head = SleeveHead(widths[1], widths[2], 4 * cells) if aux else None
        self.register_load_state_dict_pre_hook(_without_sleeves)

    def encode(
        self, representation: Tensor, garment: Tensor, arms: Tensor | None
    ) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor | None]:
        """Features of person and garment, finest level first; what the spline is found from, (B, C, 8, 6); and where the
        garment's sleeves end (B,), or None."""
        cloth = self.cloth_encoder(garment)
        sleeve, sleeves = None, torch.zeros_like(representation[:, :1])
        if self.sleeve_head is not None:
            # The head listens: the encoder learns for the warp alone.
            sleeve = self.sleeve_head(cloth[1].detach(), cloth[2].detach())
            if arms is not None:
                sleeves = sleeve_map(arms, sleeve.detach()).to(representation.dtype)
        person = self.person_encoder(
            _as_taken(self.person_encoder, torch.cat([representation, sleeves], dim=1))
        )
        matching = correlation(l2_normalise(person[-1]), l2_normalise(cloth[-1]))
        return person, cloth, torch.cat([matching, person[-1], cloth[-1]], dim=1), sleeve

    def refine(
        self, person: list[Tensor], cloth: list[Tensor], theta: Tensor
    ) -> tuple[list[Tensor], Tensor | None]:
        """The flow after each level, from coarse to fine, and the finest level's features."""
        # The levels' gradient ends here: the spline has a loss of its own.
        offsets, features = spline_offsets(theta.detach(), _size(person[-1])), None
        flow = []
        for level, p, c in zip(self.levels[::-1], person[::-1], cloth[::-1], strict=True):
            offsets = resize_offsets(offsets, _size(p))
            if features is not None:
                features = F.interpolate(features, size=_size(p), mode="bilinear", align_corners=False)
            features, offsets = level(p, c, features, offsets)
            flow.append(offsets)
        return flow, features

    def forward(self, representation: Tensor, garment: Tensor, arms: Tensor | None = None) -> GMMOutput:
        person, cloth, matched, sleeve = self.encode(representation, garment, arms)
        theta = self.regressor(matched)
        flow, features = self.refine(person, cloth, theta)
        expected = F.pixel_shuffle(self.parse_head(features), 2) if self.parse_head is not None else None
        return GMMOutput(theta, expected, flow, sleeve)

    def to_bfloat16(self) -> None:
        """For inference: in bfloat16 what corrects the warp last, at the two finest sizes, and M_exp. That moves it by
        0.003 pixels of 256×192 on average; the encoders' rounding would by 0.3, since all that follows rests on them."""
        for level in self.levels[:2]:
            level.look.to(torch.bfloat16)
            level.decide.to(torch.bfloat16)
        if self.parse_head is not None:
            self.parse_head.to(torch.bfloat16)


def _without_sleeves(gmm: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Older weights have no sleeve head and no channel for what it says. In inference there is none then, and pictures
    are the same; training begins one."""
    head, first = f"{prefix}sleeve_head.", f"{prefix}person_encoder.levels.0.0.weight"
    if first in state and state[first].shape[1] == CHANNELS:
        state[first] = F.pad(state[first], (0, 0, 0, 0, 0, 1))
    if not any(name.startswith(head) for name in state):
        if not gmm.training:
            gmm.sleeve_head = None  # type: ignore[assignment]
        else:
            state.update(
                {name: x for name, x in gmm.state_dict(prefix=prefix).items() if name.startswith(head)}
            )


def _from_zero(convolution: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(convolution.weight)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def _size(x: Tensor) -> tuple[int, int]:
    return int(x.shape[2]), int(x.shape[3])


def _as_taken(block: nn.Module, x: Tensor) -> Tensor:
    """`x` channels-last, in which convolutions are fast, and in the precision of the `block`'s weights."""
    return x.to(dtype=next(block.parameters()).dtype, memory_format=torch.channels_last)
