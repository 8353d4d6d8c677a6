"""Relighting: the warped garment takes the rendering's brightness.

A shop photo has neither the folds nor the light that the garment has on the person; I_rp has both, but blurred. So what
`lite` composes is I_warp with the coarse brightness of I_rp: fine structure is the garment's own, coarse shades are the
rendering's. The paper's equation (1) takes I_warp as it is.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.models.blocks import cell_means

PATTERN = (0.08, 0.2)
"""Local standard deviations of colours in [-1, 1]: cloth is plain below the first, patterned above the second."""
COARSE_ON_PLAIN = 2
COARSE_ON_PATTERN = 8
"""Side in pixels of the cells in which brightness is compared. On a pattern they are large: in small
cells the print itself would count, and I_rp has it blurred."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


def relighting_offset(rendered: Tensor, cloth: Tensor, composition_mask: Tensor, mask: Tensor) -> Tensor:
    """What to add to I_warp `cloth` (B, 3, H, W) in [-1, 1], with `mask` (B, 1, H, W) in [0, 1], so that its coarse
    brightness is that of `rendered` I_rp: (B, 1, H, W), the same for the three colours. `composition_mask`
    (B, 1, H, W) says where the garment shows; the gradient flows into `rendered` alone."""
    weight = (composition_mask * mask).detach()
    red, green, blue = (rendered - cloth).split(1, dim=1)
    difference = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue) * weight
    patterned = pattern(cloth, mask)
    on_plain, on_pattern = (_coarse(difference, weight, n) for n in (COARSE_ON_PLAIN, COARSE_ON_PATTERN))
    return on_plain + patterned * (on_pattern - on_plain)


def _coarse(total: Tensor, weight: Tensor, cell: int) -> Tensor:
    """Weighted means over cells of `cell` pixels and their neighbours, at full size."""
    sums = cell_means(torch.cat([total, weight], dim=1), cell)
    for _ in range(2):
        sums = _sums(sums, 1) / 9.0
    means = sums[:, :1] / sums[:, 1:].clamp_min(0.05)
    return F.interpolate(means, size=total.shape[2:], mode="bilinear", align_corners=False)


def pattern(cloth: Tensor, mask: Tensor) -> Tensor:
    """Where the garment `cloth` (B, 3, H, W) in [-1, 1] has a print, stripes or another pattern inside of its `mask`
    (B, 1, H, W), and a little around: (B, 1, H, W) in [0, 1], 0 on plain cloth. It is
    measured by local contrast; the garment's outline does not count."""
    half = cell_means(torch.cat([cloth, mask], dim=1), 2)
    inside = (half[:, 3:] > 0.99).float()
    colours = half[:, :3] * inside
    sums = _sums(torch.cat([colours, colours.square(), inside], dim=1), 2)
    sums = sums / sums[:, 6:].clamp_min(0.025)
    means, powers = sums[:, :3], sums[:, 3:6]
    contrast = (powers - means.square()).clamp_min(0.0).amax(1, keepdim=True).sqrt() * inside
    near = _sums(_largest(contrast, 3), 2) / 25.0
    low, high = PATTERN
    strength = ((near - low) / (high - low)).clamp(0.0, 1.0)
    return F.interpolate(strength, size=cloth.shape[2:], mode="bilinear", align_corners=False)


def _sums(x: Tensor, radius: int) -> Tensor:
    """Sums over squares of 2 `radius` + 1 pixels, 0 beyond the picture. Shifted sums, rows and columns apart: torch's pooling
    of large windows is ten times as slow on a CPU."""
    height, width = x.shape[2:]
    x = F.pad(x, (radius,) * 4)
    across = reduce(torch.add, (x[..., i : i + width] for i in range(2 * radius + 1)))
    return reduce(torch.add, (across[..., i : i + height, :] for i in range(2 * radius + 1)))


def _largest(x: Tensor, radius: int) -> Tensor:
    """Maxima of `x` (not negative) over squares of 2 `radius` + 1 pixels, in the same way."""
    height, width = x.shape[2:]
    x = F.pad(x, (radius,) * 4)
    across = reduce(torch.maximum, (x[..., i : i + width] for i in range(2 * radius + 1)))
    return reduce(torch.maximum, (across[..., i : i + height, :] for i in range(2 * radius + 1)))
