"""Stage one as training, try-on and scoring all run it: annotated people and garments → the warped garments.

Here the networks meet what corrects their θ: the mean over mirrored pictures, the alignment to M_exp, lite's refiner.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.models import alignment, tps
from vtcli.core.models.common import GMM
from vtcli.core.models.lite_gmm import LiteGMM
from vtcli.core.models.representation import mirror_representation, represent
from vtcli.core.models.tps import sample, tps_grid


@dataclass
class Warp:
    """Warped garments. `theta` (B, 50); `grid` (B, H, W, 2), the sampling grid at the people's size; `cloth` I_warp on
    white (B, 3, H, W) in [-1, 1]; `mask` (B, 1, H, W) in [0, 1]; `expected_parse`: probabilities of the GMM's M_exp
    (B, 20, h, w), or None."""

    theta: Tensor
    grid: Tensor
    cloth: Tensor
    mask: Tensor
    expected_parse: Tensor | None

    def grid_at(self, size: tuple[int, int]) -> Tensor:
        """The warp has no resolution: its sampling grid (B, h, w, 2) for `tps.sample` at any `size` (h, w)."""
        return tps_grid(self.theta.detach(), size)

    def alone(self, index: int) -> Warp:
        """One of the samples, on the CPU."""
        given = (getattr(self, field.name) for field in fields(self))
        alone: list[Any] = [x if x is None else x[index : index + 1].cpu() for x in given]
        return Warp(*alone)


@torch.no_grad()
def warp_garments(
    gmm: GMM, image: Tensor, parse: Tensor, keypoints: Tensor, cloth: Tensor, mask: Tensor, front: Tensor,
    neckline: Tensor | bool = True, align: bool = True,
) -> Warp:  # fmt: skip
    """Warp garments at the pictures' own size.

    `image`, `cloth` (B, 3, H, W) in [-1, 1]; `parse` (B, H, W) LIP labels; `keypoints` (B, 18, 3) in pixels;
    `mask` and `front` (B, 1, H, W) in [0, 1]: the whole garment, and without the inside of its back collar. The person is represented with `keep=head`, whatever the TOM keeps. `neckline`:
    whether the body shape shows the worn neckline, for all or (B,) bool for each. `align=False` leaves out alignment
    and refinement of lite's θ. A GMM with CP-VTON's inputs sees the neckline always, and the garment as photographed,
    with the inside of its back collar; all others cut it out onto white, and warp its `front`.
    """
    size, full = gmm.input_size, (int(parse.shape[1]), int(parse.shape[2]))
    neckline = gmm.cpvton_inputs or neckline
    person = represent(image, parse, keypoints, "head", size, neckline=neckline).channels
    if not gmm.cpvton_inputs:
        mask = front
    garment = gmm.garment_input(cloth, mask, size)
    if isinstance(gmm, LiteGMM):
        theta, expected = lite_theta(gmm, person, garment, mask, align)
    else:
        theta, expected = predictions(gmm, channels_last(person), channels_last(garment))
    grid = tps_grid(theta, full)
    garment = gmm.garment_input(cloth, mask, full)
    return Warp(
        theta, grid, sample(garment[:, :3], grid, gmm.outside), sample(garment[:, 3:], grid, 0.0), expected
    )


def lite_theta(
    gmm: LiteGMM, person: Tensor, garment: Tensor, mask: Tensor, align: bool
) -> tuple[Tensor, Tensor | None]:
    """θ (B, 50) and M_exp's probabilities, both means over mirrored pictures; with `align`, θ is aligned to M_exp, where
    there is one, and refined, as far as the garment does not fold. `person` (B, 22, h, w), `garment` (B, 4, h, w) at
    the network's size, the garment's `mask` (B, 1, H, W)."""
    both = both_ways(person, garment)
    theta, expected = mean_predictions(gmm, *both)
    if align:
        if expected is not None:
            theta = alignment.align(theta, mask, expected)
        theta = alignment.unfolded(theta, mean_refinement(gmm, *both, expected, theta), mask)
    return theta, expected


def predictions(gmm: GMM, person: Tensor, garment: Tensor) -> tuple[Tensor, Tensor | None]:
    """θ, and M_exp's probabilities where there is a decoder."""
    out = gmm(person, garment)
    return out.theta, out.expected_parse.float().softmax(1) if out.expected_parse is not None else None


def both_ways(person: Tensor, garment: Tensor) -> tuple[Tensor, Tensor]:
    """I_p and garment, each followed by its mirror image (2B, …), channels-last in memory."""
    return (
        channels_last(torch.cat([person, mirror_representation(person)])),
        channels_last(torch.cat([garment, garment.flip(3)])),
    )


def mean_predictions(gmm: GMM, person: Tensor, garment: Tensor) -> tuple[Tensor, Tensor | None]:
    """Flip test-time augmentation: means of the GMM's outputs for pictures and mirrored pictures, as `both_ways` gives
    them. Both are less noisy than one alone."""
    theta, expected = predictions(gmm, person, garment)
    if expected is not None:
        straight, mirrored = expected.chunk(2)
        expected = (straight + _mirror_parse(mirrored)) / 2
    return _mean(theta), expected


def mean_refinement(
    gmm: LiteGMM, person: Tensor, garment: Tensor, expected: Tensor | None, theta: Tensor
) -> Tensor:
    """θ refined: mean over pictures and mirrored pictures, as `both_ways` gives them."""
    both = torch.cat([expected, _mirror_parse(expected)]) if expected is not None else None
    return _mean(gmm.refine(person, garment, both, torch.cat([theta, tps.mirror(theta)])))


def _mirror_parse(expected: Tensor) -> Tensor:
    return expected.flip(3)[:, L.FLIP_LABELS.tolist()]


def _mean(theta: Tensor) -> Tensor:
    straight, mirrored = theta.chunk(2)
    return (straight + tps.mirror(mirrored)) / 2


def channels_last(x: Tensor) -> Tensor:
    """`x` channels-last in memory, in which the networks' convolutions are fast."""
    return x.contiguous(memory_format=torch.channels_last)
