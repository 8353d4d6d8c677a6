"""What a person carries in front of the top, found: it stays the photo's, and the new garment goes behind it."""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.tryon.annotate import Annotation

LIKELY, CERTAIN = 0.5, 0.85
"""Probability from which a pixel belongs to a thing, and which a thing reaches somewhere. Set on the pairs for choosing,
where next to nobody carries anything (`benchmarks/carried.py`)."""
LEAST = 24
"""Pixels at 256×192 that a thing has at least."""


def carried_things(seen: Annotation) -> np.ndarray:
    """Where the first of the pictures shows carried things, (256, 192) bool; nowhere where nobody looked."""
    if seen.carried is None:
        return np.zeros(seen.probabilities.shape[2:], bool)
    chances = seen.carried[0].float().cpu().numpy()
    count, parts, stats, _ = cv2.connectedComponentsWithStats(
        (chances > LIKELY).astype(np.uint8), connectivity=8
    )
    certain = np.bincount(parts.ravel(), (chances >= CERTAIN).ravel(), count) > 0
    real = (stats[:, cv2.CC_STAT_AREA] >= LEAST) & certain
    real[0] = False
    out: np.ndarray = real[parts]
    return out
