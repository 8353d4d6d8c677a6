"""The grain of the person's skin: what is drawn at 256×192 and enlarged has none, and looks like plastic.

In bands of spatial frequencies the drawn skin gets noise of the standard deviation that the photo's bare skin has there.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from vtcli.core.tryon.composing.planes import blurred, enlarge

BANDS = (0.6, 1.2, 2.4)
"""Standard deviations of the Gaussians between which the bands lie, in pixels of the picture that is painted."""
QUARTER = 0.3186
"""The quarter of what is normal lies within this share of its standard deviation: face and hands have features beside grain."""
MOST = 1.0
"""Grey levels of standard deviation in a band at most."""
INSIDE = 0.95
"""Share of bare skin around a pixel from which it is none of its edge."""


def skin_grain(picture: np.ndarray, bare: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise with the grain of the skin in `picture` (h, w, 3) uint8, (h, w) float32 in grey levels, the same for the same
    `seed`. `bare` (256, 192) bool: where the photo shows bare skin. Zeros where hardly any is seen."""
    size = (picture.shape[0], picture.shape[1])
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # Nine pixels at 256×192 around it are skin: bands reach over edges.
    inside = enlarge(cv2.blur(bare.astype(np.float32), (9, 9)), size) > INSIDE
    out = np.zeros(size, np.float32)
    if inside.sum() < 200:
        return out
    noise = np.random.default_rng(seed).standard_normal(size, dtype=np.float32)
    for fine, coarse in itertools.pairwise(BANDS):
        seen, made = (blurred(x, fine) - blurred(x, coarse) for x in (grey, noise))
        spread = float(np.quantile(np.abs(seen[inside]), 0.25)) / QUARTER
        out += min(spread, MOST) / max(float(made.std()), 1e-6) * made
    return out
