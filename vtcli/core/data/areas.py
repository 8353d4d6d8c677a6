"""Areas of a picture, (H, W) bool: grown, and in pieces."""

from __future__ import annotations

import cv2
import numpy as np


def disc(radius: int) -> np.ndarray:
    """A disc of whole pixels, for OpenCV's morphology."""
    side = 2 * radius + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


def close_to(mask: np.ndarray, radius: int) -> np.ndarray:
    """`mask` (H, W) bool, and what is up to `radius` pixels from it."""
    out: np.ndarray = cv2.dilate(mask.astype(np.uint8), disc(radius)) > 0
    return out


def hanging_on(pieces: np.ndarray, anchor: np.ndarray) -> np.ndarray:
    """Those of `pieces` (H, W) bool that touch `anchor` (H, W) bool."""
    count, parts = cv2.connectedComponents(pieces.astype(np.uint8), connectivity=4)
    out: np.ndarray = (
        np.isin(parts, np.setdiff1d(np.unique(parts[anchor & pieces]), [0])) if count > 1 else pieces
    )
    return out
