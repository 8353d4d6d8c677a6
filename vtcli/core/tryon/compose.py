"""From the networks' 256×192 to the photo's own resolution, touching nothing that a change of top does not.

θ knows no resolution: the garment is sampled from its own photo at the window's size. What becomes of a pixel of
the region follows from the photo's parse and from M_exp:

- no top before, none expected: the photo stays. Arms, trousers and background are where they were;
- a top is expected: the try-on, I_warp where M_cm says so and I_rp elsewhere; but background gives way only to the
  warped garment itself, not to a drawing of it;
- a dress before, lower body expected: the photo stays, as the skirt below the new top;
- the inside of the garment's back collar shows nothing on a person: the photo stays there, or skin is drawn;
- a top before, none expected: background is filled in from the photo around the person, lower body from the lower
  body that is seen, skin from I_rp, matched to the photo's own.

Edges of the old garment are looked for in the photo, edges of the new one in the warped garment (guided filter: He
and Sun, "Fast Guided Filter", 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import neck_region
from vtcli.core.garments.placement import Garment
from vtcli.core.models.tps import sample
from vtcli.core.models.warping import Warp
from vtcli.core.tryon.networks import CLOTHES, Composition, People

LOWER = (L.PANTS, L.SKIRT, L.SOCKS, L.LEFT_LEG, L.RIGHT_LEG, L.LEFT_SHOE, L.RIGHT_SHOE)
FEATHER = 2.0
"""Width of the region's soft edge, inside of it, in pixels at 256×192."""
FRINGE = 2.0
"""How far beyond its edge the old garment still colours the photo, in pixels at 256×192."""
UP = 12
"""Half of how far above the back collar's inside the throat may reach, in pixels at 256×192."""
WORK, BAND = 1400, 512
"""Rows at which masks are made at most; rows of the full-size picture that are made at a time."""
REACH = 3.0
"""How far the warped garment may be stretched to where a top is expected, in pixels at 256×192."""


@dataclass
class Finished:
    """`picture` (h, w, 3) uint8, the window at the photo's resolution; `region` (h, w) bool: outside of it the
    picture is the photo, bit for bit."""

    picture: np.ndarray
    region: np.ndarray


class FullWarp:
    """The garment warped at `size`, in bands of rows, so that large photos need little memory.

    The spline is smooth: its grid is found at 257×193 and enlarged. The canvas is first reduced, antialiased, to
    about the output's resolution.
    """

    def __init__(self, garment: Garment, warp: Warp, size: tuple[int, int]) -> None:
        self.size = size
        height = garment.canvas.shape[2]
        target = size if size[0] < height else (height, garment.canvas.shape[3])
        canvas, mask = garment.at(target)
        rgba = torch.cat([(canvas[0] + 1.0) * 127.5, mask[0] * 255.0]).clamp(0, 255) + 0.5
        self.canvas = np.ascontiguousarray(rgba.permute(1, 2, 0).to(torch.uint8).numpy())
        grid = warp.grid_at((257, 193))[0].cpu().numpy()
        self.grid = (grid + 1.0) * 0.5 * np.array([target[1] - 1, target[0] - 1], np.float32)

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Colours on white (n, w, 3) float32 in [0, 255] and alpha (n, w) in [0, 1] of the rows from `start`."""
        down = np.arange(start, stop) * (256.0 / max(1, self.size[0] - 1))
        across = np.arange(self.size[1]) * (192.0 / max(1, self.size[1] - 1))
        grid = _between(_between(self.grid, down, 0), across, 1)
        rgba = cv2.remap(
            self.canvas, grid[..., 0], grid[..., 1], cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_CONSTANT, borderValue=(255, 255, 255, 0),
        )  # fmt: skip
        return rgba[..., :3].astype(np.float32), rgba[..., 3].astype(np.float32) / 255.0


def warp_full(garment: Garment, warp: Warp, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The garment warped at `size`: colours on white (h, w, 3) float32 in [0, 255] and alpha (h, w) in [0, 1]."""
    return FullWarp(garment, warp, size).rows(0, size[0])


def without_opening(alpha: np.ndarray, garment: Garment, warp: Warp) -> np.ndarray:
    """`alpha` (h, w) of the garment warped, without the inside of its back collar."""
    return alpha * (1.0 - _inside(garment, warp, alpha.shape))


def finish(
    window: np.ndarray, probabilities: Tensor, people: People, garment: Garment, warp: Warp, made: Composition
) -> Finished:
    """Compose the window (h, w, 3) uint8 at its own resolution.

    `probabilities` (1, 20, 256, 192): the photo's parse; the others are of one person at 256×192. Masks and fillings
    are made at `WORK` rows at most; photo and garment meet at full size, band by band.
    """
    full = (window.shape[0], window.shape[1])
    work = full if full[0] <= WORK else (WORK, round(WORK * full[1] / full[0]))
    small = window if work == full else cv2.resize(window, work[::-1], interpolation=cv2.INTER_AREA)
    *layers, reach = _layers(small, probabilities, people, garment, warp, made)
    region = _enlarge(reach, full) > 0.5
    picture = window.copy()
    sharp = FullWarp(garment, warp, full)
    for start in range(0, full[0], BAND):
        band = slice(start, min(start + BAND, full[0]))
        if not region[band].any():
            continue
        drawn, solid, shade, shown, weight = (_rows(plane, full, band) for plane in layers)
        colours, alpha = sharp.rows(band.start, band.stop)
        own = np.where((alpha > 0.6)[..., None], _own(colours, alpha), solid) + shade
        tryon = drawn + shown[..., None] * (own - drawn)
        photo = window[band].astype(np.float32)
        mixed = np.clip(photo + weight[..., None] * (tryon - photo) + 0.5, 0, 255).astype(np.uint8)
        picture[band][region[band]] = mixed[region[band]]
    return Finished(picture, region)


def _layers(
    window: np.ndarray, probabilities: Tensor, people: People, garment: Garment, warp: Warp, made: Composition
) -> tuple[np.ndarray, ...]:
    """What lies under the garment (h, w, 3), the garment's colours carried beyond its edge (h, w, 3), what its folds
    and the light add to them (h, w, 3), where the garment shows (h, w), where the photo gives way (h, w), and the
    region (h, w): float32, of the window's size."""
    size = (window.shape[0], window.shape[1])
    scale = size[0] / made.region.shape[2]
    colours, alpha = warp_full(garment, warp, size)
    expected = made.expected_parse if made.expected_parse is not None else probabilities
    before, after = probabilities[0].cpu().numpy(), expected[0].cpu().numpy()
    necks = (neck_region(x, people.keypoints) for x in (expected.argmax(1), people.parse))
    neck = torch.stack(list(necks)).any(0)[0].cpu().numpy()
    behind = (~neck).astype(np.float32)  # background that is no neck

    guide = cv2.cvtColor(window, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
    by_photo, by_garment = _Guide(guide, scale), _Guide(alpha, scale)
    worn = before[list(CLOTHES)].sum(0) - before[L.DRESS] * after[list(LOWER)].sum(0)
    had = _steep(by_photo(worn), scale)
    scene = _steep(by_photo(before[L.BACKGROUND] * behind), scale)
    has = _steep(by_garment(after[list(CLOTHES)].sum(0)), scale)
    inside = _inside(garment, warp, size)

    near = _grown(alpha, REACH * scale)
    has = has * (1.0 - scene * (1.0 - alpha))
    has = np.maximum(has, np.minimum(had, near) * _grown((has > 0.5).astype(np.float32), REACH * scale))
    has = has * (1.0 - inside)
    gone = _grown(had * (1.0 - has), FRINGE * scale) * (1.0 - has)
    changes = np.maximum(has, gone)

    rendered = (made.rendered_person[0].permute(1, 2, 0).cpu().numpy() + 1.0) * 127.5
    rendered = _match_skin(rendered, people, before, after, neck)
    drawn = np.clip(_enlarge(rendered, size, cv2.INTER_CUBIC), 0, 255)
    region = _enlarge(_plane(made.region), size) > 0.5
    # Maps are a pixel or two off: along hair and hands the photo tells what is still the old garment.
    region |= (_grown(region.astype(np.float32), FRINGE * scale) > 0.5) & (had > 0.5)
    soft = np.maximum(_soft_region(region, FEATHER * scale), had * region)
    gone = gone * soft
    if gone.max() > 0.05:
        to_scene = gone * _steep(_enlarge(after[L.BACKGROUND] * behind, size), scale)
        if to_scene.max() > 0.05:
            _lay(drawn, _background(window, people, size), to_scene)
        to_lower = gone * _steep(_enlarge(after[list(LOWER)].sum(0), size), scale)
        below = _lower_body(window, people) if to_lower.max() > 0.05 else None
        if below is not None:
            _lay(drawn, below, to_lower)
        to_throat = gone * inside
        throat = _throat(people, before, size) if to_throat.max() > 0.05 else None
        if throat is not None:
            _lay(drawn, throat, to_throat)
    return (
        drawn,
        _solid(colours, alpha, scale),
        _shade(warp, made, after[list(CLOTHES)].sum(0), size),
        np.minimum(near, has),
        soft * changes,
        region.astype(np.float32),
    )


def _shade(warp: Warp, made: Composition, clothes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Equation 1 as what is added to the garment, I_try-on - I_warp, (h, w, 3) float32 in grey levels.

    I_rp has folds and light, but at 256×192; so added, they leave the garment the seams and threads of its own photo.
    What is added at the garment's edge is that of its inside, where `clothes` (256, 192) are expected: beside it I_rp
    shows skin or the scene, which are no light on the garment.
    """
    tryon, colours = (
        (x[0].permute(1, 2, 0).float().cpu().numpy() + 1.0) * 127.5 for x in (made.tryon, warp.cloth)
    )
    mask = _plane(warp.mask)
    share = _plane(made.composition_mask)[..., None]
    added = tryon - share * colours - (1.0 - share) * _solid(colours, mask, 1.0)
    inner = ((mask > 0.9) & (clothes > 0.5)).astype(np.float32)
    sure = np.asarray(cv2.erode(inner, np.ones((7, 7), np.uint8)))
    side = 4 * round(REACH) + 1  # from there to as far as the garment is stretched
    weight = cv2.GaussianBlur(sure, (0, 0), 0.8)[..., None]
    near = cv2.GaussianBlur(added * sure[..., None], (0, 0), 0.8) / np.maximum(weight, 1e-3)
    return _enlarge(np.where(weight > 0.2, near, _carried(added, sure, side)), size, cv2.INTER_CUBIC)


def _lay(picture: np.ndarray, over: np.ndarray, share: np.ndarray) -> None:
    """Mix `over` into `picture`, both (h, w, 3) float32, in place."""
    picture += share[..., None] * (over - picture)


def _own(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The warped garment's own colours, freed of the white it lay on."""
    out: np.ndarray = np.clip(
        (colours - 255.0 * (1.0 - alpha[..., None])) / np.maximum(alpha, 0.3)[..., None], 0, 255
    )
    return out


def _solid(colours: np.ndarray, alpha: np.ndarray, scale: float) -> np.ndarray:
    """The garment's own colours, carried a little beyond its edge."""
    side = 2 * max(1, round(REACH * scale)) + 1
    own = _own(colours, alpha)
    sure = (alpha > 0.6).astype(np.float32)
    out: np.ndarray = np.where(sure[..., None] > 0, own, _carried(own, sure, side))
    return out


def _carried(values: np.ndarray, sure: np.ndarray, side: int) -> np.ndarray:
    """Means of `values` (h, w, 3) over those neighbours in a square of `side` pixels that are `sure` (h, w); 0 where
    none is."""
    weight = cv2.blur(sure, (side, side))
    return cv2.blur(values * sure[..., None], (side, side)) / np.maximum(weight, 1e-3)[..., None]


def _soft_region(region: np.ndarray, depth: float) -> np.ndarray:
    """`region` (h, w) bool with a soft edge: 0 at its edge, 1 `depth` pixels inside."""
    # The window's own border is no edge of the region.
    padded = np.pad(region.astype(np.uint8), 1, mode="edge")
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    out: np.ndarray = np.clip(inside / max(depth, 1.0), 0, 1)
    return out


def _between(array: np.ndarray, at: np.ndarray, axis: int) -> np.ndarray:
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


def _rows(plane: np.ndarray, size: tuple[int, int], band: slice) -> np.ndarray:
    """The rows `band` of a plane enlarged to `size`, bilinearly."""
    if plane.shape[:2] == size:
        return plane[band]
    at = (np.arange(band.start, band.stop) + 0.5) * (plane.shape[0] / size[0]) - 0.5
    rows = _between(plane, np.clip(at, 0, plane.shape[0] - 1), 0)
    out: np.ndarray = cv2.resize(rows, (size[1], rows.shape[0]), interpolation=cv2.INTER_LINEAR)
    return out


def _match_skin(
    rendered: np.ndarray, people: People, before: np.ndarray, after: np.ndarray, neck: np.ndarray
) -> np.ndarray:
    """Bring rendered skin to the colour of the photo's: arms by arms and the neck by the neck where both show them,
    else by the face."""
    photo = (people.image[0].permute(1, 2, 0).cpu().numpy() + 1.0) * 127.5
    arms = list(L.ARM_LABELS)
    had, has = before[arms].sum(0), after[arms].sum(0)
    face = _lower_face(before)
    out = rendered
    for was, becomes in (
        (had, has),
        (before[L.BACKGROUND] * neck, after[L.BACKGROUND] * neck),
    ):
        here = there = (was > 0.7) & (becomes > 0.7)
        if here.sum() < 40:  # the old garment hid it all: the face tells
            here, there = becomes > 0.7, face
        if min(here.sum(), there.sum()) >= 40:
            gain = np.clip((photo[there].mean(0) + 4) / (rendered[here].mean(0) + 4), 0.7, 1.43)
            out = out * (1.0 + np.clip(becomes, 0, 1)[..., None] * (gain - 1.0))
    return out


def _lower_face(before: np.ndarray) -> np.ndarray:
    """The face below its middle, without brows and glasses: (256, 192) bool."""
    face = before[L.FACE] > 0.8
    rows = np.nonzero(face.any(1))[0]
    if len(rows):
        face[: (rows[0] + rows[-1]) // 2] = False
    return face


def _background(window: np.ndarray, people: People, size: tuple[int, int]) -> np.ndarray:
    """The window without the person: her place filled in from around her, (h, w, 3) float32."""
    parse = people.parse[0].cpu().numpy()
    height, width = parse.shape
    small = cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA)
    neck = neck_region(people.parse, people.keypoints)[0].cpu().numpy()
    hole = cv2.dilate(((parse > 0) | neck).astype(np.uint8), np.ones((7, 7), np.uint8))
    if hole.all():
        return cv2.resize(small, (size[1], size[0])).astype(np.float32)
    filled = cv2.inpaint(small, hole, 5, cv2.INPAINT_TELEA)
    return cv2.resize(filled, (size[1], size[0]), interpolation=cv2.INTER_CUBIC).astype(np.float32)


def _inside(garment: Garment, warp: Warp, size: tuple[int, ...]) -> np.ndarray:
    """`_opening` at `size`, with an edge of a few pixels."""
    plane = _opening(garment, warp)
    return _steep(_enlarge(plane, (size[0], size[1])), size[0] / plane.shape[0])


def _opening(garment: Garment, warp: Warp) -> np.ndarray:
    """Where the garment's neckline is open, (256, 192) in [0, 1]: the inside of the back collar, and what lies
    right above it and is not covered by the garment."""
    collar = _plane(sample(garment.inside, warp.grid.cpu(), 0.0))
    if collar.max() < 0.5:
        return np.zeros_like(collar)
    above = cv2.dilate(collar, np.ones((2 * UP + 1, 1), np.uint8), anchor=(0, 0))
    out: np.ndarray = np.maximum(collar, above * (1.0 - _plane(warp.mask)))
    # Between collar and air runs the garment's own soft edge, which is no thread around the neck.
    return np.asarray(cv2.morphologyEx(out, cv2.MORPH_CLOSE, np.ones((5, 1), np.uint8)))


def _throat(people: People, before: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """Skin of the photo's colour everywhere, (h, w, 3) float32: the neck's where enough of it is seen, else the lower
    face's, else the arms'; None without any."""
    photo = (people.image[0].permute(1, 2, 0).cpu().numpy() + 1.0) * 127.5
    neck = neck_region(people.parse, people.keypoints)[0].cpu().numpy() & (before[L.BACKGROUND] > 0.5)
    face = _lower_face(before)
    arms = before[list(L.ARM_LABELS)].sum(0) > 0.8
    masks = [
        cv2.erode(m.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
        for m in (neck, face, arms)
    ]
    skin = next((m for m in masks if m.sum() >= 40), None)
    if skin is None:
        return None
    weight = cv2.GaussianBlur(skin, (0, 0), 8.0)[..., None]
    mean = (photo * skin[..., None]).sum((0, 1)) / skin.sum()
    near = (cv2.GaussianBlur(photo * skin[..., None], (0, 0), 8.0) + 1e-3 * mean) / (weight + 1e-3)
    return _enlarge(near, size)


def _lower_body(window: np.ndarray, people: People) -> np.ndarray | None:
    """The window with the lower body carried on beyond its edge, (h, w, 3) float32: each pixel takes the colour of
    its mirror image in the nearest edge. None where hardly any lower body is seen."""
    seen = np.isin(people.parse[0].cpu().numpy(), LOWER).astype(np.uint8)
    below = np.asarray(cv2.erode(seen, np.ones((5, 5), np.uint8)))
    if below.sum() < 150:
        return None
    height, width = below.shape
    _, nearest = cv2.distanceTransformWithLabels(1 - below, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    at = np.zeros((nearest.max() + 1, 2), np.float32)
    rows, columns = np.nonzero(below)
    at[nearest[rows, columns]] = np.stack([columns, rows], 1)
    own = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    edge = at[nearest]
    mirrored = np.clip(2 * edge - own, 0, (width - 1, height - 1))
    inside = below[mirrored[..., 1].astype(int), mirrored[..., 0].astype(int)] > 0
    source = np.where(inside[..., None], mirrored, edge)
    size = window.shape[:2]
    moved = cv2.resize(source - own, size[::-1], interpolation=cv2.INTER_LINEAR) * (size[0] / height)
    grid = (np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1) + moved).astype(np.float32)
    out = cv2.remap(window, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(out, np.float32)


def _enlarge(plane: np.ndarray, size: tuple[int, int], how: int = cv2.INTER_LINEAR) -> np.ndarray:
    if plane.shape[:2] == tuple(size):
        return plane.astype(np.float32)
    if size[0] < plane.shape[0]:
        how = cv2.INTER_AREA
    return cv2.resize(plane.astype(np.float32), (size[1], size[0]), interpolation=how)


def _plane(x: Tensor) -> np.ndarray:
    out: np.ndarray = x[0, 0].float().cpu().numpy()
    return out


class _Guide:
    """Guided filter: a plane at 256×192 → (h, w) in [0, 1] with its edges where `guide` (h, w) float32 in [0, 1]
    has them, within about three pixels at 256×192."""

    LARGEST = 768  # rows at which the coefficients are found

    def __init__(self, guide: np.ndarray, scale: float, epsilon: float = 1e-3) -> None:
        self.guide = guide
        height, width = guide.shape
        factor = min(1.0, self.LARGEST / height)
        self.size = (max(1, round(height * factor)), max(1, round(width * factor)))
        self.small = _enlarge(guide, self.size, cv2.INTER_AREA)
        side = 2 * max(1, round(3 * scale * factor)) + 1
        self.window = (side, side)
        self.mean = cv2.boxFilter(self.small, -1, self.window)
        self.spread = cv2.boxFilter(self.small * self.small, -1, self.window) - self.mean**2 + epsilon

    def __call__(self, plane: np.ndarray) -> np.ndarray:
        plane = _enlarge(plane, self.size)
        mean = cv2.boxFilter(plane, -1, self.window)
        slope = (cv2.boxFilter(self.small * plane, -1, self.window) - self.mean * mean) / self.spread
        offset = mean - slope * self.mean
        slope, offset = (
            _enlarge(cv2.boxFilter(x, -1, self.window), self.guide.shape) for x in (slope, offset)
        )
        return np.clip(slope * self.guide + offset, 0, 1)


def _steep(share: np.ndarray, scale: float) -> np.ndarray:
    """Probabilities enlarged by `scale` are as blurred: steepen them around one half, to an edge of a few pixels."""
    return np.clip((share - 0.5) * max(1.6, scale) + 0.5, 0, 1)


def _grown(share: np.ndarray, radius: float) -> np.ndarray:
    """Soft maximum over a disc: found at a quarter of the size where the disc is large."""
    if radius > 8:
        small = cv2.resize(share, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        return cv2.resize(_grown(small, radius / 4), share.shape[::-1], interpolation=cv2.INTER_LINEAR)
    side = 2 * max(1, round(radius)) + 1
    return cv2.dilate(share, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))


__all__ = ["Finished", "FullWarp", "finish", "warp_full", "without_opening"]
