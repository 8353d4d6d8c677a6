"""The inside of the back collar, which a shop photo shows behind the neckline and nobody sees on a person."""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.garments.clear_collar import clear_collar
from vtcli.core.garments.collar_network import seen_collar
from vtcli.core.garments.neckline_curve import evenness

# Share of the watershed's inside that the network's holds at least, and how many times as large it is at least, where the
# watershed has stopped at a label.
_AGREED, _FURTHER = 0.8, 1.5
_EVEN = 0.78  # overlap with an even curve from which the watershed's outline is a neckline's; set by eye on 100 garments
_WHOLE = 0.02  # share of the garment from which the watershed's inside is no mere label
_THREAD = 8  # pixels to either side of the inside in which thin remains of its rim are removed


def inner_collar(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where the garment (`mask`, bool (H, W), upright, on `rgb` (H, W, 3) uint8) shows the inside of its back:
    bool (H, W), all False where none is seen.

    Where a clear edge bounds it, a watershed is exact to the pixel, but may stop at a label or follow a print; a neckline is
    even. Elsewhere the network's word counts: it knows necklines without an edge, of garments of one colour.
    """
    clear = clear_collar(rgb, mask)
    even = clear.any() and evenness(*(x[: _lowest(clear) + 2] for x in (clear, mask))) >= _EVEN
    if even and clear.sum() > _WHOLE * mask.sum():
        return clear
    seen = seen_collar(rgb, mask)
    if not even and seen.any():
        return seen
    goes_on = (clear & seen).sum() >= _AGREED * clear.sum() and seen.sum() >= _FURTHER * clear.sum()
    return clear | seen if goes_on else clear


def _lowest(mask: np.ndarray) -> int:
    """The last row of `mask` (H, W) bool, which is not empty."""
    return int(np.nonzero(mask.any(1))[0][-1])


def without_collar(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The garment's front: `mask` without the inside of the back collar and the rim above it, bool (H, W); `mask`
    itself where no inside is seen. Arguments as for `inner_collar`."""
    return front_of(mask, inner_collar(rgb, mask))


def front_of(mask: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """The same, where the `inside` (H, W) bool is known."""
    if not inside.any():
        return mask
    upper = _lowest(inside) + 6  # below it all stays
    gone = cv2.dilate(inside[:upper].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    gone |= np.logical_or.accumulate(gone[::-1], 0)[::-1]
    left = mask.copy()
    left[:upper] &= ~gone
    # The ends of the rim are left as threads.
    beside = cv2.dilate(gone.astype(np.uint8), np.ones((1, 2 * _THREAD + 1), np.uint8)) > 0
    thick = cv2.morphologyEx(left[:upper].astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    left[:upper] &= thick | ~beside
    return left
