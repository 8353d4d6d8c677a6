"""Where shoulders end whose collar goes: an old collar stands off them, and skin drawn in all of its place would, too.

The new garment lies on the shoulder. So from its topmost point to where the old collar meets the neck the shoulder is about a
straight line.
"""

from __future__ import annotations

import numpy as np

from vtcli.core.data import labels as L

LEAST = 3
"""Columns between neck and garment, at 256×192, from which the line between them matters."""
NEAR = 8
"""How close to the line, in pixels at 256×192, hair falls on the shoulder."""
LOWEST = 0.5
"""How far below the neck joint, in shoulder widths, old collar and new garment are looked for."""


def above_shoulders(
    worn: np.ndarray, covered: np.ndarray, hair: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    """What lies above the shoulders, between neck and new garment, (256, 192) bool: there the old garment hid the scene.

    `worn`, `covered`, `hair` (256, 192) bool: where the old garment is, where the new one will be, and hair; `joints`
    (18, 3) in pixels. Nothing without neck and shoulders, or where hair falls on them.
    """
    out = np.zeros(worn.shape, bool)
    if not L.joints_present(joints[[L.NECK, L.R_SHOULDER, L.L_SHOULDER]]).all():
        return out
    neck = joints[L.NECK]
    span = abs(joints[L.R_SHOULDER, 0] - joints[L.L_SHOULDER, 0])
    lowest = max(1, min(len(worn), int(neck[1] + LOWEST * span)))
    columns, rows = np.arange(worn.shape[1]), np.arange(worn.shape[0])[:, None]
    for joint in (L.R_SHOULDER, L.L_SHOULDER):
        outwards = int(np.sign(joints[joint, 0] - neck[0]))
        side = ((columns - neck[0]) * outwards >= 0) & ((columns - joints[joint, 0]) * outwards <= 0)
        collar = _topmost(worn[:lowest], side, outwards)
        if collar is None:
            continue
        row, column = collar
        garment = _topmost(covered[:lowest], side & ((columns - column) * outwards > 0), outwards)
        if garment is None or garment[0] <= row or abs(garment[1] - column) < LEAST:
            continue
        line = row + (garment[0] - row) * (columns - column) / (garment[1] - column)
        between = ((columns - column) * outwards > 0) & ((columns - garment[1]) * outwards < 0)
        if (hair & between[None] & (np.abs(rows - line[None]) < NEAR)).any():
            continue
        out |= between[None] & (rows < line[None])
    return out


def _topmost(where: np.ndarray, side: np.ndarray, outwards: int) -> tuple[int, int] | None:
    """Row and column of the topmost pixel of `where` (h, w) bool in the columns `side` (w,) bool, the innermost of several."""
    there = side & where.any(0)
    if not there.any():
        return None
    tops = np.where(there, where.argmax(0), len(where))
    level = np.nonzero(tops == tops.min())[0]
    return int(tops.min()), int(level[0] if outwards > 0 else level[-1])
