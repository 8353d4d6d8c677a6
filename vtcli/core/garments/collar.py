"""The inside of the back collar, which a shop photo shows behind the neckline and nobody sees on a person."""

from __future__ import annotations

import cv2
import numpy as np

_DEEPEST, _WIDEST = 0.3, 0.55  # of the garment's height and width
_LEAST = 0.0015  # of the garment's area
# Levels of 255 between the inside and the front around it, and the share of pairs of pixels, one of either, that tell
# the two apart: on a print few do, and where nearly all do a faint edge is enough.
_EDGES = ((14.0, 0.72), (7.0, 0.95))
_THREAD = 8  # pixels beside the inside where thin remains of its rim are looked for


def inner_collar(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where the garment (`mask`, bool (H, W), upright, on `rgb` (H, W, 3) uint8) shows the inside of its back:
    bool (H, W), all False where none is seen.

    It lies at the top in the middle, has the garment's front on its left, its right and below, and ends there in an
    edge: a watershed from its upper rim against the front finds it, and what is no such bowl is not taken for one (a
    turtleneck's sides border on the background).
    """
    found = np.zeros(mask.shape, bool)
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if len(rows) < 64 or len(columns) < 48:
        return found
    top, tall = int(rows[0]), len(rows)
    left, wide = int(columns[0]), len(columns)
    middle = left + wide // 2
    # The rim in the middle may lie lower than the shoulders of the shop photo's neckline.
    centre = mask[:, middle - wide // 24 : middle + wide // 24 + 1].all(1)
    starts = np.nonzero(centre)[0]
    if not len(starts) or starts[0] > top + 0.12 * tall:
        return found
    rim = int(starts[0])
    # Nothing else is looked at: the upper part of the middle, and a margin.
    across = round(_WIDEST / 2 * wide) + max(16, wide // 16)
    start = max(0, middle - across)
    part = slice(rim + round(1.4 * _DEEPEST * tall)), slice(start, middle + across)
    found[part] = _bowl(rgb[part], mask[part], rim, (middle - start, wide), tall, int(mask.sum()))
    return found


def without_collar(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`mask`, bool (H, W), without the inside of the back collar and the rim above it; arguments as for
    `inner_collar`."""
    inside = inner_collar(rgb, mask)
    if not inside.any():
        return mask
    upper = int(np.nonzero(inside.any(1))[0][-1]) + 6  # below it all stays
    gone = cv2.dilate(inside[:upper].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    gone |= np.logical_or.accumulate(gone[::-1], 0)[::-1]
    left = mask.copy()
    left[:upper] &= ~gone
    # Of the rim's ends threads are left.
    beside = cv2.dilate(gone.astype(np.uint8), np.ones((1, 2 * _THREAD + 1), np.uint8)) > 0
    thick = cv2.morphologyEx(left[:upper].astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)) > 0
    left[:upper] &= thick | ~beside
    return left


def _bowl(
    rgb: np.ndarray, mask: np.ndarray, rim: int, across: tuple[int, int], tall: int, area: int
) -> np.ndarray:
    """The same of the garment's upper part alone, whose upper rim in the middle is at row `rim`; the whole garment's
    middle column and width are `across`, its height and area `tall` and `area`."""
    middle, wide = across
    found = np.zeros(mask.shape, bool)
    markers = np.zeros(mask.shape, np.int32)
    band = slice(middle - wide // 16, middle + wide // 16 + 1)
    depth = max(2, tall // 64)
    markers[rim + 1 : rim + 1 + depth, band][mask[rim + 1 : rim + 1 + depth, band]] = 1
    solid = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    front = solid.copy()
    front[: rim + round(_DEEPEST * tall)] = False
    sides = np.ones(mask.shape, bool)
    sides[:, max(0, round(middle - _WIDEST / 2 * wide)) : round(middle + _WIDEST / 2 * wide)] = False
    markers[front | (solid & sides)] = 2
    markers[~mask] = 3
    smooth = cv2.bilateralFilter(rgb, 5, 30, 3)
    cv2.watershed(np.ascontiguousarray(smooth), markers)
    inside = (markers == 1) & mask
    inside = _largest_part(
        cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    )
    if inside.sum() < _LEAST * area or inside[rim + round(0.9 * _DEEPEST * tall) :].any():
        return found
    where = np.nonzero(inside.any(0))[0]
    if len(where) < 0.1 * wide or abs((where[0] + where[-1]) / 2 - middle) > 0.08 * wide:
        return found
    # A bowl: to its left and right lies the front, row by row; it is widest at its top half.
    enclosed = counted = 0
    for row in np.nonzero(inside.any(1))[0]:
        here = np.nonzero(inside[row])[0]
        reach = max(4, wide // 24)
        a, b = max(0, here[0] - reach), min(mask.shape[1] - 1, here[-1] + reach)
        counted += 1
        enclosed += bool(mask[row, a] and mask[row, b])
    if enclosed < 0.6 * counted:
        return found
    ring = cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    ring &= mask & ~cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    if not ring.any():
        return found
    inner = inside & cv2.dilate(ring.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    lab = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32)
    if not inner.any():
        return found
    apart = np.abs(np.median(lab[inner], 0) - np.median(lab[ring], 0))
    channel = int(apart.argmax())
    share = _told_apart(lab[inner][:, channel], lab[ring][:, channel])
    if not any(apart[channel] >= edge and share >= least for edge, least in _EDGES):
        return found
    return inside


def _told_apart(a: np.ndarray, b: np.ndarray) -> float:
    """The share of pairs, one value of `a` and one of `b`, that lie the way round that most do."""
    ordered = np.sort(b)
    below, not_above = (np.searchsorted(ordered, a, side).mean() / len(b) for side in ("left", "right"))
    share = float(below + not_above) / 2
    return max(share, 1.0 - share)


def _largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest part of `mask` (H, W) uint8 that hangs together, bool."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.zeros(mask.shape, bool)
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))
