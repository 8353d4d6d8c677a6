"""The augmentation of `pairs.py` on the device, for whole batches: pairs are mirrored, moved a little and re-coloured.

Nothing here waits for the device or copies to it, so that a step can be captured as a CUDA graph (`captured.py`).
Matrices (B, 2, 3) map places of the output to places of the input, as `F.affine_grid` takes them: in [-1, 1] from edge to
edge of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.models.relighting import LUMA
from vtcli.core.training.augment import COLOUR


def affine(
    flip: Tensor, size: tuple[int, int], scale: tuple[float, float], shift: float, angle: float
) -> Tensor:
    """Random scale, shift (a share of the sides at most) and turn (degrees at most) of pictures of `size` (h, w), mirrored
    where `flip` (B,) bool: (B, 2, 3)."""
    count, device = len(flip), flip.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, device=device) * (high - low) + low

    factor = torch.exp(uniform(math.log(scale[0]), math.log(scale[1])))
    turn = torch.deg2rad(uniform(-angle, angle))
    cos, sin = torch.cos(turn) / factor, torch.sin(turn) / factor
    side = 1.0 - 2.0 * flip.float()
    ratio = size[0] / size[1]
    across = torch.stack([cos * side, sin * ratio, uniform(-2 * shift, 2 * shift)], dim=1)
    down = torch.stack([-sin / ratio * side, cos, uniform(-2 * shift, 2 * shift)], dim=1)
    return torch.stack([across, down], dim=1)


def grid_of(matrix: Tensor, size: tuple[int, int]) -> Tensor:
    """The sampling grid (B, *size, 2) of `matrix`."""
    return F.affine_grid(matrix, [len(matrix), 1, *size], align_corners=False)


def moved(pictures: Tensor, grid: Tensor, outside: float | None = None) -> Tensor:
    """Pictures (B, C, H, W) through `grid`: beyond them their edge goes on, or lies `outside`."""
    if outside is None:
        return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return F.grid_sample(pictures - outside, grid, padding_mode="zeros", align_corners=False) + outside


def moved_labels(parses: Tensor, grid: Tensor, flip: Tensor) -> Tensor:
    """Label maps (B, n, H, W) uint8 through `grid`, sides exchanged where the picture is mirrored; background beyond."""
    labels = F.grid_sample(parses.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    labels = labels.to(torch.uint8)
    return torch.where(flip.view(-1, 1, 1, 1), exchanged(labels), labels)


def exchanged(labels: Tensor) -> Tensor:
    """Labels of the left side for those of the right, and the other way round."""
    out = labels
    for label, other in enumerate(L.FLIP_LABELS.tolist()):
        if label != other:
            out = torch.where(labels == label, other, out)
    return out


def moved_keypoints(keypoints: Tensor, matrix: Tensor, flip: Tensor, size: tuple[int, int]) -> Tensor:
    """Joints (B, 18, 3), sides exchanged where the picture is mirrored; those that leave the picture become absent."""
    height, width = size
    places = to_pixels(inverse(matrix, from_pixels(keypoints[..., 0], keypoints[..., 1], size)), size)
    inside = L.joints_present(keypoints) & L.joints_inside(places, (height, width))
    out = torch.cat([places, keypoints[..., 2:]], dim=-1) * inside[..., None]
    mirrored = torch.stack([out[:, int(j)] for j in L.FLIP_JOINTS], dim=1)
    return torch.where(flip.view(-1, 1, 1), mirrored, out)


def moved_correspondence(places: Tensor, grid: Tensor, shift: Tensor, size: tuple[int, int]) -> Tensor:
    """A correspondence (B, h, w, 2) at half of `size` (`pairs.Pairs`): `grid` moves the pixels that it is for, the matrix
    `shift` the garment that its places lie in. NaN where nothing is known."""
    height, width = size
    # it is for every second pixel, whose places in the half map are half of theirs
    half = torch.stack([grid[:, ::2, ::2, 0] + 1 / width, grid[:, ::2, ::2, 1] + 1 / height], dim=-1)
    known = torch.isfinite(places[..., :1])
    given = torch.cat([torch.nan_to_num(places), known.float()], dim=-1).permute(0, 3, 1, 2)
    x, y, sure = F.grid_sample(given, half, padding_mode="zeros", align_corners=False).unbind(1)
    out = to_pixels(inverse(shift, from_pixels(x, y, size)), size)
    return torch.where(sure[..., None] > 0.999, out, torch.nan)


def from_pixels(x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """Places (B, …) in pixels as a grid has them: (B, 2, …)."""
    return torch.stack([(2 * x + 1) / size[1] - 1, (2 * y + 1) / size[0] - 1], dim=1)


def to_pixels(places: Tensor, size: tuple[int, int]) -> Tensor:
    """Places (B, 2, …) of a grid in pixels: (B, …, 2)."""
    x, y = places.unbind(1)
    return torch.stack([((x + 1) * size[1] - 1) / 2, ((y + 1) * size[0] - 1) / 2], dim=-1)


def inverse(matrix: Tensor, places: Tensor) -> Tensor:
    """Where the places (B, 2, …) of the input come to lie in the output: (B, 2, …)."""
    shape = (-1, *[1] * (places.ndim - 2))
    (a, b, e), (c, d, f) = ([matrix[:, row, column].view(shape) for column in range(3)] for row in range(2))
    x, y = places[:, 0] - e, places[:, 1] - f
    determinant = a * d - b * c
    return torch.stack([(d * x - b * y) / determinant, (a * y - c * x) / determinant], dim=1)


def colour_change(count: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A random change of gamma, contrast, brightness, white balance and saturation for each of `count` samples, half of
    which keep their colours: a function of pictures (count, 3, H, W) in [-1, 1]."""

    def normal(spread: float, channels: int = 1) -> Tensor:
        return torch.randn(count, channels, 1, 1, device=device) * spread * COLOUR

    def with_probability(p: float) -> Tensor:
        return (torch.rand(count, 1, 1, 1, device=device) < p).float()

    changed, turned = with_probability(0.5), with_probability(0.5 * COLOUR)
    gamma, gain = torch.exp(normal(0.2)), 1.0 + normal(0.04, 3)
    contrast, brightness = 1.0 + normal(0.12), normal(0.05)
    saturation = 1.0 + turned * (torch.randn(count, 1, 1, 1, device=device) * 0.35).clamp(-1.0, 0.8)

    def apply(pictures: Tensor) -> Tensor:
        shares = ((pictures + 1.0) / 2.0).clamp(1e-4, 1.0)
        new = ((shares**gamma * gain - 0.5) * contrast + 0.5 + brightness).clamp(0.0, 1.0)
        red, green, blue = new.split(1, dim=1)
        grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
        new = (grey + saturation * (new - grey)).clamp(0.0, 1.0)
        return torch.where(changed > 0, new * 2.0 - 1.0, pictures)

    return apply
