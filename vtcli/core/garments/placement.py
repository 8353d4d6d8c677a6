"""A shop photo of any size → the garment cut out, placed as the GMM knows garments.

In the VITON set the garment's box is centred and 180 pixels wide at 256×192 (medians), 240 high at most.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.garments.collar import front_of, inner_collar
from vtcli.core.garments.neck_label import neck_label, without_label
from vtcli.core.system.errors import VtcliError

LEAST_SIDE = 8
"""Pixels of a garment in its picture, down and across, below which it is none."""
BOX = (240.0, 180.0)
HEIGHT, WIDTH = 256, 192
RIM = 1.0
"""Width of the garment's edge in which the shop's background shines through, in pixels at 256×192."""


@dataclass
class Garment:
    """`canvas` (1, 3, H, W) in [-1, 1], the garment on white, 3:4 and as sharp as the shop photo; `mask`
    (1, 1, H, W) in [0, 1]; `inside` (1, 1, 256, 192) in [0, 1]: where the inside of the back collar shows;
    `notes`: what whoever gave the photo should know, a line each; `worn`: the canvas as a person wears it, without the
    shop's background in the garment's rim (None: it has none); `on_person`: whether somebody wears it in the shop photo."""

    canvas: Tensor
    mask: Tensor
    inside: Tensor
    notes: tuple[str, ...] = ()
    worn: Tensor | None = None
    on_person: bool = False

    def at(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Canvas and mask at `size`, antialiased."""
        if self.canvas.shape[2:] == torch.Size(size):
            return self.canvas, self.mask
        return self._small if size == (HEIGHT, WIDTH) else self._reduced(size)

    @cached_property
    def _small(self) -> tuple[Tensor, Tensor]:
        return self._reduced((HEIGHT, WIDTH))

    def _reduced(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        small = [
            F.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
            for x in (self.canvas, self.mask)
        ]
        return small[0], small[1]

    def as_worn(self) -> Garment:
        """The same with its canvas as a person wears it."""
        return self if self.worn is None else replace(self, canvas=self.worn, worn=None)

    @cached_property
    def front(self) -> Tensor:
        """The mask at 256×192 without the inside of the back collar, (1, 1, 256, 192) in [0, 1]: what the GMM warps.
        Taken along, the inside would lie where the throat is, and the front too low."""
        mask = self.at((HEIGHT, WIDTH))[1]
        solid = mask > 0.5
        collar = solid & ~torch.from_numpy(front_of(solid[0, 0].numpy(), self.inside[0, 0].numpy() > 0.5))
        return mask * ~collar


def without_hook(mask: np.ndarray) -> np.ndarray:
    """A garment's mask (H, W) bool without a hanger's hook: one thin thing above its middle, and above all else.
    Straps come in pairs, and stay."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if len(rows) < 40 or len(columns) < 40:
        return mask
    top, wide = int(rows[0]), int(columns[-1] - columns[0] + 1)
    some = mask[top:].any(1)
    across = np.where(some, mask.shape[1] - mask[top:, ::-1].argmax(1) - mask[top:].argmax(1), 0)
    thin = across <= 0.14 * wide
    ends = int(np.argmin(thin)) if not thin.all() else 0
    if not 0.015 * len(rows) <= ends <= 0.3 * len(rows):
        return mask
    hook = mask[top : top + ends]
    where = np.nonzero(hook.any(0))[0]
    spread = where[-1] - where[0] + 1
    middle = (columns[0] + columns[-1]) / 2
    if spread > 0.2 * wide or abs((where[0] + where[-1]) / 2 - middle) > 0.12 * wide:
        return mask
    out = mask.copy()
    out[: top + ends] = False
    return out


def place(rgb: np.ndarray, mask: np.ndarray, largest: int = 2048) -> Garment:
    """Cut the garment out and place it. `rgb` (H, W, 3) uint8, `mask` (H, W) bool; the canvas keeps the photo's
    own resolution, up to `largest` pixels of height. VtcliError when the mask is empty."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if min(len(rows), len(columns)) < LEAST_SIDE:
        raise VtcliError("no garment found in the picture")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    fit = min(BOX[0] / (bottom - top), BOX[1] / (right - left))  # 256×192 pixels for one of the photo's
    unit = max(64, min(largest // 4, round(HEIGHT / fit / 4)))
    size = (4 * unit, 3 * unit)
    scale = size[0] / HEIGHT * fit
    inner = (max(1, round((bottom - top) * scale)), max(1, round((right - left) * scale)))
    box = slice(top, bottom), slice(left, right)
    cut = Image.fromarray(own_colours(rgb[box], mask[box], max(1, round(RIM / fit))))
    cut_mask = Image.fromarray(mask[box].astype(np.uint8) * 255)
    colours = np.asarray(cut.resize((inner[1], inner[0]), Image.Resampling.BICUBIC), np.float32) / 127.5 - 1.0
    alpha = np.asarray(cut_mask.resize((inner[1], inner[0]), Image.Resampling.BILINEAR), np.float32) / 255.0
    canvas = np.ones((*size, 3), np.float32)
    whole = np.zeros(size, np.float32)
    y, x = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    whole[y : y + inner[0], x : x + inner[1]] = alpha
    canvas[y : y + inner[0], x : x + inner[1]] = colours * alpha[..., None] + (1.0 - alpha[..., None])
    small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    outline = cv2.resize(whole, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) > 0.5
    seen = ((small + 1.0) * 127.5).clip(0, 255).astype(np.uint8)
    inside = inner_collar(seen, outline)
    canvas = without_label(canvas, neck_label(seen, front_of(outline, inside)))
    return Garment(
        torch.from_numpy(canvas).permute(2, 0, 1)[None],
        torch.from_numpy(whole)[None, None],
        torch.from_numpy(inside.astype(np.float32))[None, None],
    )


def as_placed(rgb: np.ndarray, mask: np.ndarray) -> Garment:
    """The garment of a data set's shop photo `rgb` (256, 192, 3) uint8 with its `mask` (256, 192) bool: it lies where
    the GMM knows garments, and nothing is resampled. The networks see the photo as it is."""
    worn = np.where(mask[..., None], own_colours(rgb, mask, 1), 255).astype(np.uint8) if mask.any() else rgb
    inside = inner_collar(rgb, mask)
    worn = without_label(worn, neck_label(rgb, front_of(mask, inside)))
    return Garment(
        _signed(rgb),
        torch.from_numpy(mask.astype(np.float32))[None, None],
        torch.from_numpy(inside.astype(np.float32))[None, None],
        worn=_signed(worn),
    )


def _signed(rgb: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 → (1, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1.0


def own_colours(rgb: np.ndarray, mask: np.ndarray, rim: int) -> np.ndarray:
    """`rgb` (H, W, 3) uint8 where everything but the garment's inside has the colour of the pixel of it that is nearest:
    `rim` pixels at the edge of the `mask` (H, W) bool are half background, and a resized picture mixes in what lies
    beyond. Parts too thin to have an inside, straps say, count as they are."""
    whole = mask.astype(np.uint8)
    padded = np.pad(whole, rim)  # what the box cuts off is outside
    inner = np.asarray(cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=rim))
    inner = inner[rim:-rim, rim:-rim]
    far = np.asarray(cv2.distanceTransform(1 - inner, cv2.DIST_L2, 5)) > 2 * rim + 1
    sure = ((inner > 0) | (mask & far)).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(1 - sure, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    own = np.flatnonzero(sure)
    places = np.zeros(int(nearest.max()) + 1, np.int64)
    places[nearest.reshape(-1)[own]] = own
    out, beyond = rgb.copy(), sure == 0
    out[beyond] = rgb.reshape(-1, 3)[places[nearest[beyond]]]
    return out
