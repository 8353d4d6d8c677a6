"""The inside of a back collar as a small network sees it, with the label or the loop that lies in it: a U-Net
(Ronneberger et al., MICCAI 2015) of three levels. It runs in NumPy, since the processes that prepare data have no torch.
`benchmarks/collars.py` trains it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import load_file

from vtcli.core.garments.neckline_curve import under_neckline

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "collar.safetensors"
SIZE = (64, 96)
"""Height and width of what the network sees: the upper half of a shop photo, two pixels of 256×192 to each."""
ABOVE = 10
"""Rows of it above the garment."""
LIKELY = -2.0
"""Logit from which a pixel is inside: where the overlap with clear insides is best (0.67; 0.64 at 0)."""
LEAST = 12
"""Pixels of it from which an inside counts."""
LABEL = 12
"""Columns that a label parts an inside by, at most."""
RIM = 3
"""Rows below the garment's upper edge in which an inside begins."""


def seen_collar(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Where the garment (`mask`, bool (H, W), upright, on `rgb` (H, W, 3) uint8) shows the inside of its back:
    bool (H, W), all False where none is seen."""
    rows = np.nonzero(mask.any(1))[0]
    if not len(rows):
        return np.zeros(mask.shape, bool)
    seen, move = collar_view(rgb, mask, int(rows[0]))
    logits, there = _network(seen) - LIKELY, seen[..., 3] > 0.5
    share = under_neckline(logits, _at_the_top(logits > 0, there), there).astype(np.float32)
    if share.sum() < LEAST:
        return np.zeros(mask.shape, bool)
    height, width = mask.shape
    back = cv2.warpAffine(share, move, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return (back > 0.5) & mask


def _at_the_top(likely: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The largest part of what is `likely` that reaches the upper edge of the garment `mask`, and others there that a label
    parts from it; all (64, 96) bool."""
    rim = mask & ~np.roll(mask, RIM, 0)
    count, parts, stats, _ = cv2.connectedComponentsWithStats((likely & mask).astype(np.uint8))
    reaching = [int(part) for part in np.unique(parts[rim & likely]) if part]
    if count < 2 or not reaching:
        return np.zeros(mask.shape, bool)
    largest = max(reaching, key=lambda part: stats[part, cv2.CC_STAT_AREA])
    first, last = (
        stats[largest, cv2.CC_STAT_LEFT] + side * stats[largest, cv2.CC_STAT_WIDTH] for side in (0, 1)
    )
    beside = [
        part for part in reaching
        if stats[part, cv2.CC_STAT_LEFT] < last + LABEL
        and stats[part, cv2.CC_STAT_LEFT] + stats[part, cv2.CC_STAT_WIDTH] > first - LABEL
    ]  # fmt: skip
    return np.isin(parts, beside)


def collar_view(rgb: np.ndarray, mask: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees of a garment whose first row is `top`: colours on white in [-1, 1] and the mask in [0, 1],
    (64, 96, 4) float32; and the affine map (2, 3) from the photo's pixels to it."""
    scale = SIZE[1] / mask.shape[1]
    move = np.array([[scale, 0, scale / 2 - 0.5], [0, scale, ABOVE - scale * top]], np.float32)
    photo = np.where(mask[..., None], rgb, 255).astype(np.float32) / 127.5 - 1.0
    given = np.dstack([photo, mask.astype(np.float32)])
    sigma = max(0.3, 0.3 / scale)  # antialiasing
    smooth = cv2.GaussianBlur(given, (0, 0), sigma)
    seen = cv2.warpAffine(smooth, move, SIZE[::-1], borderValue=(1.0, 1.0, 1.0, 0.0))
    return np.asarray(seen), move


@lru_cache(maxsize=1)
def _weights() -> dict[str, np.ndarray]:
    """Biases (D,), and kernels (9, C, D): a matrix for each of a pixel's neighbours, row by row."""
    out = {}
    for name, value in load_file(WEIGHTS).items():
        value = value.astype(np.float32)
        kernel = value.ndim > 1
        out[name] = value.transpose(2, 3, 1, 0).reshape(9, -1, len(value)) if kernel else value
    return out


def _network(seen: np.ndarray) -> np.ndarray:
    """Logits (64, 96) of the inside, from what `collar_view` shows."""
    x, levels = np.maximum(_convolved(seen, "down.0.0"), 0.0), []
    for level in (1, 2, 3):
        levels.append(x)
        x = np.maximum(_convolved(x, f"down.{level}.0.0", stride=2), 0.0)
        x = np.maximum(_convolved(x, f"down.{level}.1.0"), 0.0)
    for level, skip in enumerate(levels[::-1]):
        larger = cv2.resize(x, skip.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        x = np.maximum(_convolved(np.dstack([larger, skip]), f"up.{level}.0"), 0.0)
    return _convolved(x, "out")[..., 0]


def _convolved(x: np.ndarray, name: str, stride: int = 1) -> np.ndarray:
    """(h, w, C) → (h / stride, w / stride, D) by the 3×3 convolution `name`."""
    kernels, bias = _weights()[f"{name}.weight"], _weights()[f"{name}.bias"]
    height, width, channels = x.shape
    padded = np.zeros((height + 2, width + 2, channels), np.float32)
    padded[1:-1, 1:-1] = x
    out = np.empty((height // stride, width // stride, len(bias)), np.float32)
    out[:] = bias
    product = np.empty_like(out)
    for number, kernel in enumerate(kernels):
        row, column = divmod(number, 3)
        neighbours = padded[row : row + height : stride, column : column + width : stride]
        # A product for each row: small ones OpenBLAS computes in one thread. Its threads spin while they wait for each
        # other, which costs a busy machine tens of times what they gain here.
        out += np.matmul(neighbours, kernel, out=product)
    return out
