"""Stage one as training, try-on and figures all run it: annotated people and garments → the warped garments."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vtcli.core import alignment
from vtcli.core.models.gmm import GMM, garment_input
from vtcli.core.models.tps import sample, tps_grid
from vtcli.core.representation import represent


@dataclass
class Warp:
    """`theta` (B, 50); `grid` (B, H, W, 2); `cloth` I_warp on white (B, 3, H, W) in [-1, 1]; `mask` (B, 1, H, W)
    in [0, 1]; `expected_parse`: logits of the GMM's M_exp, or None."""

    theta: Tensor
    grid: Tensor
    cloth: Tensor
    mask: Tensor
    expected_parse: Tensor | None


@torch.no_grad()
def warp_garments(
    gmm: GMM, image: Tensor, parse: Tensor, keypoints: Tensor, cloth: Tensor, mask: Tensor, align: bool = True
) -> Warp:
    """Warp garments at the pictures' own size; θ comes from the GMM's, and (`lite`, with the auxiliary decoder,
    unless `align` is False) is brought to agree with its M_exp.

    `image`, `cloth` (B, 3, H, W) in [-1, 1]; `parse` (B, H, W) LIP labels; `keypoints` (B, 18, 3) in pixels;
    `mask` (B, 1, H, W) in [0, 1]. The person is represented with `keep=head`, whatever the TOM keeps.
    """
    size, full = gmm.preset.size, (int(parse.shape[1]), int(parse.shape[2]))
    person = represent(image, parse, keypoints, "head", size).channels
    out = gmm(channels_last(person), channels_last(garment_input(cloth, mask, size)))
    theta = out.theta
    if align and out.expected_parse is not None and not gmm.preset.classic:
        theta = alignment.align(theta, mask, out.expected_parse)
    grid = tps_grid(theta, full)
    garment = garment_input(cloth, mask, full)
    return Warp(
        theta,
        grid,
        sample(garment[:, :3], grid, 1.0),
        sample(garment[:, 3:], grid, 0.0),
        out.expected_parse,
    )


def channels_last(x: Tensor) -> Tensor:
    """`x` in the memory format in which the networks' convolutions are quick."""
    return x.contiguous(memory_format=torch.channels_last)
