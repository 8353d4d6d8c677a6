"""Stage one as training, try-on and figures all run it: annotated people and garments → the warped garments."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import grey_levels
from vtcli.core.garments.collar import without_collars
from vtcli.core.models import alignment, tps
from vtcli.core.models.gmm import GMM, garment_input
from vtcli.core.models.representation import mirror_representation, represent
from vtcli.core.models.tps import sample, tps_grid


@dataclass
class Warp:
    """`theta` (B, 50); `grid` (B, H, W, 2); `cloth` I_warp on white (B, 3, H, W) in [-1, 1]; `mask` (B, 1, H, W)
    in [0, 1]; `expected_parse`: probabilities of the GMM's M_exp (B, 20, h, w), or None."""

    theta: Tensor
    grid: Tensor
    cloth: Tensor
    mask: Tensor
    expected_parse: Tensor | None

    def grid_at(self, size: tuple[int, int]) -> Tensor:
        """The grid at `size`: (B, *size, 2)."""
        return tps_grid(self.theta, size)

    def alone(self, index: int) -> Warp:
        """One of the samples, on the CPU."""
        given = (getattr(self, field.name) for field in fields(self))
        alone: list[Any] = [x if x is None else x[index : index + 1].cpu() for x in given]
        return Warp(*alone)


@torch.no_grad()
def warp_garments(
    gmm: GMM, image: Tensor, parse: Tensor, keypoints: Tensor, cloth: Tensor, mask: Tensor,
    neckline: Tensor | bool = True, align: bool = True,
) -> Warp:  # fmt: skip
    """Warp garments at the pictures' own size; θ comes from the GMM's, and (`lite`, unless `align` is False) is brought
    to agree with its M_exp, where it has one, and refined. What `lite` warps is the garment's `front`.

    `image`, `cloth` (B, 3, H, W) in [-1, 1]; `parse` (B, H, W) LIP labels; `keypoints` (B, 18, 3) in pixels;
    `mask` (B, 1, H, W) in [0, 1]. The person is represented with `keep=head`, whatever the TOM keeps; but her shape
    shows the neckline that she wears only if `neckline` says so, for all or (B,) bool for each (`paper`: always).
    """
    size, full = gmm.preset.size, (int(parse.shape[1]), int(parse.shape[2]))
    neckline = gmm.preset.classic or neckline
    person = represent(image, parse, keypoints, "head", size, neckline=neckline).channels
    if not gmm.preset.classic:
        mask = front(cloth, mask)
    garment = garment_input(cloth, mask, size)
    if gmm.preset.classic:
        theta, expected = predictions(gmm, channels_last(person), channels_last(garment))
    else:
        both = both_ways(person, garment)
        theta, expected = mean_predictions(gmm, *both)
        if align:
            if expected is not None:
                theta = alignment.align(theta, mask, expected)
            theta = alignment.unfolded(theta, mean_refinement(gmm, *both, expected, theta), mask)
    grid = tps_grid(theta, full)
    garment = garment_input(cloth, mask, full)
    return Warp(theta, grid, sample(garment[:, :3], grid, 1.0), sample(garment[:, 3:], grid, 0.0), expected)


def front(cloth: Tensor, mask: Tensor) -> Tensor:
    """`mask` (B, 1, H, W) in [0, 1] of `cloth` (B, 3, H, W) in [-1, 1] without the inside of the back collar, of which
    nothing is seen on a person: taken along, it lies where the throat is, and the front too low."""
    pictures = grey_levels(cloth).contiguous().cpu().numpy()
    left = without_collars(pictures, (mask[:, 0] > 0.5).cpu().numpy())
    collar = (mask > 0.5) & ~torch.from_numpy(left).to(mask.device)[:, None]
    return mask * ~collar


def predictions(gmm: GMM, person: Tensor, garment: Tensor) -> tuple[Tensor, Tensor | None]:
    """θ, and M_exp's probabilities where there is a decoder."""
    out = gmm(person, garment)
    return out.theta, out.expected_parse.float().softmax(1) if out.expected_parse is not None else None


def both_ways(person: Tensor, garment: Tensor) -> tuple[Tensor, Tensor]:
    """I_p and garment, and after them all of them mirrored; in the memory format in which convolutions are quick."""
    return (
        channels_last(torch.cat([person, mirror_representation(person)])),
        channels_last(torch.cat([garment, garment.flip(3)])),
    )


def mean_predictions(gmm: GMM, person: Tensor, garment: Tensor) -> tuple[Tensor, Tensor | None]:
    """Means of what the GMM says of pictures and mirrored pictures, as `both_ways` gives them: both are less noisy
    so."""
    theta, expected = predictions(gmm, person, garment)
    if expected is not None:
        straight, mirrored = expected.chunk(2)
        expected = (straight + _mirror_parse(mirrored)) / 2
    return _mean(theta), expected


def mean_refinement(
    gmm: GMM, person: Tensor, garment: Tensor, expected: Tensor | None, theta: Tensor
) -> Tensor:
    """θ refined, as the mean of what the GMM makes of pictures and mirrored pictures, as `both_ways` gives them."""
    both = torch.cat([expected, _mirror_parse(expected)]) if expected is not None else None
    return _mean(gmm.refined(person, garment, both, torch.cat([theta, tps.mirror(theta)])))


def _mirror_parse(expected: Tensor) -> Tensor:
    return expected.flip(3)[:, L.FLIP_LABELS.tolist()]


def _mean(theta: Tensor) -> Tensor:
    straight, mirrored = theta.chunk(2)
    return (straight + tps.mirror(mirrored)) / 2


def channels_last(x: Tensor) -> Tensor:
    """`x` in the memory format in which the networks' convolutions are quick."""
    return x.contiguous(memory_format=torch.channels_last)
