"""Maps of 256×192 at a photo's resolution: enlarged, with edges where the photo has them, dilated, steepened.

A plane is (h, w) or (h, w, 3) float32. Edges are found by a guided filter (He and Sun, "Fast Guided Filter", 2015).
"""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from vtcli.core.data.areas import disc

DISC = 6
"""Radius of the largest disc that one pass dilates by."""
EVEN = 8
"""Columns at 256×192 to both sides over which an edge is evened out before it serves as a mirror."""


def plane(x: Tensor) -> np.ndarray:
    """The first sample's first channel: (B, C, H, W) → (H, W) float32."""
    out: np.ndarray = x[0, 0].float().cpu().numpy()
    return out


def blurred(plane: np.ndarray, sigma: float) -> np.ndarray:
    """`plane` blurred by a Gaussian of `sigma` pixels; a wide one at a reduced size, which changes next to nothing."""
    factor = int(sigma / 3.0)
    if factor < 2:
        return np.asarray(cv2.GaussianBlur(plane, (0, 0), sigma))
    height, width = plane.shape[:2]
    small = cv2.resize(plane, (width // factor, height // factor), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR))


def at_most(rows: int, size: tuple[int, int]) -> tuple[int, int]:
    """`size` (height, width), reduced to `rows` where it is larger."""
    return size if size[0] <= rows else (rows, round(rows * size[1] / size[0]))


def enlarge(plane: np.ndarray, size: tuple[int, int], how: int = cv2.INTER_LINEAR) -> np.ndarray:
    """A plane at `size` (height, width); antialiased where that is smaller."""
    if plane.shape[:2] == tuple(size):
        return plane.astype(np.float32)
    if size[0] < plane.shape[0]:
        how = cv2.INTER_AREA
    return cv2.resize(plane.astype(np.float32), (size[1], size[0]), interpolation=how)


def part_of(plane: np.ndarray, size: tuple[int, int], rows: slice, columns: slice) -> np.ndarray:
    """Some rows and columns of a plane enlarged to `size`, bilinearly."""
    if plane.shape[:2] == size:
        return plane[rows, columns]
    at = (np.arange(rows.start, rows.stop) + 0.5) * (plane.shape[0] / size[0]) - 0.5
    part = between(plane, np.clip(at, 0, plane.shape[0] - 1), 0)
    out: np.ndarray = cv2.resize(part, (size[1], part.shape[0]), interpolation=cv2.INTER_LINEAR)[:, columns]
    return out


def between(array: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
    """`array` at fractional positions along `axis`, linearly."""
    first = np.clip(np.floor(at).astype(int), 0, array.shape[axis] - 2)
    shape = [1] * array.ndim
    shape[axis] = len(at)
    share = np.clip(at - first, 0, 1).astype(np.float32).reshape(shape)
    low, high = array.take(first, axis), array.take(first + 1, axis)
    high -= low
    high *= share
    high += low
    return high


def steepened(share: np.ndarray, scale: float) -> np.ndarray:
    """Probabilities enlarged by `scale` are as blurred: steepen them around one half, to an edge of a few pixels."""
    out = share - 0.5
    out *= max(1.6, scale)
    out += 0.5
    return np.clip(out, 0, 1, out=out)


def dilated(share: np.ndarray, radius: float) -> np.ndarray:
    """The maximum over a disc of `radius` pixels, in steps of 1/255: a large disc is the sum of small ones, which are faster,
    and bytes are faster than floats."""
    levels = cv2.convertScaleAbs(share, alpha=255.0)
    whole = max(1, round(radius))
    passes = -(-whole // DISC)
    for number in range(passes):
        levels = cv2.dilate(levels, disc((whole + number) // passes))
    return np.multiply(levels, np.float32(1 / 255), dtype=np.float32)


def eroded(share: np.ndarray, radius: float) -> np.ndarray:
    """The minimum over a disc of `radius` pixels."""
    out: np.ndarray = 1.0 - dilated(1.0 - share, radius)
    return out


def mirrored(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What is `seen` (256, 192) bool of `image` (h, w, 3), carried on beyond its edge: each pixel takes the colour of
    its mirror image in the nearest edge, (h, w, 3) float32."""
    height, width = seen.shape
    there = seen.astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(1 - there, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    at = np.zeros((nearest.max() + 1, 2), np.float32)
    rows, columns = np.nonzero(there)
    at[nearest[rows, columns]] = np.stack([columns, rows], 1)
    own = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    edge = at[nearest]
    across = np.clip(2 * edge - own, 0, (width - 1, height - 1))
    inside = there[across[..., 1].astype(int), across[..., 0].astype(int)] > 0
    return _moved(image, np.where(inside[..., None], across, edge) - own)


def mirrored_up(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """What is `seen` (256, 192) bool of `image` (h, w, 3), carried on above its upper edge: each pixel takes the colour as
    far below that edge as it lies above, back and forth where less is seen, (h, w, 3) float32. The edge is smoothed, since
    every notch of it would throw a fan of stripes; where nothing is seen in a column, the nearest edge is the mirror."""
    height, width = seen.shape
    columns = np.nonzero(seen.any(0))[0]
    if not len(columns):
        return mirrored(image, seen)
    first = seen.argmax(0)
    ends = np.arange(height)[:, None] >= first  # from the edge on, up to where nothing is seen
    ends &= ~seen
    last = np.where(ends.any(0), ends.argmax(0), height) - 1
    edge, depth = (_evened(x[columns], columns, width) for x in (first, np.maximum(last - first, 1)))
    rows, across = np.mgrid[:height, :width].astype(np.float32)
    away = np.mod(edge - rows, 2 * depth)
    source = np.where(rows < edge, edge + depth - np.abs(depth - away), rows)
    inside = seen[np.minimum(source.astype(int), height - 1), across.astype(int)]
    inside &= (source < height) & (rows < edge) & seen.any(0)
    share = enlarge(cv2.blur(inside.astype(np.float32), (3, 3)), image.shape[:2])[..., None]
    up = _moved(image, np.stack([np.zeros_like(source), np.minimum(source, height - 1) - rows], -1))
    return share * up + (1.0 - share) * mirrored(image, seen)


def _evened(values: np.ndarray, columns: np.ndarray, width: int) -> np.ndarray:
    """`values` at `columns` for all of `width` columns, smoothed: (1, width) float32."""
    every = np.interp(np.arange(width), columns, values)
    around = np.pad(every, EVEN, mode="edge")
    every = np.median(np.lib.stride_tricks.sliding_window_view(around, 2 * EVEN + 1), axis=1)
    return np.asarray(cv2.GaussianBlur(every[None].astype(np.float32), (0, 0), EVEN / 2))


def _moved(image: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """`image` (h, w, 3) sampled as far away as `moved` (256, 192, 2) says, x and y in pixels of 256×192."""
    size = image.shape[:2]
    moved = cv2.resize(moved, size[::-1], interpolation=cv2.INTER_LINEAR) * (size[0] / moved.shape[0])
    grid = (np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1) + moved).astype(np.float32)
    out = cv2.remap(image, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(out, np.float32)


def soft_edge(region: np.ndarray, depth: float) -> np.ndarray:
    """`region` (h, w) bool with a soft edge: 0 at its edge, 1 `depth` pixels inside."""
    # The window's own border is no edge of the region.
    padded = np.pad(region.astype(np.uint8), 1, mode="edge")
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    out: np.ndarray = np.clip(inside / max(depth, 1.0), 0, 1)
    return out


def carried_on(values: np.ndarray, sure: np.ndarray, side: int) -> np.ndarray:
    """Means of `values` (h, w, 3) over those neighbours in a square of `side` pixels that are `sure` (h, w); 0 where
    none is."""
    weight = cv2.blur(sure, (side, side))
    return cv2.blur(values * sure[..., None], (side, side)) / np.maximum(weight, 1e-3)[..., None]


class GuidedFilter:
    """A plane at 256×192 → (h, w) in [0, 1] with its edges where `guide` (h, w) float32 in [0, 1] has them, within
    about three pixels at 256×192; the guide is `scale` times as large."""

    LARGEST = 768
    """Rows at which the coefficients are found at most."""

    def __init__(self, guide: np.ndarray, scale: float, epsilon: float = 1e-3) -> None:
        self.guide = guide
        height, width = guide.shape
        factor = min(1.0, self.LARGEST / height)
        self.size = (max(1, round(height * factor)), max(1, round(width * factor)))
        self.small = enlarge(guide, self.size, cv2.INTER_AREA)
        side = 2 * max(1, round(3 * scale * factor)) + 1
        self.window = (side, side)
        self.mean = cv2.boxFilter(self.small, -1, self.window)
        self.spread = cv2.boxFilter(self.small * self.small, -1, self.window) - self.mean**2 + epsilon

    def __call__(self, plane: np.ndarray) -> np.ndarray:
        plane = enlarge(plane, self.size)
        mean = cv2.boxFilter(plane, -1, self.window)
        slope = (cv2.boxFilter(self.small * plane, -1, self.window) - self.mean * mean) / self.spread
        offset = mean - slope * self.mean
        slope, offset = (
            enlarge(cv2.boxFilter(x, -1, self.window), self.guide.shape) for x in (slope, offset)
        )
        slope *= self.guide
        slope += offset
        return np.clip(slope, 0, 1, out=slope)
