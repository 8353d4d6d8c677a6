"""Backdrops other than the studio's: walls, gradients, textures, blurred lights."""

from __future__ import annotations

import cv2
import numpy as np


def backdrop_colour(height: int, width: int, seed: int) -> np.ndarray:
    """(H, W, 3) float32 sRGB 0..1; the same for every number of rays, up to their sampling."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    yy, xx = (yy + 0.5) / height, (xx + 0.5) / width
    one, two = _tone(rng), _tone(rng)
    kind = rng.integers(5)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.clip(0.5 + (xx - 0.5) * np.cos(angle) * 0.8 + (yy - 0.5) * np.sin(angle), 0, 1)[..., None]
    out = one + (two - one) * ramp * rng.uniform(0.2, 1.0)
    if kind == 1:  # plaster, bark, foliage: noise of several sizes
        for size in (4, 9, 20, 45):
            out = out + _noise(rng, height, width, size)[..., None] * rng.uniform(0.01, 0.09)
    elif kind == 2:  # a wall and a floor or a horizon
        edge = rng.uniform(0.55, 0.95)
        soft = np.clip((yy - edge) / rng.uniform(0.005, 0.08), 0, 1)[..., None]
        out = out + (_tone(rng) - out) * soft
        out = out + _noise(rng, height, width, 24)[..., None] * 0.03
    elif kind == 3:  # blurred lights and shapes
        for _ in range(int(rng.integers(8, 40))):
            x, y, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.02, 0.16)
            away = np.hypot(xx - x, (yy - y) * 4 / 3) - r
            out = (
                out
                + (_tone(rng) - out) * (np.clip(0.5 - away / 0.03, 0, 1) * rng.uniform(0.2, 0.8))[..., None]
            )
    elif kind == 4:  # bricks, tiles, planks
        rows, columns = rng.uniform(4, 22), rng.uniform(0.0, 8)
        row = yy * rows
        column = xx * columns + 0.5 * (np.floor(row) % 2)
        joint = np.minimum(np.abs(row % 1 - 0.5) * 2, np.abs(column % 1 - 0.5) * 2 if columns > 1.5 else 1.0)
        tint = rng.normal(0, 0.05, 512)[(np.floor(row) * 37 + np.floor(column) * 11).astype(int) % 512]
        out = (
            out
            + tint[..., None]
            - 0.15 * np.clip((joint - 0.9) / 0.1, 0, 1)[..., None] * rng.uniform(-0.5, 1)
        )
    blur = rng.uniform(0, 0.02) * height
    if blur > 0.6:
        out = cv2.GaussianBlur(out.astype(np.float32), (0, 0), blur, borderType=cv2.BORDER_REPLICATE)
    return np.clip(out, 0.01, 0.99).astype(np.float32)


def _tone(rng: np.random.Generator) -> np.ndarray:
    grey = rng.uniform(0.08, 0.97)
    return np.clip(grey + rng.normal(0, 0.09, 3), 0.02, 0.98).astype(np.float32)


def _noise(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    small = rng.standard_normal((cells * 4 // 3 + 1, cells)).astype(np.float32)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
