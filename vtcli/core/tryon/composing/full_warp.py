"""The garment warped at the photo's own resolution: a warp knows no resolution, and shop photos are sharper than
256×192."""

from __future__ import annotations

from copy import copy

import cv2
import numpy as np
import torch

from vtcli.core.garments.placement import Garment
from vtcli.core.models.tps import sample
from vtcli.core.models.warping import Warp
from vtcli.core.tryon.composing.planes import (
    between,
    carried_on,
    dilated,
    enlarge,
    mirrored,
    plane,
    steepened,
)

RIM = 3.0
"""Width of the rim beyond the garment's edge, in pixels at 256×192, that has the mean colour of the cloth beside it."""
REACH = 3.0
"""How far the warped garment may be stretched to where a top is expected, in pixels at 256×192."""
OPAQUE = 0.85
"""Alpha from which a pixel of the warped garment shows its own colour, and no mixture with what lies beside it."""
EVEN = 1.5
"""Standard deviation of the blur, in pixels at 256×192, after which a collar's edge is found at one half."""
UP = 12
"""Half of how far above the back collar's inside the throat may reach, in pixels at 256×192."""


class FullWarp:
    """The garment warped at `size`, in bands of rows, so that large photos need little memory.

    The warp is smooth: its grid is found at 257×193 and enlarged. The canvas is first reduced, antialiased, to about
    the output's resolution.
    """

    def __init__(self, garment: Garment, warp: Warp, size: tuple[int, int]) -> None:
        self.size, self.garment, self.warp = size, garment, warp
        height = garment.canvas.shape[2]
        target = size if size[0] < height else (height, garment.canvas.shape[3])
        canvas, mask = garment.as_worn().at(target)
        rgba = torch.cat([(canvas[0] + 1.0) * 127.5, mask[0] * 255.0]).clamp(0, 255) + 0.5
        self.canvas = np.ascontiguousarray(rgba.permute(1, 2, 0).to(torch.uint8).numpy())
        grid = warp.grid_at((257, 193))[0].detach().cpu().numpy()
        self.grid = (grid + 1.0) * 0.5 * np.array([target[1] - 1, target[0] - 1], np.float32)
        self._whole: tuple[np.ndarray, np.ndarray] | None = None

    def at(self, size: tuple[int, int]) -> FullWarp:
        """The same warp of the same canvas at another `size`, not much smaller."""
        other = copy(self)
        other.size, other._whole = size, None
        return other

    def whole(self) -> tuple[np.ndarray, np.ndarray]:
        """All rows, kept for later."""
        if self._whole is None:
            self._whole = self.part(slice(0, self.size[0]), slice(0, self.size[1]))
        return self._whole

    def part(self, rows: slice, columns: slice) -> tuple[np.ndarray, np.ndarray]:
        """Colours on white (n, m, 3) float32 in [0, 255] and alpha (n, m) in [0, 1] of some rows and columns."""
        if self._whole is not None:
            rgb, alpha = self._whole
            return rgb[rows, columns], alpha[rows, columns]
        down = np.arange(rows.start, rows.stop) * (256.0 / max(1, self.size[0] - 1))
        across = np.arange(columns.start, columns.stop) * (192.0 / max(1, self.size[1] - 1))
        grid = between(between(self.grid, down, 0), across, 1)
        rgba = cv2.remap(
            self.canvas, grid[..., 0], grid[..., 1], cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_CONSTANT, borderValue=(255, 255, 255, 0),
        )  # fmt: skip
        return rgba[..., :3].astype(np.float32), rgba[..., 3].astype(np.float32) / 255.0


def cut_out_warp(full: FullWarp) -> np.ndarray:
    """The warped garment without the inside of its back collar: (h, w, 4) uint8, colours and alpha."""
    rgb, alpha = full.whole()
    alpha = alpha * (1.0 - collar_opening(full))
    return np.dstack([np.clip(rgb + 0.5, 0, 255), alpha * 255.0 + 0.5]).astype(np.uint8)


def own_colours(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The warped garment's own colours (h, w, 3), freed of the white it lay on."""
    out: np.ndarray = np.clip(
        (rgb - 255.0 * (1.0 - alpha[..., None])) / np.maximum(alpha, 0.3)[..., None], 0, 255
    )
    return out


def beyond_edge(rgb: np.ndarray, alpha: np.ndarray, scale: float) -> np.ndarray:
    """The garment's own colours (h, w, 3), carried `REACH` pixels beyond its edge, `scale` to a pixel at 256×192."""
    side = 2 * max(1, round(REACH * scale)) + 1
    own = own_colours(rgb, alpha)
    sure = (alpha > OPAQUE).astype(np.float32)
    out: np.ndarray = np.where(sure[..., None] > 0, own, carried_on(own, sure, side))
    return out


def carried_beyond(rgb: np.ndarray, alpha: np.ndarray, scale: float) -> np.ndarray:
    """The garment's own colours (h, w, 3), carried on beyond its edge: a narrow rim in the mean cloth beside it, since a
    piece of a pattern would look like a stain there, and further out as in a mirror, pattern and all."""
    # In narrow gaps a mirror image may fall into the gap itself: there lies the mean cloth of both sides.
    own = beyond_edge(rgb, alpha, scale)
    sure = enlarge((alpha > 0.9).astype(np.float32), (256, 192)) > 0.95
    sure = cv2.erode(sure.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    if not sure.any():
        return own
    rim = dilated((alpha > OPAQUE).astype(np.float32), RIM * scale) > 0.5
    out: np.ndarray = np.where(rim[..., None], own, mirrored(own, sure))
    return out


def collar_opening(full: FullWarp) -> np.ndarray:
    """Where the garment's neckline is open, (h, w) in [0, 1] with an edge of a few pixels: the inside of the back
    collar, and what lies right above it and is not covered by the garment."""
    collar = plane(sample(full.garment.inside, full.warp.grid.cpu(), 0.0))
    opening = np.zeros_like(collar)
    if collar.max() >= 0.5:
        above = cv2.dilate(collar, np.ones((2 * UP + 1, 1), np.uint8), anchor=(0, 0))
        opening = np.maximum(collar, above * (1.0 - plane(full.warp.mask)))
        # Between collar and air runs the garment's own soft edge, which is no thread around the neck.
        opening = np.asarray(cv2.morphologyEx(opening, cv2.MORPH_CLOSE, np.ones((5, 1), np.uint8)))
        # A collar's edge is an even line: the steps of a mask of 256×192 would be seen in a photo.
        opening = cv2.GaussianBlur(opening, (0, 0), EVEN)
    return steepened(enlarge(opening, full.size), full.size[0] / opening.shape[0])
