"""The thin-plate spline that carries the garment onto the person (Bookstein 1989; in CP-VTON, section 3.2).

The spline interpolates the 5×5 control points' positions, so the sampling grid is *linear* in θ: for a fixed
output size, `grid = basis @ (control_points + θ)` with one constant matrix. That matrix is computed once per
size in float64; a batch of grids is then a single small matrix product, at any resolution.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

GRID = 5
POINTS = GRID * GRID


def control_points() -> np.ndarray:
    """The 25 regular control points (25, 2) as (x, y) in [-1, 1]. x runs slowest, as in CP-VTON's weights."""
    axis = np.linspace(-1.0, 1.0, GRID)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = ((a[:, None, :] - b[None, :, :]) ** 2).sum(-1)
    squared[squared == 0] = 1.0  # r² log r² is 0 at r = 0
    return squared * np.log(squared)


@lru_cache(maxsize=1)
def _solver() -> np.ndarray:
    """(28, 25): the matrix from the control points' values to the spline's 25 weights and 3 affine coefficients."""
    points = control_points()
    affine = np.concatenate([np.ones((POINTS, 1)), points], axis=1)
    system = np.zeros((POINTS + 3, POINTS + 3))
    system[:POINTS, :POINTS] = _kernel(points, points)
    system[:POINTS, POINTS:] = affine
    system[POINTS:, :POINTS] = affine.T
    return np.linalg.inv(system)[:, :POINTS]


def spline_basis(points: np.ndarray) -> np.ndarray:
    """(n, 25): how much each control point's value counts in the spline's value at `points` (n, 2) in [-1, 1]."""
    terms = np.concatenate([_kernel(points, control_points()), np.ones((len(points), 1)), points], axis=1)
    basis: np.ndarray = terms @ _solver()
    return basis


@lru_cache(maxsize=16)
def _basis(size: tuple[int, int], device: str) -> tuple[Tensor, Tensor]:
    """The control points (2, 25), and the grid's basis (25, H * W)."""
    y, x = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]), indexing="ij")
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    basis = np.ascontiguousarray(spline_basis(points).T)
    with torch.inference_mode(False):  # a cached inference tensor could not take part in training
        return tuple(  # type: ignore[return-value]
            torch.from_numpy(a).float().to(device) for a in (control_points().T.copy(), basis)
        )


def tps_grid(theta: Tensor, size: tuple[int, int]) -> Tensor:
    """θ (B, 50), 25 x-offsets then 25 y-offsets → sampling grid (B, *size, 2) for `sample`, in [-1, 1].

    θ = 0 is the identity. Corner pixels' centres are ±1 (align_corners), as in CP-VTON's trained weights.
    """
    if len(theta) == 0:
        return theta.new_zeros((0, *size, 2))
    points, basis = _basis(size, str(theta.device))
    places = (theta.float().view(-1, 2, POINTS) + points).view(-1, POINTS)
    # One product for the whole batch, (2B, 25) @ (25, HW); x and y stay apart in memory; `sample` takes that.
    with torch.autocast(theta.device.type, enabled=False):
        return (places @ basis).view(-1, 2, *size).permute(0, 2, 3, 1)


def sample(image: Tensor, grid: Tensor, outside: float | None = None) -> Tensor:
    """Sample `image` (B, C, H, W) at `grid` (B, h, w, 2), bilinearly.

    Beyond the image lies `outside`, or, where it is None, the image's border goes on (CP-VTON's choice).
    """
    if outside is None:
        return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)
    moved = F.grid_sample(image - outside, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return moved + outside


def second_differences(theta: Tensor) -> Tensor:
    """Bending of θ (B, 50): mean squared second difference of neighbouring control points' offsets, (). 0 for affine θ."""
    rows, columns, cross = _second_differences(theta.float())
    return rows.square().mean() + columns.square().mean() + 2 * cross.square().mean()


def _second_differences(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    points = theta.view(-1, 2, GRID, GRID)
    rows = points[:, :, 2:] - 2 * points[:, :, 1:-1] + points[:, :, :-2]
    columns = points[..., 2:] - 2 * points[..., 1:-1] + points[..., :-2]
    cross = points[:, :, 1:, 1:] - points[:, :, 1:, :-1] - points[:, :, :-1, 1:] + points[:, :, :-1, :-1]
    return rows, columns, cross


def jacobian(grid: Tensor) -> Tensor:
    """Determinant of the grid's Jacobian per pixel (B, h - 1, w - 1), 1 for the identity; ≤ 0 where it folds."""
    height, width = grid.shape[1:3]
    right = (grid[:, :-1, 1:] - grid[:, :-1, :-1]) * (width - 1) / 2
    down = (grid[:, 1:, :-1] - grid[:, :-1, :-1]) * (height - 1) / 2
    return right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
