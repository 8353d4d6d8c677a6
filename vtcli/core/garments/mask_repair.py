"""Garment masks that come with a data set, mended. VITON's were cut out by brightness: of white and pale garments they
hold only the folds, and they cover what shows between straps and between sleeve and side. What a garment looks like
alone is plain to see on its shop photo, so `garment_mask` is asked where photo and mask do not agree.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vtcli.core.data.store import PreparedStore
from vtcli.core.garments.cutout import garment_mask
from vtcli.core.system.workers import side_by_side

_FRAME = 4  # pixels along the picture's sides that show the background
_PLAIN = 0.6  # share of them that has its colour
_SEEN = 4.0  # levels of 255 by which something differs from the background
_NEAR, _FAR = np.ones((5, 5), np.uint8), np.ones((9, 9), np.uint8)  # JPEG's halo reaches further out than in
_MISSED, _FILLED, _RAGGED = 0.02, 0.01, 0.03  # shares of the mask's area above which they do not agree
_HOLED = 0.95  # share of the garment above which a mask has no holes
_SAME = 0.7  # share of the mask below which the two are about different things
_GAP = 24  # pixels of the least gap
_REMEMBERED = 10_000  # masks: 60 MB if all of them were mended


class Garments:
    """The garments of a prepared store as the networks see them, their masks mended; thousands of them are remembered."""

    def __init__(self, store: PreparedStore) -> None:
        self.store = store
        self._remembered: dict[int, np.ndarray | None] = {}

    def read(self, rows: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`cloth` (n, H, W, 3) uint8 and `cloth_mask` (n, H, W) uint8, 255 on the garment and 0 elsewhere."""
        cloths, masks = self.store.read("cloth", rows), self.store.read("cloth_mask", rows)
        found = side_by_side(self._mended, [int(row) for row in rows], list(cloths), list(masks))
        for mask, bits in zip(masks, found, strict=True):
            if bits is not None:
                mask[:] = 255 * np.unpackbits(bits, count=mask.size).reshape(mask.shape)
        return cloths, masks

    def _mended(self, row: int, cloth: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
        """The bits of the mask at `row`, or None where it stays as it is."""
        if row in self._remembered:
            return self._remembered[row]
        own = mask > 127
        better = mended(cloth, own)
        bits = None if better is own else np.packbits(better)
        if len(self._remembered) < _REMEMBERED:
            self._remembered[row] = bits
        return bits


def mended(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`mask`, bool (H, W), of the garment on `rgb` (H, W, 3) uint8 of about 256×192, with what it lacks of the garment,
    or else without the gaps that it covers. As it was where the two agree, and where the background is not plain."""
    if _agree(rgb, mask):
        return mask
    garment = garment_mask(rgb)
    both, area, own = (int(np.count_nonzero(x)) for x in (mask & garment, garment, mask))
    if both < _SAME * own:
        return mask
    if both < _HOLED * area:
        return mask | garment
    return mask & ~_gaps(garment)


def _agree(rgb: np.ndarray, mask: np.ndarray) -> bool:
    """Whether `mask` is in one piece, and what differs from the background; or the background is not plain."""
    smooth = cv2.blur(rgb, (3, 3))
    ends = (smooth[:_FRAME], smooth[-_FRAME:], smooth[:, :_FRAME], smooth[:, -_FRAME:])
    frame = np.concatenate([x.reshape(-1, 3) for x in ends])
    background = np.median(frame, axis=0)
    if (np.abs(frame - background).max(1) <= _SEEN).mean() < _PLAIN:
        return True
    low, high = (tuple(float(x) for x in background + n) for n in (-_SEEN, _SEEN))
    seen = (cv2.inRange(smooth, low, high) == 0).astype(np.uint8)
    own = mask.astype(np.uint8)
    area = max(1, cv2.countNonZero(own))
    if cv2.countNonZero(cv2.morphologyEx(own, cv2.MORPH_CLOSE, _FAR)) > (1.0 + _RAGGED) * area:
        return False
    missed = cv2.countNonZero(seen & (1 - cv2.dilate(own, _FAR)))
    filled = cv2.countNonZero((1 - seen) & cv2.erode(own, _NEAR))
    return missed <= _MISSED * area and filled <= _FILLED * area


def _gaps(garment: np.ndarray) -> np.ndarray:
    """What `garment` (H, W) bool surrounds: bool (H, W)."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((~garment).astype(np.uint8), connectivity=4)
    x, y, wide, tall, area = stats.T
    inside = (x > 0) & (y > 0) & (x + wide < garment.shape[1]) & (y + tall < garment.shape[0])
    gap = inside & (area >= _GAP) & (np.arange(count) > 0)
    return np.asarray(gap[parts])
