"""Bites in the cut-out of a garment that is as pale as its background: white on white shows no difference.

They are told from real openings (between straps, between sleeve and side) by what surrounds them: a bite has the colour of the
cloth beside it, or parts two pieces of the garment, as a white collar does. The network that tells garments from backgrounds says how
far they reach.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.garments.cutout import Likely

_WORK = 384
"""The longer side at which bites are looked for."""
_GAP, _BITE = 0.0015, 0.0015
"""Areas, in areas of the garment, from which what it encloses is looked into, and from which it is a bite."""
_WIDE, _HIGH = 0.09, 0.35
"""Width of a bite at its widest, in widths of the garment, or how high its middle lies, in heights: what sleeves leave free
beside the body is narrower and lower (8 of 500 garments of VITON are white and have such gaps)."""
_TALL = 1.5
"""Height in widths from which a gap may lie between sleeve and body: what is missing of white cloth amid a print is round."""
_SURE = 0.9
"""Probability of garment from which a gap is a bite."""
_ALIKE = 10.0
"""Distance in CIELAB between a bite and the cloth beside it, at most: a just noticeable difference is 2, folds in white cloth
are 5 to 8. Racer backs and crossed straps in colours have 25 and more."""
_CLOTH = 0.15, 0.2
"""Shares of the rim, where the rest may be a print, and of the whole garment that are such cloth."""
_PIECE = 0.005
"""Area of a piece that a bite parts from the rest, in areas of the garment."""
_BESIDE, _NEAR = 0.015, 0.12
"""Width of the rim of cloth that is compared, and how far from a bite the network's outline counts, in widths of the garment."""


def without_bites(rgb: np.ndarray, mask: np.ndarray, likely: Likely) -> np.ndarray:
    """The cut-out `mask` (H, W) bool of `rgb` (H, W, 3) uint8 with what it misses of a pale garment, where `likely` is sure."""
    scale = min(1.0, _WORK / max(mask.shape))
    size = (max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale)))
    solid = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0.5
    gaps = enclosed(solid) & ~solid
    if gaps.sum() < _GAP * max(int(solid.sum()), 1):
        return mask
    chances = cv2.resize(likely(rgb).astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    bites, collars = _bites(
        cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), solid, gaps & (chances > _SURE)
    )
    if not (bites | collars).any():
        return mask
    added = bites | collars
    for some, near in ((bites, _NEAR), (collars, _NEAR / 2)):
        if some.any():
            away = cv2.distanceTransform((~some).astype(np.uint8), cv2.DIST_L2, 3)
            added |= (chances > 0.5) & (away < near * _width(solid))
    # Of a garment with bites, what else is enclosed is one, too: beside a print the cloth has the print's colours.
    added |= enclosed(solid | added) & (chances > _SURE) & bites.any()
    whole = cv2.resize(added.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    out: np.ndarray = mask | (whole > 0.5)
    return out


def _bites(rgb: np.ndarray, mask: np.ndarray, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those of the `gaps` (h, w) bool in the `mask` (h, w) bool that have the colour of the cloth beside them, and those that part
    pieces of it, (h, w) bool both."""
    width, rows = _width(mask), np.nonzero(mask.any(1))[0]
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(gaps.astype(np.uint8))
    rim = np.ones((2 * max(1, round(_BESIDE * width)) + 1,) * 2, np.uint8)
    out, parting = np.zeros_like(mask), np.zeros_like(mask)
    _, pieces, of_pieces, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    large = np.nonzero(of_pieces[1:, cv2.CC_STAT_AREA] > _PIECE * mask.sum())[0] + 1
    for number, (_, _, across, tall, size) in enumerate(stats[1:], start=1):
        part = parts == number
        squat = tall < _TALL * across
        high = (np.nonzero(part)[0].mean() - rows[0]) / max(1, rows[-1] - rows[0]) < _HIGH
        if size < _BITE * mask.sum() or not (high or squat or 2 * _radius(part) > _WIDE * width):
            continue
        beside = (cv2.dilate(part.astype(np.uint8), rim) > 0) & mask
        if not beside.any():
            continue
        if np.isin(large, np.unique(pieces[beside])).sum() > 1:
            parting |= part
            continue
        alike = np.linalg.norm(lab - np.median(lab[part], axis=0), axis=2) < _ALIKE
        if alike[beside].mean() > _CLOTH[0] and alike[mask].mean() > _CLOTH[1]:
            out |= part
    return out, parting


def _width(mask: np.ndarray) -> int:
    return int(np.ptp(np.nonzero(mask.any(0))[0])) + 1


def _radius(part: np.ndarray) -> float:
    """Of the largest disc within `part` (h, w) bool, in pixels."""
    return float(cv2.distanceTransform(np.pad(part.astype(np.uint8), 1), cv2.DIST_L2, 3).max())


def enclosed(mask: np.ndarray) -> np.ndarray:
    """What has some of `mask` (h, w) bool above, below, to the left and to the right: (h, w) bool."""
    above, left = np.logical_or.accumulate(mask, 0), np.logical_or.accumulate(mask, 1)
    below = np.logical_or.accumulate(mask[::-1], 0)[::-1]
    right = np.logical_or.accumulate(mask[:, ::-1], 1)[:, ::-1]
    out: np.ndarray = above & below & left & right
    return out
