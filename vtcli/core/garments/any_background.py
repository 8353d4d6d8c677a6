"""A garment on a background that is not plain: cut out by what a network takes for likely.

Where that is sure it stands; between, GrabCut (Rother et al., SIGGRAPH 2004) decides by the picture's own colours. The edge
follows the full-size pixels by a guided filter (He et al., PAMI 2013) whose coefficients are found at the working size.
"""

from __future__ import annotations

import cv2
import numpy as np

_WORK = 256
"""The longer side at which all but the edge is decided."""
_SURE = 0.05
"""Probability below which a pixel is surely background; above one minus it, surely garment."""
_DOUBT, _DOUBTED = 0.1, 0.6
"""Probability from which a pixel is in doubt, up to one minus it, and the share of the picture in doubt from which there is no
garment: photos of garments have 0.5 at most, brick, grass and noise 0.7 and more."""
_AGREED = 0.8
"""Least overlap (IoU) of what is cut out with what is likely: of 60 photos of garments 59 have 0.82 or more; coins, a page, the
moon and a rocket, which are none, 0.77 at most."""
_ROUNDS = 2
"""Of GrabCut; it has little to decide."""
_RADIUS, _SMOOTH = 3, 1e-3
"""The guided filter's radius in pixels of the working size, and what it takes for noise: a variance of colours from 0 to 1."""


def cut_by_likelihood(rgb: np.ndarray, likely: np.ndarray) -> np.ndarray:
    """The garment on `rgb` (H, W, 3) uint8, bool (H, W), where `likely` (h, w) in [0, 1] is how probable it is there."""
    height, width = rgb.shape[:2]
    if ((likely > _DOUBT) & (likely < 1 - _DOUBT)).mean() > _DOUBTED:
        return np.zeros((height, width), bool)
    scale = min(1.0, _WORK / max(height, width))
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    likely = cv2.resize(likely.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    solid = _settled(small, likely)
    if (solid & (likely > 0.5)).sum() < _AGREED * max(1, (solid | (likely > 0.5)).sum()):
        return np.zeros((height, width), bool)
    factors, rest = _guided(small.astype(np.float32) / 255, solid.astype(np.float32))
    whole = rgb.astype(np.float32) / 255
    factors, rest = (cv2.resize(x, (width, height), interpolation=cv2.INTER_LINEAR) for x in (factors, rest))
    return np.asarray((whole * factors).sum(2) + rest > 0.5)


def _settled(rgb: np.ndarray, likely: np.ndarray) -> np.ndarray:
    """GrabCut's decision where the network has none, (h, w) bool."""
    sure = np.where(likely > 0.5, cv2.GC_PR_FGD, cv2.GC_PR_BGD)
    labels = np.where(likely > 1 - _SURE, cv2.GC_FGD, np.where(likely < _SURE, cv2.GC_BGD, sure)).astype(
        np.uint8
    )
    within = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if within.any() and not within.all():
        cv2.setRNGSeed(0)
        try:
            cv2.grabCut(
                rgb,
                labels,
                (0, 0, 1, 1),
                np.zeros((1, 65)),
                np.zeros((1, 65)),
                _ROUNDS,
                cv2.GC_INIT_WITH_MASK,
            )
        except cv2.error:  # too few colours for its mixtures
            return np.asarray(within)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _guided(rgb: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The guided filter's means of factors (h, w, 3) and rest (h, w): a `mask` (h, w) that is, nearby, linear in the colours
    `rgb` (h, w, 3)."""
    window = (2 * _RADIUS + 1, 2 * _RADIUS + 1)
    mean, mean_mask = cv2.blur(rgb, window), cv2.blur(mask, window)
    both = cv2.blur(rgb * mask[..., None], window) - mean * mean_mask[..., None]
    spread = np.empty((*mask.shape, 3, 3), np.float32)
    for i in range(3):
        spread[..., i, :] = cv2.blur(rgb * rgb[..., i, None], window) - mean * mean[..., i, None]
    spread += _SMOOTH * np.eye(3, dtype=np.float32)
    factors = np.linalg.solve(spread, both[..., None])[..., 0]
    rest = mean_mask - (factors * mean).sum(2)
    return cv2.blur(factors, window), cv2.blur(rest, window)
