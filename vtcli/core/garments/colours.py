"""The colours of cloth, skin and scene: what tells one from another in a photo. Colours are compared in CIELAB."""

from __future__ import annotations

import cv2
import numpy as np

ALIKE = 10.0
"""Colours closer than this in CIELAB may be the same cloth (folds and light; a just noticeable difference is 2)."""
LEAST = 60
"""Pixels that are enough to tell a colour."""
NO_SCENE = 100.0
"""What counts as the distance from a scene that is not seen, in CIELAB."""
STRIKING = 0.3
"""How much closer to the colours of the cloth than to the scene's something is that stands out from the scene. Set by hand."""


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of colours in grey levels, (…, 3) float32 in [0, 255] → (…, 3)."""
    flat = np.clip(rgb, 0, 255).astype(np.float32).reshape(1, -1, 3) / 255.0
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2LAB)).reshape(rgb.shape)


def rgb(lab: np.ndarray) -> np.ndarray:
    """Grey levels of colours in CIELAB, (…, 3) → (…, 3) float32 in [0, 255]."""
    flat = lab.astype(np.float32).reshape(1, -1, 3)
    return np.asarray(np.clip(cv2.cvtColor(flat, cv2.COLOR_LAB2RGB), 0, 1) * 255.0).reshape(lab.shape)


def length(vectors: np.ndarray) -> np.ndarray:
    """Lengths of `vectors` (…, n): (…). NumPy's own norm sums over the last axis, many times as slow for a short one."""
    out: np.ndarray = np.sqrt(np.einsum("...i,...i->...", vectors, vectors))
    return out


def palette(rgb: np.ndarray, count: int) -> np.ndarray:
    """The `count` colours (count, 3) in CIELAB that stand for pixels (n, 3) in grey levels, by k-means."""
    values = np.ascontiguousarray(lab(rgb), np.float32)
    values = values[:: max(1, len(values) // 2000)]
    cv2.setRNGSeed(0)
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 10, 1.0)
    _, _, centers = cv2.kmeans(values, min(count, len(values)), None, stop, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    return np.asarray(centers)


def apart(values: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """The distance of colours (…, 3) in CIELAB to the nearest of `centers` (n, 3)."""
    # Plane by plane: sums over an axis of three are slow, and BLAS's threads wait for cores that others use.
    planes = [np.ascontiguousarray(values[..., channel]) for channel in range(values.shape[-1])]
    nearest = np.full(values.shape[:-1], np.inf, np.float32)
    for center in centers:
        square = sum((plane - value) ** 2 for plane, value in zip(planes, center, strict=True))
        np.minimum(nearest, square, out=nearest)
    out: np.ndarray = np.sqrt(nearest)
    return out


def from_scene(photo: np.ndarray, values: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """How far the colours of a `photo` (H, W, 3) in grey levels, `values` in CIELAB, are from those of the `scene` (H, W) bool
    around: (H, W), `NO_SCENE` where there is none near."""
    share = scene.astype(np.float32)
    weight = cv2.GaussianBlur(share, (0, 0), 6.0)[..., None]
    around = cv2.GaussianBlur(photo * share[..., None], (0, 0), 6.0) / np.maximum(weight, 1e-4)
    out: np.ndarray = np.where(weight[..., 0] > 1e-3, length(values - lab(around)), NO_SCENE)
    return out
