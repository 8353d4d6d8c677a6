"""What of a cut-out is the one garment that is meant: frames and bars of a picture are none, nor is what lies apart."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtcli.core.garments.bites import without_bites
from vtcli.core.garments.cutout import Likely, garment_mask, is_disputed, likely_garment

_SOLID = 0.97
"""Share of its box that a panel covers; a garment leaves more of its box free."""
_PALE, _GREY = 140, 30
"""Least level of 255 of a panel's colour, and the most that its channels differ: catalogues' panels are pale and grey."""
_INSET = 0.012
"""What is taken off a panel's sides, in shares of its shorter side: its edge is soft."""
_FULL, _BESIDE = 0.97, 0.9
"""Share of a row that a bar covers, and that the rows beside it cover at most."""
_BAR = 0.35, 0.01
"""The tallest and the lowest bar, in heights of the picture."""
_EVEN, _TONE = 0.7, 16
"""Share of a bar that has its commonest tone, and the levels of 255 that count as one tone."""
_PICTURE = 0.8
"""Share of a picture up to which something is a picture in it."""
_ANOTHER = 0.15
"""Area from which a part that lies apart is another garment, in areas of the largest; smaller ones are details, labels
or specks."""
_OVERLAP = 0.15
"""Share of a part's box up to which it may lie in the largest one's box, and still lies apart."""

_SMALL, _TOUCH = 256, np.ones((9, 9), np.uint8)
"""The longer side at which two garments that touch are told apart, and what their bridge is narrower than, in its pixels."""
_AS_LARGE = 0.5
"""Area of the smaller of two garments, in areas of the larger; sleeves are smaller."""


@dataclass(frozen=True)
class Piece:
    """`mask` (H, W) bool of one garment; `others`: how many more of a garment's size lie apart from it."""

    mask: np.ndarray
    others: int = 0


def find_garment(rgb: np.ndarray, likely: Likely | None = None) -> Piece:
    """The garment on `rgb` (H, W, 3) uint8 of any size: within the panel or between the bars of the picture, if it has
    such, and the largest where several lie apart. The mask is all False where nothing stands out. `likely` as for
    `garment_mask`."""
    top, bottom, left, right = 0, rgb.shape[0], 0, rgb.shape[1]
    mask = garment_mask(rgb, likely)
    for _ in range(2):
        part = rgb[top:bottom, left:right]
        inner = _within_bars(part, mask) or _within_panel(part, mask)
        if inner is None:
            break
        rows, columns = inner
        top, bottom, left, right = (
            top + rows.start,
            top + rows.stop,
            left + columns.start,
            left + columns.stop,
        )
        mask = garment_mask(rgb[top:bottom, left:right], likely)
    whole = np.zeros(rgb.shape[:2], bool)
    part = rgb[top:bottom, left:right]
    if likely is not None:
        likely = _once(likely)
        mask = without_bites(part, _undisputed(part, mask, likely), likely)
    whole[top:bottom, left:right] = mask
    apart = largest_piece(whole)
    return _one_of_two(apart) or apart


def _once(likely: Likely) -> Likely:
    """`likely`, asked once for each picture."""
    known: list[tuple[np.ndarray, np.ndarray]] = []

    def ask(rgb: np.ndarray) -> np.ndarray:
        for picture, chances in known:
            if picture is rgb:
                return chances
        known.append((rgb, likely(rgb)))
        return known[-1][1]

    return ask


def _undisputed(rgb: np.ndarray, mask: np.ndarray, likely: Likely) -> np.ndarray:
    """`mask` (H, W) bool, cut out of `rgb` (H, W, 3) uint8. Where it is hardly a garment: what lies within it, if it is a picture
    in the picture, such as the card of an app; else what is `likely`."""
    if not is_disputed(rgb, mask, likely):
        return mask
    rows, columns = (np.nonzero(mask.any(axis))[0] for axis in (1, 0))
    inset = max(2, round(_INSET * min(len(rows), len(columns))))
    inner = slice(rows[0] + inset, rows[-1] + 1 - inset), slice(columns[0] + inset, columns[-1] + 1 - inset)
    within = rgb[inner]
    if min(within.shape[:2]) < 32 or within.shape[0] * within.shape[1] > _PICTURE * mask.size:
        return likely_garment(rgb, likely)
    found = np.zeros_like(mask)
    found[inner] = _undisputed(within, garment_mask(within, likely), likely)
    return found


def largest_piece(mask: np.ndarray) -> Piece:
    """The largest garment of a cut-out `mask` (H, W) bool, with what lies within its box: straps, cuffs."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count <= 2:
        return Piece(mask)
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    x, y, wide, tall, area = (int(v) for v in stats[largest])
    keep, others = np.zeros(count, bool), 0
    keep[largest] = True
    for part in range(1, count):
        if part == largest:
            continue
        left, top, across, down, size = (int(v) for v in stats[part])
        shared = max(0, min(x + wide, left + across) - max(x, left)) * max(
            0, min(y + tall, top + down) - max(y, top)
        )
        if shared > _OVERLAP * across * down:
            keep[part] = True
        elif size >= _ANOTHER * area:
            others += 1
    return Piece(np.asarray(keep[labels]), others)


def _one_of_two(piece: Piece) -> Piece | None:
    """The larger of two garments that touch in a narrow place, a sleeve on a sleeve; None where it is one garment."""
    height, width = piece.mask.shape
    scale = max(1.0, max(height, width) / _SMALL)
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    small = cv2.resize(piece.mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    count, cores, stats, _ = cv2.connectedComponentsWithStats(cv2.erode(small, _TOUCH))
    if count < 3:
        return None
    first, second = (1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")[:2]).tolist()
    a, b = stats[first], stats[second]
    if b[cv2.CC_STAT_AREA] < _AS_LARGE * a[cv2.CC_STAT_AREA]:
        return None
    beside = any(min(a[i] + a[i + 2], b[i] + b[i + 2]) <= max(a[i], b[i]) for i in (0, 1))
    like = min(a[2], b[2]) > 0.6 * max(a[2], b[2]) and min(a[3], b[3]) > 0.6 * max(a[3], b[3])
    # Halves of an open jacket are tall and narrow.
    if not beside or not like or a[2] < 0.4 * a[3]:
        return None
    far = [
        cv2.distanceTransform((cores != core).astype(np.uint8), cv2.DIST_L2, 5) for core in (first, second)
    ]
    mine = (
        cv2.resize((far[0] <= far[1]).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    )
    return Piece(largest_piece(piece.mask & mine).mask, piece.others + 1)


def _within_panel(rgb: np.ndarray, mask: np.ndarray) -> tuple[slice, slice] | None:
    """The inside of a pale rectangle that was cut out instead of what lies on it; None where the cut-out is none: a
    garment may be as rectangular, but then its edge has its own colour."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if len(rows) < 32 or len(columns) < 32:
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    if mask[top:bottom, left:right].mean() < _SOLID:
        return None
    inset = max(2, round(_INSET * min(bottom - top, right - left)))
    inner = rgb[top + inset : bottom - inset, left + inset : right - inset]
    edge = np.concatenate([inner[0], inner[-1], inner[:, 0], inner[:, -1]])
    darkest, brightest = np.median(edge, axis=0).min(), np.median(edge, axis=0).max()
    if darkest < _PALE or brightest - darkest > _GREY:
        return None
    return slice(int(top + inset), int(bottom - inset)), slice(int(left + inset), int(right - inset))


def _within_bars(rgb: np.ndarray, mask: np.ndarray) -> tuple[slice, slice] | None:
    """What lies between the bars at the picture's upper and lower, or left and right edges; None without any."""
    height, width = mask.shape
    rows = slice(_bar(rgb, mask), height - _bar(rgb[::-1], mask[::-1]))
    turned = rgb.transpose(1, 0, 2)
    columns = slice(_bar(turned, mask.T), width - _bar(turned[::-1], mask.T[::-1]))
    found = rows.stop - rows.start < height or columns.stop - columns.start < width
    return (
        (rows, columns)
        if found and rows.stop - rows.start > 32 and columns.stop - columns.start > 32
        else None
    )


def _bar(rgb: np.ndarray, mask: np.ndarray) -> int:
    """Rows that a bar of one tone takes at the upper edge, 0 where there is none."""
    full = mask.mean(1) >= _FULL
    rows = int(np.argmin(full)) if not full.all() else 0
    most, least = (round(share * len(mask)) for share in _BAR)
    beyond = rows + max(3, len(mask) // 64)
    if not max(4, least) <= rows <= most or mask[beyond : beyond + 3].mean(1).max(initial=0.0) > _BESIDE:
        return 0
    grey = rgb[:rows].mean(2)
    even = float((np.abs(grey - np.median(grey)) <= _TONE).mean())
    return min(beyond, len(mask)) if even >= _EVEN else 0
