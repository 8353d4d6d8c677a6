"""A garment cut out of its shop photo: a mask for photos with a plain background.

1. The background is a smooth surface (quadratic in x and y) fitted robustly to the picture's border: it may
   be of any colour and lit unevenly, and the garment may touch the border.
2. What differs from it is a candidate. Gaps in weak outlines (white on white) are bridged before the
   background is flooded from the border, and only as deep as the gaps are wide.
3. The flood is then taken further where that is no leak: through the halo that JPEG leaves around strong
   edges, through openings between arm and body, and through soft shadows (found as watershed basins that
   are darker but not tinted and fade out on their far side).
4. The edge is put where the difference reaches a share of the garment's own, at full size.

A background that is no studio's is cut by what a network takes for likely (`any_background`), where there is one. Without it,
one without a plain colour goes to GrabCut (Rother et al., SIGGRAPH 2004).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from vtcli.core.garments.any_background import cut_by_likelihood

Likely = Callable[[np.ndarray], np.ndarray]
"""A picture (H, W, 3) uint8 → how probable the garment is, (h, w) in [0, 1]."""

# Set by hand, by what VITON's shop photos need. Distances are in pixels of the working size,
# differences from the background in levels of 255.
_WORK = 256  # the longer side at which all but the edge is decided
_GAP = 3  # half the widest gap in an outline that is bridged
_PAD = 10  # width of the border of background that is put around the picture
_LEAST = 2.5  # the smallest difference that counts as one
# Halo of JPEG and edge of the garment: the share of the garment's own difference up to which a pixel belongs to the
# halo, or lies outside of the edge; the largest difference for which that holds; how far either reaches.
_HALO_SHARE, _HALO_MOST, _HALO_REACH = 0.12, 20.0, 24
_EDGE_SHARE, _EDGE_MOST, _EDGE_REACH = 0.35, 70.0, 3
# Parts of one garment that were cut apart: their least share of its area, the width of the slit between them, and the share
# of the lower one's height along which it runs.
_SPLIT_LEAST, _SPLIT_GAP, _SPLIT_ALONG = 0.1, 15, 0.4
_SAME = 0.8  # share of the smallest difference below which an opening shows the background
# Slits between sleeve and side: the largest difference from the background, and that of the purest quarter; the least
# contrast of the garment around; area in pixels; width, and distance from the middle, in widths of the garment; how many
# there are on one side; how far from what is outside one ends, if it is not so tall, in heights of
# the picture (printed letters lie further in, and are smaller).
_SLIT_PALE, _SLIT_PURE, _SLIT_CONTRAST, _SLIT_LEAST = 30.0, 8.0, 60.0, 5
_SLIT_WIDTH, _SLIT_BESIDE, _SLITS, _SLIT_DEEP, _SLIT_TALL = 0.045, 0.15, 3, 8.0, 0.12
# Armpits that are open, but too narrow for the flood: the largest difference from the background; the least area in pixels;
# how far the garment lies on either side, in widths of it, and the share of the pixels for which it does; the share of what
# lies around that is garment beyond doubt: stripes and dots lie among others; how far from the middle and from the top it need not
# touch what is outside, in widths and heights of the garment: prints lie further in, or on the upper sleeve.
_PIT_PURE, _PIT_LEAST, _PIT_REACH, _PIT_BETWEEN, _PIT_AMONG, _PIT_FAR, _PIT_LOW = (
    8.0,
    6,
    0.12,
    0.8,
    0.7,
    0.22,
    0.35,
)
_PLAIN = 0.4  # share of border pixels that lie on the fitted background if it is plain
# The most noise of a studio's background, in levels: 99 in 100 VITON shop photos have 0.8 at most, photos of beds and floors 2.7
# and more.
_STUDIO = 1.2
# A pattern's one colour is as even. How often its border leaves that colour (by so many levels of 255), and the share of its border
# that has it: of 800 of VITON's shop photos those that leave it more than 12 times have 0.87 of it and more; stripes and
# checks have about a half.
_CHANGES, _OFF, _EXPLAINED = 12, 8.0, 0.8
# Probability below which a pixel is no garment, and the share of such in what was cut out of an even background from which
# that is disputed: one in 500 of VITON's shop photos has more than 0.1 (it shows a person), screenshots and web pages have 0.45
# and more.
_NONE, _DISPUTED = 0.05, 0.2


def garment_mask(rgb: np.ndarray, likely: Likely | None = None) -> np.ndarray:
    """Cut the garment out of a shop photo.

    Takes (H, W, 3) uint8 of any size, returns bool (H, W). All False where nothing stands out from the
    background. `likely` tells garments on backgrounds that are no studio's.
    """
    height, width = rgb.shape[:2]
    small = _at_work(rgb)
    if likely is not None and not is_studio(rgb):
        return likely_garment(rgb, likely)
    return _sharpen(rgb, _cut(small)) if small.shape[:2] != (height, width) else _cut(small).mask


def likely_garment(rgb: np.ndarray, likely: Likely) -> np.ndarray:
    """The garment on `rgb` (H, W, 3) uint8 as `likely` has it, bool (H, W)."""
    return _main_parts(cut_by_likelihood(rgb, likely(rgb)).astype(np.uint8))


def _at_work(rgb: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3) uint8 at the working size, if it is clearly larger."""
    height, width = rgb.shape[:2]
    scale = max(height, width) / _WORK
    if scale <= 1.25:
        return rgb
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def is_studio(rgb: np.ndarray) -> bool:
    """Whether a picture (H, W, 3) uint8 has the even background of shop photos."""
    picture = _at_work(rgb).astype(np.float32)
    background, noise, explained = _fit_background(picture)
    even = explained >= _PLAIN and noise <= _STUDIO
    return even and not (explained < _EXPLAINED and _changes(picture, background) > _CHANGES)


def _changes(picture: np.ndarray, background: np.ndarray) -> int:
    """How often a walk along the picture's border leaves the fitted background: once for each square of a chequered sheet."""
    off = _largest_channel(np.abs(picture - background)) > _OFF
    border = np.concatenate([off[2, 2:-2], off[2:-2, -3], off[-3, 2:-2][::-1], off[2:-2, 2][::-1]])
    return int((border & ~np.roll(border, 1)).sum())


def is_disputed(rgb: np.ndarray, mask: np.ndarray, likely: Likely) -> bool:
    """Whether `mask` (H, W) bool, cut out of a picture (H, W, 3) uint8 with an even background, is hardly a garment: a good part
    of it is none beyond doubt, such as the card of an app, or a page."""
    if not mask.any() or not is_studio(rgb):
        return False
    chances = likely(rgb)
    solid = cv2.resize(mask.astype(np.float32), chances.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    return bool(solid.any() and (chances[solid] < _NONE).mean() > _DISPUTED)


@dataclass
class _Cut:
    """The garment at working size, and what decides its edge: the background's colours (h, w, 3), and the
    difference from them (h, w) above which a pixel is garment."""

    mask: np.ndarray
    background: np.ndarray
    threshold: np.ndarray


def cut(rgb: np.ndarray) -> tuple[np.ndarray, bool]:
    """The garment of a shop photo of about 256 pixels, bool (H, W), and whether the background is plain."""
    found = _cut(rgb)
    return found.mask, bool(np.isfinite(found.threshold).any())


def _cut(rgb: np.ndarray, gentle: bool = False) -> _Cut:
    """`gentle`: only what does not differ from the background at all is taken off the first cut-out."""
    picture = rgb.astype(np.float32)
    background, noise, explained = _fit_background(picture)
    if explained < _PLAIN:
        return _Cut(_grab_cut(rgb), background, np.full(rgb.shape[:2], np.inf, np.float32))
    residual = cv2.copyMakeBorder(picture - background, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_CONSTANT)
    smooth = _largest_channel(np.abs(cv2.GaussianBlur(residual, (0, 0), 1.0)))
    fine = _largest_channel(np.abs(cv2.GaussianBlur(residual, (0, 0), 0.5)))
    least = max(_LEAST, 2.0 * noise)

    candidate = (smooth > least).astype(np.uint8)
    outside = _from_border(cv2.morphologyEx(candidate, cv2.MORPH_CLOSE, _disc(2 * _GAP + 1)))
    outside = _dilate_within(outside, 1 - candidate, _GAP + 1)

    contrast = _contrast(fine, 1 - outside)
    halo = (smooth < np.clip(_HALO_SHARE * contrast, least, least if gentle else _HALO_MOST)).astype(np.uint8)
    # Only where a disc fits: the white stripes of a striped top also look like halo, and are narrow.
    outside |= cv2.morphologyEx(_dilate_within(outside, halo, _HALO_REACH), cv2.MORPH_OPEN, _disc(7))
    shadow = _shadows(picture, background, smooth, least, outside)
    outside |= shadow
    outside |= _openings(halo & (1 - outside), smooth, least, outside)

    contrast = _contrast(fine, 1 - outside)
    sharp = _largest_channel(np.abs(residual))
    notches = np.zeros_like(outside)
    if not gentle:
        notches = _notches(sharp, contrast, outside) | _armpits(sharp, contrast, outside)
    threshold = np.clip(_EDGE_SHARE * contrast, least, least if gentle else _EDGE_MOST)
    notches = _dilate_within(notches, (sharp < threshold).astype(np.uint8), _EDGE_REACH)
    outside = _dilate_within(outside | notches, (fine < threshold).astype(np.uint8), _EDGE_REACH)
    threshold[shadow > 0] = np.inf
    mask = cv2.morphologyEx(1 - outside, cv2.MORPH_CLOSE, _disc(3)) & (1 - notches)
    inner = np.s_[_PAD:-_PAD, _PAD:-_PAD]
    if not gentle and _is_split(mask[inner]):
        return _cut(rgb, gentle=True)
    return _Cut(_main_parts(mask[inner]), background, threshold[inner].astype(np.float32))


def _is_split(mask: np.ndarray) -> bool:
    """Whether two large parts lie beside each other along a good part of their height, and no more than a slit apart: white
    sides beside a dark middle, whose seams were taken for its halo."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = [n for n in range(1, count) if stats[n, cv2.CC_STAT_AREA] > _SPLIT_LEAST * mask.sum()]
    if len(large) < 2:
        return False
    wide = [cv2.dilate((parts == n).astype(np.uint8), _disc(_SPLIT_GAP)) for n in large]
    for i, first in enumerate(wide):
        for j in range(i + 1, len(wide)):
            along = int(((first > 0) & (wide[j] > 0)).any(1).sum())
            if along > _SPLIT_ALONG * min(
                stats[large[i], cv2.CC_STAT_HEIGHT], stats[large[j], cv2.CC_STAT_HEIGHT]
            ):
                return True
    return False


def _fit_background(picture: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Quadratic surface through the border's commonest colour: (h, w, 3), its noise in levels, and the share
    of border pixels that lie on it."""
    height, width = picture.shape[:2]
    frame = max(2, min(height, width) // 48)
    border = np.ones((height, width), bool)
    border[frame:-frame, frame:-frame] = False
    rows, columns = np.nonzero(border)
    colours = picture[rows, columns]
    bins = (colours / 16).astype(np.int64) @ np.array([256, 16, 1])
    commonest = np.median(colours[bins == np.bincount(bins).argmax()], axis=0)
    every = _surface_terms(height, width)
    terms = every[rows, columns]
    off = _largest_channel(np.abs(colours - commonest))
    tolerance = 40.0
    solution = np.zeros((terms.shape[1], 3))
    for _ in range(8):  # iteratively reweighted least squares with Tukey's biweight
        weights = np.clip(1 - (off / tolerance) ** 2, 0, None)[:, None] ** 2
        system = terms.T @ (terms * weights) + 1e-2 * np.eye(terms.shape[1])
        solution = np.linalg.solve(system, (terms * weights).T @ colours)
        off = _largest_channel(np.abs(colours - terms @ solution))
        near = off[off < tolerance]
        tolerance = max(6.0, min(tolerance, 7.5 * float(np.median(near)) + 2 if near.size else tolerance))
    near = off[off < tolerance]
    noise = 1.48 * float(np.median(near)) if near.size else 0.0
    surface = (every @ solution).clip(0, 255).astype(np.float32)
    return surface, noise, near.size / len(off)


@lru_cache(8)
def _surface_terms(height: int, width: int) -> np.ndarray:
    """What a quadratic surface is made of, at every pixel: (h, w, 6)."""
    rows, columns = np.mgrid[:height, :width]
    x, y = 2.0 * columns / width - 1, 2.0 * rows / height - 1
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)


def _from_border(solid: np.ndarray) -> np.ndarray:
    """Pixels that are not solid and connected to the padded picture's corner; uint8."""
    labels = cv2.connectedComponents(1 - solid, connectivity=4)[1]
    return (labels == labels[0, 0]).astype(np.uint8)


def _dilate_within(region: np.ndarray, allowed: np.ndarray, steps: int) -> np.ndarray:
    """`region`, and what of `allowed` is reached from it in `steps` steps."""
    cross = _disc(3)
    for _ in range(steps):
        wider = region | (cv2.dilate(region, cross) & allowed)
        if np.array_equal(wider, region):
            break
        region = wider
    return region


def _contrast(difference: np.ndarray, garment: np.ndarray) -> np.ndarray:
    """Mean difference from the background over the garment's inside, nearby."""
    inside = cv2.erode(garment, _disc(5)).astype(np.float32)
    weight = cv2.blur(inside, (25, 25))
    return cv2.blur(difference * inside, (25, 25)) / np.maximum(weight, 1e-3)


def _openings(candidates: np.ndarray, smooth: np.ndarray, least: float, outside: np.ndarray) -> np.ndarray:
    """Of the enclosed `candidates`, those where the background shows, rather than a part that is as light.

    An opening does not differ from the background, and lies in a garment that clearly does.
    """
    found = np.zeros_like(outside)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(candidates, connectivity=4)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < 25:
            continue
        window = _window(stats[label])
        part = (labels[window] == label).astype(np.uint8)
        ring = (cv2.dilate(part, _disc(7)) & (1 - part) & (1 - outside[window])) > 0
        if not ring.any():
            continue
        # A print may be nearly as light as the background, but an opening shows no difference at all, except for
        # JPEG's noise in narrow gaps. Most of those are open at one end.
        open_ended = (cv2.dilate(part, _disc(3)) & outside[window]).any()
        least_within = np.percentile(smooth[window][part > 0], 15 if open_ended else 30)
        if (
            least_within < _SAME * least * (1.25 if open_ended else 1.0)
            and np.median(smooth[window][ring]) > 8
        ):
            found[window] |= part
    return found


def _notches(sharp: np.ndarray, contrast: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Where the background shows in narrow slits between sleeve and side, which bridging gaps has closed; uint8.

    `sharp`: the difference from the background, not smoothed, in which a slit of three pixels still shows it. A slit is
    upright, narrow, on either side of the middle, exactly as the background is, and lies in a garment that clearly is
    not. Stripes look the same, but are many, or run through the middle, too.
    """
    found = np.zeros_like(outside)
    columns = np.nonzero((outside == 0).any(0))[0]
    if not len(columns):
        return found
    wide, middle = float(columns[-1] - columns[0] + 1), (columns[0] + columns[-1]) / 2
    # The garment's edge is as pale, and would join one slit with another.
    inside = cv2.erode(1 - outside, _disc(5))
    pale = ((sharp < _SLIT_PALE) & (contrast > _SLIT_CONTRAST) & (inside > 0)).astype(np.uint8)
    depth = cv2.distanceTransform(1 - outside, cv2.DIST_L2, 3)
    count, labels, stats, centres = cv2.connectedComponentsWithStats(pale, connectivity=8)
    slits: dict[bool, list[int]] = {False: [], True: []}
    central = 0
    for label in range(1, count):
        x, y, across, tall, area = (int(v) for v in stats[label])
        if area < _SLIT_LEAST or tall < max(6, 1.4 * across) or area > _SLIT_WIDTH * wide * tall:
            continue
        window = slice(y, y + tall), slice(x, x + across)
        part = labels[window] == label
        enclosed = depth[window][part].min() > _SLIT_DEEP and tall < _SLIT_TALL * len(sharp)
        if enclosed or np.quantile(sharp[window][part], 0.25) > _SLIT_PURE:
            continue
        off = (centres[label][0] - middle) / wide
        if abs(off) < _SLIT_BESIDE:
            central += tall > 0.15 * len(sharp)
        else:
            slits[off > 0].append(label)
    if central or max(len(side) for side in slits.values()) > _SLITS:
        return found
    return np.isin(labels, slits[False] + slits[True]).astype(np.uint8)


def _armpits(sharp: np.ndarray, contrast: np.ndarray, outside: np.ndarray) -> np.ndarray:
    """Where the background shows between sleeve and side; uint8.

    Such a piece is exactly as the background is, and has a garment that clearly is not on its left and right. A stripe or a
    cuff ends where the garment ends, and what is white in the middle is a print.
    """
    found = np.zeros_like(outside)
    columns = np.nonzero((outside == 0).any(0))[0]
    if not len(columns):
        return found
    wide, middle = float(columns[-1] - columns[0] + 1), (columns[0] + columns[-1]) / 2
    rows = np.nonzero((outside == 0).any(1))[0]
    low = rows[0] + _PIT_LOW * len(rows)
    dark = ((sharp > _SLIT_CONTRAST) & (outside == 0)).astype(np.uint8)
    reach = np.ones((1, max(2, round(_PIT_REACH * wide))), np.uint8)
    left, right = (np.asarray(cv2.dilate(dark, reach, anchor=(end, 0))) > 0 for end in (0, reach.size - 1))
    between = left & right
    pure = ((sharp < _PIT_PURE) & (contrast > _SLIT_CONTRAST) & (outside == 0)).astype(np.uint8)
    near = cv2.dilate(outside, _disc(5))
    count, labels, stats, centres = cv2.connectedComponentsWithStats(pure, connectivity=8)
    pits: dict[bool, list[int]] = {False: [], True: []}
    for label in range(1, count):
        window = _window(stats[label])
        part = labels[window] == label
        off, touches = (centres[label][0] - middle) / wide, near[window][part].any()
        away = abs(off) > _PIT_FAR and centres[label][1] > low
        around = (cv2.dilate(part.astype(np.uint8), _disc(7)) > 0) & ~part & (outside[window] == 0)
        if (
            stats[label, cv2.CC_STAT_AREA] >= _PIT_LEAST
            and stats[label, cv2.CC_STAT_WIDTH] > 1  # narrower ones are the garment's edge
            and (away or (touches and abs(off) > _SLIT_BESIDE))
            and between[window][part].mean() > _PIT_BETWEEN
            and around.any()
            and dark[window][around].mean() > _PIT_AMONG
        ):
            pits[off > 0].append(label)
    if max(len(side) for side in pits.values()) > _SLITS:
        return found
    return np.isin(labels, pits[False] + pits[True]).astype(np.uint8)


def _shadows(
    picture: np.ndarray, background: np.ndarray, smooth: np.ndarray, least: float, outside: np.ndarray
) -> np.ndarray:
    """Soft shadows between `outside` and the garment; uint8.

    Watershed splits what is not outside at its strongest edges into a core and a rim. A part of the rim is a
    shadow if it is the background's colour but darker, meets the garment along a good part of its outline in
    an edge, and fades to nothing on the other side; a light garment's own rim ends at once.
    """
    ratio = cv2.GaussianBlur(picture, (0, 0), 1.0) / np.maximum(background, 16)
    ratio = cv2.copyMakeBorder(ratio, _PAD, _PAD, _PAD, _PAD, cv2.BORDER_CONSTANT, value=(1.0, 1.0, 1.0, 1.0))
    tint, shade = _largest_channel(ratio) + _largest_channel(-ratio), ratio @ np.full(3, 1 / 3, np.float32)
    slope = np.hypot(cv2.Sobel(shade, cv2.CV_32F, 1, 0), cv2.Sobel(shade, cv2.CV_32F, 0, 1)) / 8
    rest = 1 - outside
    depth = cv2.distanceTransform(rest, cv2.DIST_L2, 3)
    sure = (depth > 0.12 * min(picture.shape[:2])) | ((rest > 0) & ((tint > 0.06) | (shade < 0.5)))
    found = np.zeros_like(outside)
    if not sure.any():
        return found
    markers = np.where(outside > 0, 1, np.where(sure, 2, 0)).astype(np.int32)
    cv2.watershed(((ratio - 0.5) * 500).clip(0, 255).astype(np.uint8), markers)
    rim = ((markers == 1) & (rest > 0)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rim, connectivity=4)
    for label in range(1, count):
        area = stats[label, cv2.CC_STAT_AREA]
        if not 30 <= area < 0.5 * rest.sum():
            continue
        window = _window(stats[label])
        part = labels[window] == label
        outline = cv2.dilate(part.astype(np.uint8), _disc(3)) & ~part
        outer, inner = outline & outside[window], (outline & rest[window]) > 0
        near, far = part & (depth[window] <= 4), part & (depth[window] > 4)
        if far.sum() <= 10 or not near.any():
            continue
        dark = float(np.median(smooth[window][far]))
        softness = float(np.median(smooth[window][near])) / dark
        edge = float(np.median(cv2.dilate(slope[window], _disc(5))[inner])) if inner.any() else 0.0
        if (
            outer.sum() > 0.25 * outline.sum()
            and inner.sum() > 0.2 * outline.sum()
            and dark > 2 * least
            and (tint[window][part] < 0.035).mean() > 0.8
            and ((softness < 0.42 and edge > 0.01) or (softness < 0.6 and edge > 0.03))
        ):
            found[window] |= part
    return found


def _grab_cut(rgb: np.ndarray) -> np.ndarray:
    """Foreground by GrabCut from a frame around the picture; for backgrounds that are not plain."""
    height, width = rgb.shape[:2]
    if min(height, width) < 16:
        return np.zeros((height, width), bool)
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    y, x = max(2, height // 32), max(2, width // 32)
    labels[y:-y, x:-x] = cv2.GC_PR_FGD
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(rgb, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    except cv2.error:  # too few colours for its mixtures
        return np.zeros((height, width), bool)
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    padded = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    mask = 1 - _from_border(cv2.morphologyEx(padded, cv2.MORPH_OPEN, _disc(3)))[1:-1, 1:-1]
    return _main_parts(mask)


def _main_parts(mask: np.ndarray) -> np.ndarray:
    """Connected parts of at least 3% of the largest one; bool."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return np.zeros(mask.shape, bool)
    area = stats[:, cv2.CC_STAT_AREA]
    keep = area >= max(4.0, 0.03 * area[1:].max())
    keep[0] = False
    return np.asarray(keep[labels])


def _sharpen(rgb: np.ndarray, cut: _Cut) -> np.ndarray:
    """The working-size mask at the picture's own size, its edge decided anew from the full-size pixels."""
    height, width = rgb.shape[:2]
    small = np.where(cut.mask, 255, 0).astype(np.uint8)
    mask = (cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR) >= 128).astype(np.uint8)
    if not np.isfinite(cut.threshold).any():
        return mask > 0
    scale = max(height / small.shape[0], width / small.shape[1])
    reach = _disc(2 * round(1.5 * scale) + 1)
    rows, columns = np.nonzero(cv2.dilate(mask, reach) != cv2.erode(mask, reach))
    at = rows * small.shape[0] // height, columns * small.shape[1] // width
    difference = _largest_channel(np.abs(rgb[rows, columns] - cut.background[at]))
    mask[rows, columns] = difference > cut.threshold[at]
    return _main_parts(cv2.medianBlur(mask, 3 if scale < 3 else 5))


def _largest_channel(channels: np.ndarray) -> np.ndarray:
    """Maximum over the three channels; NumPy's own is slow along so short an axis."""
    return np.maximum(np.maximum(channels[..., 0], channels[..., 1]), channels[..., 2])


def _window(stats: np.ndarray) -> tuple[slice, slice]:
    """A component's bounding box and three pixels around it."""
    x, y, width, height = (int(v) for v in stats[:4])
    return slice(max(0, y - 3), y + height + 3), slice(max(0, x - 3), x + width + 3)


def _disc(size: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
