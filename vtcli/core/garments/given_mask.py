"""A garment's mask that came with its photo, or as its alpha channel: does it lie on the garment?"""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.garments.cutout import cut

_SIDE = 256  # the longer side at which the two are compared, in pixels
_ON_GARMENT = 0.5
"""Least share of a mask that lies on what stands out from a plain background."""
_DOUBTFUL = 0.9
"""The same, below which it is told: of 250 of VITON's masks three have less, but four in five of another garment's."""
_LEFT_OUT = 0.3
"""Share of what stands out from a plain background that a mask leaves out, above which it is told."""
_BORDER = 0.85
"""Share of the picture's border from which a mask covers the background, if its complement lies inside."""
_CARD = 0.97
"""Share of its box from which what an alpha channel leaves is a card and no garment."""


def box_of(mask: np.ndarray) -> tuple[slice, slice]:
    """The least box around `mask` (H, W) bool, which is not empty: its rows, its columns."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def is_card(alpha: np.ndarray) -> bool:
    """Whether what an alpha channel (H, W) bool leaves is a window with round corners or a sticker's card, and no garment's
    outline."""
    return float(alpha[box_of(alpha)].mean()) > _CARD


def is_inverted(alpha: np.ndarray) -> bool:
    """Whether an alpha channel (H, W) bool is opaque around the garment instead of in it."""
    return _border(alpha) > _BORDER


def _border(mask: np.ndarray) -> float:
    return float(np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]]).mean())


def mask_problem(rgb: np.ndarray, mask: np.ndarray) -> str | None:
    """What is wrong with `mask` (h, w) bool for the garment on `rgb` (H, W, 3) uint8, of the same proportions; None where
    nothing is, or where the background is not plain and nothing can be told."""
    return judge_mask(rgb, mask)[0]


def judge_mask(rgb: np.ndarray, mask: np.ndarray) -> tuple[str | None, str | None]:
    """The same, and what is doubtful about a mask with which nothing is plainly wrong; None where nothing is."""
    if not mask.any():
        return "the garment's mask is empty", None
    if mask.all():
        return "the garment's mask covers the whole picture", None
    scale = _SIDE / max(rgb.shape[:2])
    size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    given = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_AREA) > 0
    border = _border(given)
    garment, plain = cut(small)
    if plain and garment.any():
        on, beside = float(garment[given].mean()), float(garment[~given].mean()) if (~given).any() else 0.0
        if on < _ON_GARMENT and beside > on:
            if border > 0.5:
                return "the garment's mask covers the background, and not the garment: it is inverted", None
            return f"only {on:.0%} of the garment's mask lies on what stands out from the background", None
        if on < _DOUBTFUL:
            return None, f"only {on:.0%} of the mask given for it lies on what stands out from the background"
        left = float((~given)[garment].mean())
        if left > _LEFT_OUT:
            return None, f"the mask given for it leaves out {left:.0%} of what stands out from the background"
        return None, None
    if border > _BORDER and not given.all():
        return "the garment's mask covers the border of the picture: it is inverted", None
    return None, None
