"""Where the lower body begins: below the midriff that a short top bares. Labels call it background, and M_exp lets trousers reach
up to wherever the new garment ends, though nobody wears them so high."""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.areas import disc
from vtcli.core.models.composition import CLOTHES

HIGHEST, WAIST = 0.34, 0.25
"""How high above the hips trousers and skirts reach, in lengths from neck to hips: in 99 of 100 of 5,719 pictures of VITON's training
set, and in 95 of 100 of the 203 in which a midriff is bare."""
ROUND, SHADOW, FADES = 0.12, 0.15, 4.0
"""By how much skin is darker at the sides of a midriff than in its middle, and right below a hem, and over how many pixels at
256×192 that shadow fades; set by hand."""
NEARBY = 3
"""How far from the old garment's outline a midriff may lie, and how wide gaps in the person are that count as person, in
pixels at 256×192: parse maps are that far off."""
BAND = 5
"""Rows of the lower body's upper end, at 256×192, that tell how wide a waist is."""


def with_midriff(after: np.ndarray, before: np.ndarray, keypoints: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """M_exp `after` (20, 256, 192) with a midriff that is background and nothing else, and where that is, (256, 192) bool:
    between the new hem and the lower body, where the old top is in the parse `before` (20, 256, 192). `keypoints` (1, 18, 3) in
    pixels."""
    worn = (before[list(CLOTHES)].sum(0) > 0.5).astype(np.uint8)
    out = _with_waist(after, worn > 0, keypoints[0].cpu().numpy())
    person = cv2.morphologyEx((before[L.BACKGROUND] < 0.5).astype(np.uint8), cv2.MORPH_CLOSE, disc(NEARBY))
    # An outline stands off the skin by a pixel or two.
    inside = cv2.erode(person, disc(2)) > 0
    bare = _between(out) & inside & (cv2.dilate(worn, disc(NEARBY)) > 0)
    if not bare.any():
        return out, bare
    certain = np.zeros((len(out), 1), np.float32)
    certain[L.BACKGROUND] = 1.0
    out = out.copy()
    out[:, bare] = certain
    return out, bare


def _with_waist(after: np.ndarray, worn: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """M_exp with background instead of the lower body where the old top is `worn` (256, 192) bool, the new one ends higher
    than any waist, and the lower body is expected all the way up to it. Without neck and hips nothing changes."""
    if not L.joints_present(joints[[L.NECK, L.R_HIP, L.L_HIP]]).all():
        return after
    hips = (joints[L.R_HIP, :2] + joints[L.L_HIP, :2]) / 2
    length = float(hips[1] - joints[L.NECK, 1])
    lower = after[list(L.LOWER_LABELS)].sum(0)
    middle = int(np.clip(hips[0], 0, after.shape[2] - 1))
    rows = np.nonzero(lower[:, max(0, middle - BAND) : middle + BAND + 1].mean(1) > 0.5)[0]
    if not len(rows) or length <= 0 or rows[0] >= hips[1] - HIGHEST * length:
        return after
    above = np.arange(after.shape[1])[:, None] < hips[1] - WAIST * length
    out = after.copy()
    bare = above & (lower > 0.5) & worn
    out[L.BACKGROUND][bare] += lower[bare]
    for label in L.LOWER_LABELS:
        out[label][bare] = 0.0
    return out


def _between(after: np.ndarray) -> np.ndarray:
    """What M_exp calls background between the new hem and the lower body, no wider than either: (256, 192) bool."""
    labels = after.argmax(0)
    worn, lower = np.isin(labels, CLOTHES), np.isin(labels, L.LOWER_LABELS)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(lower.astype(np.uint8), connectivity=4)
    between = np.logical_or.accumulate(worn, 0) & np.logical_or.accumulate(lower[::-1], 0)[::-1]
    between &= labels == L.BACKGROUND
    if not between.any():
        return between
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    widths = (parts == largest).sum(1)
    top = int((widths >= widths.max() / 2).argmax())
    waist = (parts[top : top + 2 * BAND] == largest).sum(0) >= BAND
    # Below an arm lies the gap beside the body as well.
    hem = (between[1:] & worn[:-1]).any(0)
    for columns in (np.nonzero(waist)[0], np.nonzero(hem)[0]):
        first, last = (columns[0], columns[-1]) if len(columns) else (0, -1)
        between[:, :first], between[:, last + 1 :] = False, False
    between[top + 2 * BAND :] = False
    return between


def light_on(bare: np.ndarray) -> np.ndarray:
    """How light skin is on a `bare` (256, 192) midriff, by which its colours are multiplied: (256, 192), 1 elsewhere. A body is
    round, and a hem throws a shadow."""
    out = np.ones(bare.shape, np.float32)
    for row in np.nonzero(bare.any(1))[0]:
        columns = np.nonzero(bare[row])[0]
        middle, half = (columns[0] + columns[-1]) / 2, max(1.0, (columns[-1] - columns[0]) / 2)
        across = np.clip((np.arange(bare.shape[1]) - middle) / half, -1, 1)
        out[row] = 1.0 - ROUND * across**2
    below_hem = np.cumsum(bare, 0)
    out *= 1.0 - SHADOW * np.exp(-below_hem / FADES) * bare
    return cv2.GaussianBlur(out, (0, 0), 1.5)
