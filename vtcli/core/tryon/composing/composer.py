"""From what the networks say at 256×192 to the picture, at any resolution: one composer for photos and for splits.

With `keep=head` the picture is I_try-on. With `keep=outside` it touches nothing that a change of top does not. A warp
knows no resolution: the garment is sampled from its own photo at the window's size. What becomes of a pixel of the
region follows from the photo's parse and from M_exp:

- no top before, none expected: the photo stays. Arms, trousers and background are where they were;
- a top is expected: the warped garment with its own edge, or its cloth carried on a little beyond it, and I_rp further
  away; but background gives way only to the warped garment itself;
- a dress before: it stays, pixel for pixel, below the new hem, whatever the parse calls it;
- the inside of the garment's back collar shows nothing on a person: the photo stays there, or skin is filled in;
- a top before, none expected: background is filled in from the photo around the person, lower body from the lower
  body or dress that is seen, skin from I_rp, in the person's own tone.

What has the old garment's colour is the old garment, whatever the parse calls it (`old_garment`). Edges of the old garment
are looked for in the photo, edges of the new one in the warped garment.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data.pixels import grey_levels
from vtcli.core.garments.placement import Garment, as_placed
from vtcli.core.models.warping import Warp
from vtcli.core.system.workers import side_by_side
from vtcli.core.tryon.composing.full_warp import (
    FullWarp,
)
from vtcli.core.tryon.composing.layers import make_layers
from vtcli.core.tryon.composing.planes import at_most, enlarge
from vtcli.core.tryon.networks import Composition, People
from vtcli.core.tryon.photos.annotate import certain
from vtcli.core.tryon.photos.user_masks import UserMasks

NO_MASKS = UserMasks()
WORK = 800
"""Rows at which masks are made at most: at 1,400 their edges look no better, and composition takes a third longer."""
BAND = 192
"""Rows of the full-size picture that are made at a time."""


@dataclass
class Picture:
    """`pixels` (h, w, 3) uint8, the window at the photo's resolution; `region` (h, w) bool: outside of it the
    picture is the photo, bit for bit."""

    pixels: np.ndarray
    region: np.ndarray


def compose(
    window: np.ndarray, probabilities: Tensor, people: People, garment: Garment, warp: Warp, composition: Composition,
    keep: str, masks: UserMasks = NO_MASKS, own: np.ndarray | None = None,
) -> Picture:  # fmt: skip
    """The picture of one person in the window (h, w, 3) uint8, at its own resolution.

    `probabilities` (1, 20, 256, 192): the photo's parse; `own` (2, 256, 192): how probable the torso's bare skin and things are,
    if that is known; the others are of the same person at 256×192. With
    `keep=outside` masks and fillings are made at `WORK` rows at most; photo and garment meet at full size, band by
    band. What `masks` (of the window's size) protects is the photo's, with either `keep`.
    """
    size = (window.shape[0], window.shape[1])
    if keep == "head":
        enlarged = composition.tryon
        if enlarged.shape[2:] != size:
            enlarged = F.interpolate(enlarged, size=size, mode="bicubic", align_corners=False)
        pixels, region = grey_levels(enlarged)[0].cpu().numpy(), np.ones(size, bool)
        if masks.protect is not None:
            pixels[masks.protect], region[masks.protect] = window[masks.protect], False
        return Picture(pixels, region)
    work = at_most(WORK, size)
    small = window if work == size else cv2.resize(window, work[::-1], interpolation=cv2.INTER_AREA)
    full = FullWarp(garment, warp, size)
    reduced = full if work == size else full.at(work)
    layers = make_layers(small, probabilities, people, reduced, composition, masks, own)
    region = enlarge(layers.region, size) > 0.5
    if masks.protect is not None:
        region &= ~masks.protect
    pixels = window.copy()

    def make(start: int) -> None:
        rows = slice(start, min(start + BAND, size[0]))
        there = np.nonzero(region[rows].any(0))[0]
        if len(there):
            part = rows, slice(int(there[0]), int(there[-1]) + 1)
            np.copyto(pixels[part], layers.compose(window[part], full, *part), where=region[part][..., None])

    side_by_side(make, range(0, size[0], BAND))
    return Picture(pixels, region)


def compose_batch(
    photos: np.ndarray, people: People, cloths: np.ndarray, masks: np.ndarray, warp: Warp, composition: Composition,
    keep: str,
) -> np.ndarray:  # fmt: skip
    """The pictures of several people of a data set, (B, 256, 192, 3) uint8, each as `compose` makes it alone.

    `photos` (B, 256, 192, 3) uint8: their own windows, whose parse is certain; `cloths` (B, 256, 192, 3) uint8 with
    `masks` (B, 256, 192) bool: the shop photos.
    """
    if keep == "head":
        return grey_levels(composition.tryon).cpu().numpy()
    parse = certain(people.filled_parse.cpu())
    filled = People(people.image, people.filled_parse, people.keypoints)

    def one(i: int) -> np.ndarray:
        garment = as_placed(cloths[i], masks[i])
        given = filled.alone(i), garment, warp.alone(i), composition.alone(i)
        return compose(photos[i], parse[i : i + 1], *given, keep).pixels

    return np.stack(side_by_side(one, range(len(photos))))
