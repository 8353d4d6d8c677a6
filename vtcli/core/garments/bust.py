"""What holds a garment up is none: the neck of a bust form or mannequin that stands out of the collar."""

from __future__ import annotations

import cv2
import numpy as np

_NECK = (0.08, 0.3)
"""Least and most height of a neck, in heights of the cut-out: a stand-up collar is lower, a hood as wide as the shoulders."""
_WIDE = 0.42
"""Most width of a neck, in widths of the cut-out."""
_MIDDLE = 0.1
"""How far a neck's middle may lie from the cut-out's, in its widths."""
_PLAIN = 10.0
"""Most mean difference of a neck's pixels from its own colour, in units of CIE Lab: forms have one colour."""
_OTHER, _SAME = 18.0, 13.0
"""Least difference of a neck's colour from the garment's, and the most of a pixel's from the neck's, in units of CIE Lab."""
_DEEP = 0.35
"""How far down the form shows in a neckline, in heights of the cut-out."""

_CRUMB = 0.01
"""Share of the garment below which what is left apart from it is the form's outline."""


def without_bust(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The `mask` (H, W) bool of a garment on `rgb` (H, W, 3) uint8 without the neck of a form that wears it: above the
    shoulders, in the middle, of one colour, which is not the garment's. A turtleneck has the garment's own."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if len(rows) < 64 or len(columns) < 40:
        return mask
    scale = 256 / max(len(rows), len(columns))
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    size = (
        max(1, round((box[1].stop - box[1].start) * scale)),
        max(1, round((box[0].stop - box[0].start) * scale)),
    )
    small = cv2.resize(rgb[box], size, interpolation=cv2.INTER_AREA)
    solid = cv2.resize(mask[box].astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    form = _form(cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), solid)
    if form is None:
        return mask
    out = mask.copy()
    large = cv2.resize(
        form, (box[1].stop - box[1].start, box[0].stop - box[0].start), interpolation=cv2.INTER_LINEAR
    )
    out[box] &= large < 0.5
    # What is left of its outline, at the photo's own size.
    _, parts, stats, _ = cv2.connectedComponentsWithStats(out.astype(np.uint8), connectivity=4)
    crumbs = stats[:, cv2.CC_STAT_AREA] < _CRUMB * out.sum()
    return out & ~crumbs[parts]


def _form(lab: np.ndarray, solid: np.ndarray) -> np.ndarray | None:
    """Where a form shows in the cut-out `solid` (h, w) uint8, whose colours are `lab` (h, w, 3): (h, w) float32 of 0 and 1;
    None where there is none."""
    height, width = solid.shape
    across = width - solid[:, ::-1].argmax(1) - solid.argmax(1)
    narrow = across <= _WIDE * width
    tall = int(np.argmin(narrow)) if not narrow.all() else height
    if not _NECK[0] * height <= tall <= _NECK[1] * height:
        return None
    neck = cv2.erode(solid[:tall], np.ones((5, 5), np.uint8), borderValue=0) > 0
    if neck.sum() < 30 or abs(np.nonzero(neck.any(0))[0].mean() + 0.5 - width / 2) > _MIDDLE * width:
        return None
    colour = np.median(lab[:tall][neck], axis=0)
    below = cv2.erode(solid, np.ones((5, 5), np.uint8)) > 0
    below[: int((_DEEP + 0.05) * height)] = False
    if not below.any() or np.linalg.norm(lab[:tall][neck] - colour, axis=1).mean() > _PLAIN:
        return None
    away = np.linalg.norm(lab - colour, axis=2)
    if np.median(away[below]) < _OTHER:
        return None
    like = (away < _SAME).astype(np.uint8) & solid
    like[int(_DEEP * height) :] = 0
    parts = cv2.connectedComponents(like, connectivity=4)[1]
    seen = np.unique(parts[:tall][neck & (like[:tall] > 0)])
    form = np.isin(parts, seen[seen > 0]).astype(np.uint8)
    if form[tall:].any(0).sum() > _WIDE * width:
        return None  # it goes on into the shoulders: they are the garment's
    # The form's own edge, half background or shadow: all that lies above the neckline.
    form |= cv2.dilate(form, np.ones((5, 5), np.uint8)) & solid
    top = np.zeros_like(solid)
    top[:tall] = solid[:tall]
    form |= top & cv2.dilate(form, np.ones((9, 9), np.uint8))
    return form.astype(np.float32)
