"""What CP-VTON's networks and lite's have in common: what a GMM and a TOM take and give, and the matching's two steps
that have no weights, L2 normalisation and correlation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from vtcli.core.models.blocks import cell_means
from vtcli.core.models.composition import try_on
from vtcli.core.models.relighting import relighting_offset


@dataclass
class GMMOutput:
    """`theta` (B, 50) of the spline; `expected_parse`: logits of M_exp (B, 20, h, w) at the input's size or a fraction of
    it, or None without the auxiliary decoder; `flow`: the warp after each level of lite's dense flow, offsets
    (B, 2, h, w) from coarse to fine (`flow.py`), empty where the spline is all of the warp; `sleeve` (B,): where the
    garment's own sleeves end (`sleeve.py`), or None."""

    theta: Tensor
    expected_parse: Tensor | None
    flow: list[Tensor] = field(default_factory=list)
    sleeve: Tensor | None = None


class GMM(nn.Module):
    """A geometric matching module: `representation` (B, 22, h, w) and `garment` (B, 4, h, w) as `garment_input` makes
    it, both at `input_size`, → `GMMOutput`. `arms` (B, 2, h, w), for those that look at them: `sleeve.arm_places`."""

    input_size: tuple[int, int]
    """(h, w) that the network takes; the pictures' own size is a multiple of it."""
    cpvton_inputs: bool
    """Whether it sees what CP-VTON's sees: a body shape that always shows the worn neckline, the parse and the garment's
    mask as given, and the garment as photographed, with the inside of its back collar, not cut onto white."""

    @property
    def outside(self) -> float | None:
        """What lies beyond the shop photo when it is warped, as `tps.sample` takes it: its border goes on (None), or
        white."""
        return None if self.cpvton_inputs else 1.0

    def garment_input(self, cloth: Tensor, mask: Tensor, size: tuple[int, int]) -> Tensor:
        """What it sees of I_c (B, 3, H, W) in [-1, 1] with its mask (B, 1, H, W) in [0, 1]: (B, 4, *size)."""
        if not self.cpvton_inputs:
            return garment_input(cloth, mask, size)
        joined = torch.cat([cloth, mask], dim=1)
        return cell_means(joined, cloth.shape[2] // size[0])

    def forward(self, representation: Tensor, garment: Tensor, arms: Tensor | None = None) -> GMMOutput:
        raise NotImplementedError

    def to_bfloat16(self) -> None:
        """Put what bears rounding into bfloat16, for inference; nothing, unless a GMM says otherwise."""


@dataclass
class TOMOutput:
    """`rendered_person` I_rp (B, 3, H, W) in [-1, 1]; `composition_mask` M_cm (B, 1, H, W) in [0, 1]; `expected_parse`:
    logits of M_exp (B, 20, H/2, W/2), or None; `relighting` (B, 1, H, W): what is added to I_warp's colours first, or
    None where the TOM does not relight."""

    rendered_person: Tensor
    composition_mask: Tensor
    expected_parse: Tensor | None
    relighting: Tensor | None = None

    def tryon(self, warped_cloth: Tensor) -> Tensor:
        """I_try-on by equation (1): the warped garment where M_cm is 1, the rendering elsewhere."""
        if self.relighting is not None:
            warped_cloth = warped_cloth + self.relighting
        return try_on(self.composition_mask, warped_cloth, self.rendered_person)

    def holding(self, shown: Tensor, warped_cloth: Tensor, warped_mask: Tensor) -> TOMOutput:
        """The same with an M_cm of at least `shown` (B, 1, H, W) in [0, 1], and the relighting that belongs to it."""
        mask = torch.maximum(self.composition_mask, shown)
        added = self.relighting
        if added is not None:
            added = relighting_offset(self.rendered_person, warped_cloth, mask, warped_mask)
        return replace(self, composition_mask=mask, relighting=added)

    def __getitem__(self, rows: slice) -> TOMOutput:
        """The output for some of the samples."""
        parts = (self.rendered_person, self.composition_mask, self.expected_parse, self.relighting)
        rendered, mask, parse, added = (x if x is None else x[rows] for x in parts)
        assert rendered is not None and mask is not None
        return TOMOutput(rendered, mask, parse, added)


class TOM(nn.Module):
    """A try-on module: `representation` (B, 22, H, W), `warped_cloth` (B, 3, H, W) on white in [-1, 1] and
    `warped_mask` (B, 1, H, W) in [0, 1] → `TOMOutput`; `parse=False` leaves the auxiliary decoder out. `warp_parse`
    (B, 20, h, w): the GMM's M_exp as probabilities, for those that look at it."""

    relights: bool
    """Whether I_warp takes the rendering's brightness. M_cm may then be raised where the garment lies."""
    cpvton_inputs: bool = False
    """Whether it sees the parse as given, as CP-VTON's does, without holes in garments filled."""

    def forward(
        self, representation: Tensor, warped_cloth: Tensor, warped_mask: Tensor, parse: bool = True,
        warp_parse: Tensor | None = None,
    ) -> TOMOutput:  # fmt: skip
        raise NotImplementedError


def garment_input(cloth: Tensor, mask: Tensor, size: tuple[int, int]) -> Tensor:
    """I_c (B, 3, H, W) in [-1, 1] set on white by its mask (B, 1, H, W) in [0, 1], and the mask: (B, 4, *size)."""
    joined = cloth.new_empty((len(cloth), 4, *cloth.shape[2:]))
    torch.mul(cloth, mask, out=joined[:, :3]).add_(1.0 - mask)
    joined[:, 3:] = mask
    return cell_means(joined, cloth.shape[2] // size[0])


def l2_normalise(features: Tensor) -> Tensor:
    """`features` (B, C, h, w) with vectors of length 1 over the channels (Rocco et al., CVPR 2017)."""
    return features / (features.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()


def correlation(person: Tensor, cloth: Tensor) -> Tensor:
    """Scalar products of all positions of two feature maps (B, C, h, w) → (B, h * w, h, w).

    Channels run over the person's positions, columns first (as in CP-VTON's weights), pixels over the garment's.
    """
    batch, _, height, width = person.shape
    positions = person.transpose(2, 3).flatten(2)
    products = torch.einsum("bcp,bcq->bpq", positions, cloth.flatten(2))
    return products.view(batch, height * width, height, width)
