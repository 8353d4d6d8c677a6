"""What becomes of a garment's cut on synthetic people, where the truth is known: the warp, the hem, the segmentation."""

from __future__ import annotations

import numpy as np

from vtcli.core.data import labels as L

HEM_POINTS = 60
"""Points from the neck down past the hips, over twice the torso's length."""
STEP = 3
"""Cells over which the direction of the cloth's level line is measured."""


def hem(parse: np.ndarray, keypoints: np.ndarray) -> float | None:
    """Where a top ends below the neck, in torso lengths (neck to the middle of the hips): `parse` (H, W) LIP labels,
    `keypoints` (18, 3) in its pixels. The last point along neck and hips whose 3×3 neighbourhood is mostly a top; None
    where neck or hips are missing, or no top is seen."""
    joints = (L.NECK, L.R_HIP, L.L_HIP)
    if not L.joints_present(keypoints)[list(joints)].all():
        return None
    neck, hips = keypoints[L.NECK, :2], (keypoints[L.R_HIP, :2] + keypoints[L.L_HIP, :2]) / 2
    top = np.isin(parse, L.TOP_LABELS)
    along = np.arange(1, HEM_POINTS + 1) * 2.0 / HEM_POINTS
    last = None
    for t in along:
        x, y = np.round(neck + t * (hips - neck)).astype(int)
        if (
            1 <= y < parse.shape[0] - 1
            and 1 <= x < parse.shape[1] - 1
            and top[y - 1 : y + 2, x - 1 : x + 2].mean() > 0.5
        ):
            last = float(t)
    return last


def warp_distance(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Distances (n,) in pixels of the warp from the true places, where those are known: `grid` (h, w, 2), where each
    pixel of the person samples the shop photo, and `places` (h, w, 2) both in the shop photo's pixels."""
    known = np.isfinite(places).all(-1)
    return np.linalg.norm(grid[known] - places[known], axis=-1)


def level_angles(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Angles (n,) in degrees between the cloth's level line in the warp and in truth, arguments as for `warp_distance`.

    The level line is the direction on the person in which the shop photo's row stays the same.
    """
    ours, true = _level_lines(grid), _level_lines(places)
    known = np.isfinite(ours) & np.isfinite(true)
    turned = np.abs(ours[known] - true[known])
    return np.degrees(np.minimum(turned, np.pi - turned))


def _level_lines(grid: np.ndarray) -> np.ndarray:
    """Direction (h, w) in [0, π) along which y of `grid` (h, w, 2) does not change; NaN where it is not known."""
    out = np.full(grid.shape[:2], np.nan)
    rows = grid[..., 1]
    inner = (slice(STEP, -STEP), slice(STEP, -STEP))
    by_x = (rows[STEP:-STEP, 2 * STEP :] - rows[STEP:-STEP, : -2 * STEP]) / (2 * STEP)
    by_y = (rows[2 * STEP :, STEP:-STEP] - rows[: -2 * STEP, STEP:-STEP]) / (2 * STEP)
    with np.errstate(invalid="ignore"):
        out[inner] = np.where(np.hypot(by_x, by_y) > 0.05, np.arctan2(-by_x, by_y) % np.pi, np.nan)
    return out
