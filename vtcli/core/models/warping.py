"""Stage one as training, try-on and scoring all run it: annotated people and garments → the warped garments."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from vtcli.core.data.arms import arm_places
from vtcli.core.models.common import GMM
from vtcli.core.models.flow import offset_grid, resize_offsets, spline_offsets, unfold
from vtcli.core.models.representation import represent
from vtcli.core.models.sleeve import hold_to_sleeves
from vtcli.core.models.tps import sample, tps_grid


@dataclass
class Warp:
    """Warped garments. `theta` (B, 50) of the spline; `offsets` (B, 2, h, w): the dense flow (`flow.py`), or None where the
    spline is all of the warp; `grid` (B, H, W, 2): the sampling grid at the people's size; `cloth` I_warp on white
    (B, 3, H, W) in [-1, 1]; `mask` (B, 1, H, W) in [0, 1]; `expected_parse`: probabilities of the GMM's M_exp
    (B, 20, h, w), or None; `sleeve` (B,): where the garment's own sleeves end (`sleeve.py`), or None."""

    theta: Tensor
    offsets: Tensor | None
    grid: Tensor
    cloth: Tensor
    mask: Tensor
    expected_parse: Tensor | None
    sleeve: Tensor | None = None

    def grid_at(self, size: tuple[int, int]) -> Tensor:
        """The warp has no resolution: its sampling grid (B, h, w, 2) for `tps.sample` at any `size` (h, w)."""
        return _grid(self.theta.detach(), self.offsets, size)

    def alone(self, index: int) -> Warp:
        """One of the samples, on the CPU."""
        given = (getattr(self, field.name) for field in fields(self))
        alone: list[Any] = [x if x is None else x[index : index + 1].cpu() for x in given]
        return Warp(*alone)


@torch.no_grad()
def warp_garments(
    gmm: GMM, image: Tensor, parse: Tensor, keypoints: Tensor, cloth: Tensor, mask: Tensor, front: Tensor,
    neckline: Tensor | bool = True, corrected: bool = True,
) -> Warp:  # fmt: skip
    """Warp garments at the pictures' own size.

    `image`, `cloth` (B, 3, H, W) in [-1, 1]; `parse` (B, H, W) LIP labels; `keypoints` (B, 18, 3) in pixels; `mask` and
    `front` (B, 1, H, W) in [0, 1]: the whole garment, and without the inside of its back collar. The person is
    represented with `keep=head`, whatever the TOM keeps. `neckline`: whether the body shape shows the worn neckline, for
    all or (B,) bool for each. A GMM with CP-VTON's inputs sees the neckline always, and the garment as photographed, with
    the inside of its back collar; all others cut it out onto white, and warp its `front`. `corrected`: whether warps that fold
    are mended and M_exp is held to the garment's sleeves; both look at values, for which a GPU must be waited for.
    """
    size, full = gmm.input_size, (int(parse.shape[1]), int(parse.shape[2]))
    person = represent(image, parse, keypoints, "head", size, neckline=gmm.cpvton_inputs or neckline).channels
    if not gmm.cpvton_inputs:
        mask = front
    garment = gmm.garment_input(cloth, mask, size)
    arms = None if gmm.cpvton_inputs else arm_places(keypoints_at(keypoints, size[0] / full[0]), size)
    out = gmm(channels_last(person), channels_last(garment), arms)
    theta, offsets = out.theta.float(), out.flow[-1] if out.flow else None
    expected = out.expected_parse.float().softmax(1) if out.expected_parse is not None else None
    if corrected and expected is not None and out.sleeve is not None:
        expected = hold_to_sleeves(expected, keypoints_at(keypoints, expected.shape[2] / full[0]), out.sleeve)
    if corrected and offsets is not None:
        offsets = unfold(offsets, mask, spline_offsets(theta, (offsets.shape[2], offsets.shape[3])))
    grid = _grid(theta, offsets, full)
    garment = gmm.garment_input(cloth, mask, full)
    colours, covered = sample(garment[:, :3], grid, gmm.outside), sample(garment[:, 3:], grid, 0.0)
    return Warp(theta, offsets, grid, colours, covered, expected, out.sleeve)


def keypoints_at(keypoints: Tensor, scale: float) -> Tensor:
    """Joints (B, 18, 3) in pixels of a picture `scale` times as large."""
    return torch.cat([keypoints[..., :2] * scale, keypoints[..., 2:]], dim=-1)


def _grid(theta: Tensor, offsets: Tensor | None, size: tuple[int, int]) -> Tensor:
    if offsets is None:
        return tps_grid(theta, size)
    return offset_grid(resize_offsets(offsets, size, smooth=True))


def channels_last(x: Tensor) -> Tensor:
    """`x` channels-last in memory, in which the networks' convolutions are fast."""
    return x.contiguous(memory_format=torch.channels_last)
