"""A small z-buffer: triangles in, for each pixel the nearest triangle and where in it the pixel lies.

Vectorised over triangles (NumPy only). Shading is deferred: callers interpolate what they need for the
pixels that survive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

_SIZES = (2, 4, 6, 10, 16, 28, 48, 96, 192, 384, 1024, 4096)
_CHUNK = 1_500_000


@dataclass
class Visible:
    """The visible surface: flat pixel indices, and per pixel triangle, barycentric weights and depth."""

    pixels: np.ndarray  # (n,) int64, y * width + x
    triangles: np.ndarray  # (n,) int64
    weights: np.ndarray  # (n, 3) float32, sum 1
    depth: np.ndarray  # (n,) float32, larger is nearer

    def interpolate(self, values: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """Vertex `values` (V,) or (V, C) at each visible pixel: (n,) or (n, C)."""
        corners = triangles[self.triangles]
        weights = self.weights
        if values.ndim == 1:
            return (values[corners] * weights).sum(1)
        out = values[corners[:, 0]] * weights[:, :1]
        out += values[corners[:, 1]] * weights[:, 1:2]
        out += values[corners[:, 2]] * weights[:, 2:]
        return out

    def select(self, keep: np.ndarray) -> Visible:
        """Only the pixels where `keep` (n,) holds."""
        return Visible(self.pixels[keep], self.triangles[keep], self.weights[keep], self.depth[keep])


def _fragments(xy: np.ndarray, z: np.ndarray, triangles: np.ndarray, height: int,
               width: int) -> Iterator[tuple[np.ndarray, ...]]:  # fmt: skip
    """(pixels, triangles, second weight, third weight, depth) of what triangles cover, some at a time."""
    a, b, c = xy[triangles[:, 0]], xy[triangles[:, 1]], xy[triangles[:, 2]]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    low = np.minimum(np.minimum(a, b), c)
    high = np.maximum(np.maximum(a, b), c)
    x0 = np.clip(np.ceil(low[:, 0] - 0.5), 0, width).astype(np.int32)
    y0 = np.clip(np.ceil(low[:, 1] - 0.5), 0, height).astype(np.int32)
    x1 = np.clip(np.floor(high[:, 0] - 0.5) + 1, 0, width).astype(np.int32)
    y1 = np.clip(np.floor(high[:, 1] - 0.5) + 1, 0, height).astype(np.int32)
    span = np.maximum(x1 - x0, y1 - y0)
    alive = (x1 > x0) & (y1 > y0) & (np.abs(area) > 1e-9)
    size_class = np.searchsorted(_SIZES, span)
    for number, size in enumerate(_SIZES):
        chosen = np.flatnonzero(alive & (size_class == number))
        step = max(1, _CHUNK // (size * size))
        offsets = np.arange(size, dtype=np.int32)
        for start in range(0, len(chosen), step):
            t = chosen[start : start + step]
            px = x0[t, None] + offsets  # (n, size)
            py = y0[t, None] + offsets
            fx = (px + 0.5 - a[t, 0, None]).astype(np.float32)
            fy = (py + 0.5 - a[t, 1, None]).astype(np.float32)
            inverse = (1.0 / area[t]).astype(np.float32)[:, None]
            acx, acy = (c[t] - a[t]).T.astype(np.float32)
            abx, aby = (b[t] - a[t]).T.astype(np.float32)
            wb = (fx * (acy[:, None] * inverse))[:, None, :] - (fy * (acx[:, None] * inverse))[:, :, None]
            wc = (fy * (abx[:, None] * inverse))[:, :, None] - (fx * (aby[:, None] * inverse))[:, None, :]
            inside = (wb >= 0) & (wc >= 0) & (wb + wc <= 1)
            inside &= (px < x1[t, None])[:, None, :] & (py < y1[t, None])[:, :, None]
            k, j, i = np.nonzero(inside)
            wb, wc = wb[k, j, i], wc[k, j, i]
            tri = t[k]
            corner = triangles[tri]
            depth = z[corner[:, 0]] * (1 - wb - wc) + z[corner[:, 1]] * wb + z[corner[:, 2]] * wc
            yield py[k, j].astype(np.int64) * width + px[k, i], tri, wb, wc, depth


def rasterise(xy: np.ndarray, z: np.ndarray, triangles: np.ndarray, height: int, width: int,
              discard: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None) -> Visible:  # fmt: skip
    """The nearest surface at each pixel's centre.

    xy: (V, 2) float, pixels (x to the right, y down); z: (V,) float, larger is nearer; triangles: (T, 3).
    `discard(triangles (n,), weights (n, 3)) -> (n,) bool` drops fragments (cut-outs). Pixels that no
    triangle covers are left out of the answer; they come in rising order.
    """
    xy = np.asarray(xy, dtype=np.float64)
    z = np.asarray(z, dtype=np.float32)
    parts = list(_fragments(xy, z, triangles, height, width))
    if not parts:
        none = np.zeros(0, dtype=np.int64)
        return Visible(none, none, np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
    pixels, tri, wb, wc, depth = (np.concatenate(p) for p in zip(*parts, strict=True))
    if discard is not None:
        drop = discard(tri, np.stack([1 - wb - wc, wb, wc], axis=1))
        keep = ~drop
        pixels, tri, wb, wc, depth = pixels[keep], tri[keep], wb[keep], wc[keep], depth[keep]
    if not len(pixels):
        return Visible(pixels, tri, np.zeros((0, 3), np.float32), depth)
    low, high = float(depth.min()), float(depth.max())
    scaled = ((depth - low) * (1.0e9 / max(high - low, 1e-9))).astype(np.uint64) + np.uint64(1)
    key = (scaled << np.uint64(32)) | np.arange(len(pixels), dtype=np.uint64)
    best = np.zeros(height * width, dtype=np.uint64)
    np.maximum.at(best, pixels, key)
    covered = np.flatnonzero(best)
    winner = (best[covered] & np.uint64(0xFFFFFFFF)).astype(np.int64)
    weights = np.stack([1 - wb[winner] - wc[winner], wb[winner], wc[winner]], axis=1)
    return Visible(covered, tri[winner], weights.astype(np.float32), depth[winner])
