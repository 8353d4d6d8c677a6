"""Dense flow: a warp as offsets on a coarse map, which can be read at any resolution.

Offsets (B, 2, h, w) are x and y from the identity, in units of half the picture, as sampling grids are: corner pixels'
centres are ±1 at every size (`tps.sample`).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.models.tps import jacobian, sample, tps_grid

LEAST_DETERMINANT = 0.02  # area ratio below which a warp counts as folded; the identity has 1, a fold 0
COVERED = 0.3  # share of the garment's mask from which a pixel counts as covered
FARTHEST = 4.0  # half pictures: beyond them lies nothing that a garment's photo could show
SMOOTHINGS = (1, 2, 4)  # radii in cells of the offsets' map, tried one after the other on a warp that folds


@lru_cache(maxsize=16)
def _identity(size: tuple[int, int], device: str) -> Tensor:
    with torch.inference_mode(False):
        y = torch.linspace(-1.0, 1.0, size[0], device=device)
        x = torch.linspace(-1.0, 1.0, size[1], device=device)
        return torch.stack([x[None, :].expand(size), y[:, None].expand(size)])


def identity_grid(size: tuple[int, int], device: torch.device) -> Tensor:
    """x and y (2, h, w) that sample a picture as it is."""
    return _identity(size, str(device))


def scale_xy(offsets: Tensor, x: float, y: float) -> Tensor:
    """Offsets (B, 2, h, w) with x and y in other units."""
    return torch.stack([offsets[:, 0] * x, offsets[:, 1] * y], dim=1)


def resize_offsets(offsets: Tensor, size: tuple[int, int], smooth: bool = False) -> Tensor:
    """Offsets (B, 2, h, w) at another size (B, 2, *size), bilinear or, if `smooth`, bicubic."""
    mode = "bicubic" if smooth else "bilinear"
    return F.interpolate(offsets, size=size, mode=mode, align_corners=True)


def offset_grid(offsets: Tensor) -> Tensor:
    """Offsets (B, 2, h, w) → sampling grid (B, h, w, 2). Offsets that are not numbers, of a training step that failed,
    give the identity: `grid_sample` would reach beyond its memory."""
    size = (offsets.shape[2], offsets.shape[3])
    offsets = torch.nan_to_num(offsets).clamp(-FARTHEST, FARTHEST)
    return (identity_grid(size, offsets.device) + offsets).permute(0, 2, 3, 1)


def spline_offsets(theta: Tensor, size: tuple[int, int]) -> Tensor:
    """The spline of θ (B, 50) as offsets (B, 2, *size)."""
    return tps_grid(theta, size).permute(0, 3, 1, 2) - identity_grid(size, theta.device)


def folds(offsets: Tensor, mask: Tensor) -> Tensor:
    """Whether the garment of `mask` (B, 1, H, W) folds, at the mask's size: (B,) bool."""
    grid = offset_grid(resize_offsets(offsets, (mask.shape[2], mask.shape[3]), smooth=True))
    covered = sample(mask, grid, 0.0)[:, 0, 1:, 1:] > COVERED
    return ((jacobian(grid) < LEAST_DETERMINANT) & covered).flatten(1).any(1)


def unfold(offsets: Tensor, mask: Tensor, spline: Tensor) -> Tensor:
    """`offsets` (B, 2, h, w), smoothed only as far as it takes that the garment of `mask` (B, 1, H, W) in [0, 1] does
    not fold; where no smoothing of `SMOOTHINGS` is enough, parts of the way from the identity to the offsets of
    `spline` (B, 2, h, w). Per sample: the order and company of samples do not matter."""
    out = offsets.clone()
    left = torch.nonzero(folds(offsets, mask))[:, 0]
    radii = [(radius, 1.0) for radius in SMOOTHINGS]
    shares = [(0, share) for share in (1.0, 0.75, 0.5, 0.25, 0.0)]
    for radius, share in [*radii, *shares]:
        if len(left) == 0:
            break
        tried = _smoothed(offsets[left], radius) if radius else share * spline[left]
        out[left] = tried
        left = left[folds(tried, mask[left])]
    return out


def _smoothed(offsets: Tensor, radius: int) -> Tensor:
    for _ in range(2):
        offsets = F.avg_pool2d(offsets, 2 * radius + 1, 1, radius, count_include_pad=False)
    return offsets
