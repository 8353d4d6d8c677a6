"""Repair of the garment masks that come with a data set.

VITON's masks were cut out by brightness: of white and pale garments they hold only the folds, and they cover what
shows between straps and between sleeve and side. Where photo and mask do not agree, the garment is cut out of its
photo again (`garment_mask`).
"""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.garments.cutout import garment_mask, is_studio

# Set by hand, by what VITON's masks need, at 256×192.
_FRAME = 4  # pixels along the picture's sides that show the background
_PLAIN = 0.6  # share of the frame that has the background's colour; below it the background is not plain
_DIFFERS = 4.0  # levels of 255 by which a pixel differs from the background
# Side in pixels of what is taken off the mask's edge and put on it: JPEG's halo reaches further out than in.
_NEAR, _FAR = np.ones((5, 5), np.uint8), np.ones((9, 9), np.uint8)
# Shares of the mask's area above which photo and mask do not agree: garment that the mask misses, background that it
# fills, and what filling gaps and notches of up to 9 pixels adds.
_MISSED, _FILLED, _RAGGED = 0.02, 0.01, 0.03
_HOLED = 0.95  # share of the garment below which a mask has holes
_SAME = 0.7  # share of the mask below which mask and cut-out are of different things
_GAP = 24  # area of the smallest gap, in pixels
_DARK = (
    60.0  # levels of 255 by which the cloth differs from the background in some channel, where it is not pale
)


def repair_mask(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`mask` bool (H, W), of the garment on `rgb` (H, W, 3) uint8 of about 256×192, repaired: with what it misses of
    the garment or, if it has no holes, without the gaps that it covers. `mask` itself where the two agree, and where
    the background is not plain."""
    if _agree(rgb, mask) or not is_studio(rgb):
        return mask
    garment = garment_mask(rgb)
    both, area, own = (int(np.count_nonzero(x)) for x in (mask & garment, garment, mask))
    if both < _SAME * own:
        return mask
    if both < _HOLED * area:
        # Of a pale garment the cut-out may have holes as well; of another one they are gaps.
        return (mask | garment) & ~_gaps(garment) if _is_dark(rgb, garment) else mask | garment
    return mask & ~_gaps(garment)


def _is_dark(rgb: np.ndarray, garment: np.ndarray) -> bool:
    """Whether the cloth of `garment` bool (H, W) is of another colour than the background."""
    if not garment.any() or garment.all():
        return False
    cloth, background = (np.median(rgb[where], axis=0) for where in (garment, ~garment))
    return bool(np.abs(cloth - background).max() > _DARK)


def _agree(rgb: np.ndarray, mask: np.ndarray) -> bool:
    """Whether `mask` is in one piece, and what differs from the background; or the background is not plain."""
    smooth = cv2.blur(rgb, (3, 3))
    ends = (smooth[:_FRAME], smooth[-_FRAME:], smooth[:, :_FRAME], smooth[:, -_FRAME:])
    frame = np.concatenate([x.reshape(-1, 3) for x in ends])
    background = np.median(frame, axis=0)
    if (np.abs(frame - background).max(1) <= _DIFFERS).mean() < _PLAIN:
        return True
    low, high = (tuple(float(x) for x in background + n) for n in (-_DIFFERS, _DIFFERS))
    differs = (cv2.inRange(smooth, low, high) == 0).astype(np.uint8)
    own = mask.astype(np.uint8)
    area = max(1, cv2.countNonZero(own))
    if cv2.countNonZero(cv2.morphologyEx(own, cv2.MORPH_CLOSE, _FAR)) > (1.0 + _RAGGED) * area:
        return False
    missed = cv2.countNonZero(differs & (1 - cv2.dilate(own, _FAR)))
    filled = cv2.countNonZero((1 - differs) & cv2.erode(own, _NEAR))
    return missed <= _MISSED * area and filled <= _FILLED * area


def _gaps(garment: np.ndarray) -> np.ndarray:
    """What `garment` (H, W) bool surrounds: bool (H, W)."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((~garment).astype(np.uint8), connectivity=4)
    x, y, wide, tall, area = stats.T
    inside = (x > 0) & (y > 0) & (x + wide < garment.shape[1]) & (y + tall < garment.shape[0])
    gap = inside & (area >= _GAP) & (np.arange(count) > 0)
    return np.asarray(gap[parts])
