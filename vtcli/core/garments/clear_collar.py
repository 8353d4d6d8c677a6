"""The inside of a back collar where a clear edge parts it from the front: by a watershed."""

from __future__ import annotations

import cv2
import numpy as np

# Set by hand, by what VITON's garments need, at 256×192.
_DEEPEST, _WIDEST = 0.3, 0.55  # shares of the garment's height and width that the inside takes at most
_SMALLEST = 0.0015  # share of the garment's area that it takes at least
# Lab levels of 255 between the medians of the inside and of the front around it, and the least separability of their
# pixels (`_separability`): on a print that is low, and where it is nearly 1 a faint edge is enough.
_EDGES = ((14.0, 0.72), (7.0, 0.95))


def clear_collar(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where the garment (`mask`, bool (H, W), upright, on `rgb` (H, W, 3) uint8) shows the inside of its back:
    bool (H, W), all False where none is seen.

    It lies at the top in the middle. To its left, its right and below lies the garment's front, and an edge parts the
    two: a watershed from the upper rim against the front finds it. Only a region of this bowl shape counts: the sides
    of a turtleneck, for instance, border on the background.
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
    # Only the upper part of the middle, and a margin, is looked at.
    across = round(_WIDEST / 2 * wide) + max(16, wide // 16)
    start = max(0, middle - across)
    part = slice(rim + round(1.4 * _DEEPEST * tall)), slice(start, middle + across)
    found[part] = _bowl(rgb[part], mask[part], rim, (middle - start, wide), tall, int(mask.sum()))
    return found


def _bowl(
    rgb: np.ndarray, mask: np.ndarray, rim: int, across: tuple[int, int], tall: int, area: int
) -> np.ndarray:
    """`clear_collar` of the garment's upper part alone, whose upper rim in the middle is at row `rim`. Of the whole
    garment, `across` is (middle column, width), `tall` the height, `area` the area, in pixels."""
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
    inside = largest_part(
        cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    )
    if inside.sum() < _SMALLEST * area or inside[rim + round(0.9 * _DEEPEST * tall) :].any():
        return found
    where = np.nonzero(inside.any(0))[0]
    if len(where) < 0.1 * wide or abs((where[0] + where[-1]) / 2 - middle) > 0.08 * wide:
        return found
    # To the left and right of a bowl lies the front, row by row.
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
    share = _separability(lab[inner][:, channel], lab[ring][:, channel])
    if not any(apart[channel] >= edge and share >= least for edge, least in _EDGES):
        return found
    return inside


def _separability(a: np.ndarray, b: np.ndarray) -> float:
    """The area under the ROC curve of telling `a` from `b` by a threshold, in [0.5, 1]: the share of pairs, one value of
    each, that are in the order in which most pairs are."""
    ordered = np.sort(b)
    below, not_above = (np.searchsorted(ordered, a, side).mean() / len(b) for side in ("left", "right"))
    share = float(below + not_above) / 2
    return max(share, 1.0 - share)


def largest_part(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of `mask` (H, W) uint8, bool."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return np.zeros(mask.shape, bool)
    return np.asarray(labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()))
