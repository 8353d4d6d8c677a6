"""From the networks' 256×192 to the photo's own resolution, touching nothing that a change of top does not.

θ knows no resolution: the garment is sampled from its own photo at the window's size. Masks are enlarged with
the photo as a guide (He et al., "Guided Image Filtering", ECCV 2010), so that they end where the photo's edges
are. M_exp decides what becomes of each pixel of the region: where photo and M_exp agree on skin, background or
lower body the photo stays; where the old garment gave way to background, the background is filled in from the
photo; all else is the try-on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.models.tps import sample, tps_grid
from vtcli.core.representation import neck_region
from vtcli.core.tryon.garment import Garment
from vtcli.core.tryon.networks import Composition, People
from vtcli.core.warping import Warp

_CLOTHES = (*L.TOP_LABELS, L.JUMPSUITS, L.SCARF)
_KEEPABLE = [i for i in range(L.LABELS) if i not in _CLOTHES]
FEATHER = 2.0
"""Width of the region's soft edge, inside of it, in pixels at 256×192."""


@dataclass
class Finished:
    """`picture` (h, w, 3) uint8, the window at the photo's resolution; `region` (h, w) bool: outside of it the
    picture is the photo, bit for bit; `warped` (h, w, 4) uint8: the warped garment with alpha."""

    picture: np.ndarray
    region: np.ndarray
    warped: np.ndarray


def warp_full(garment: Garment, theta: Tensor, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The garment warped at `size`: colours (h, w, 3) float32 in [0, 255] and alpha (h, w) in [0, 1].

    The canvas is first reduced, antialiased, to about the output's resolution.
    """
    height = garment.canvas.shape[2]
    target = size if size[0] < height else (height, garment.canvas.shape[3])
    canvas, mask = garment.at(target)
    with torch.inference_mode():
        grid = tps_grid(theta.cpu(), size)
        colours = sample(canvas, grid, 1.0)[0].permute(1, 2, 0).numpy()
        alpha = sample(mask, grid, 0.0)[0, 0].numpy()
    return (colours + 1.0) * 127.5, alpha


def finish(
    window: np.ndarray, probabilities: Tensor, people: People, garment: Garment, warp: Warp, made: Composition
) -> Finished:
    """Compose the window (h, w, 3) uint8 at its own resolution.

    `probabilities` (1, 20, 256, 192): the photo's parse; the others are of one person at 256×192.
    """
    size = window.shape[:2]
    photo = window.astype(np.float32)
    colours, alpha = warp_full(garment, warp.theta, size)  # type: ignore[arg-type]
    expected = made.expected_parse if made.expected_parse is not None else probabilities
    neck = neck_region(expected.argmax(1), people.keypoints) | neck_region(people.parse, people.keypoints)
    stays, empties = _fates(probabilities.cpu(), expected.cpu(), neck.cpu())
    guide = cv2.cvtColor(window, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
    scale = size[0] / made.region.shape[2]
    stays, empties = (np.clip(_guided(guide, _enlarge(x, size), scale), 0, 1) for x in (stays, empties))
    mask = np.clip(_enlarge(_plane(made.composition_mask), size, cv2.INTER_CUBIC), 0, 1) * np.clip(
        alpha * 1.2, 0, 1
    )
    rendered = (made.rendered_person[0].permute(1, 2, 0).cpu().numpy() + 1.0) * 127.5
    rendered = _match_skin(rendered, people, probabilities, expected)
    rendered = np.clip(_enlarge(rendered, size, cv2.INTER_CUBIC), 0, 255)
    tryon = mask[..., None] * colours + (1.0 - mask[..., None]) * rendered
    region, soft = _region(_plane(made.region), size)
    if float((empties * region).max()) > 0.05:
        filled = _background(window, people, size)
        tryon = empties[..., None] * filled + (1.0 - empties[..., None]) * tryon
    weight = (soft * (1.0 - stays))[..., None]
    picture = np.clip(weight * tryon + (1.0 - weight) * photo + 0.5, 0, 255).astype(np.uint8)
    picture[~region] = window[~region]
    rgba = np.dstack([np.clip(colours + 0.5, 0, 255), alpha * 255.0 + 0.5]).astype(np.uint8)
    return Finished(picture, region, rgba)


def _fates(before: Tensor, after: Tensor, neck: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Where the photo stays, and where the old garment or arm gives way to background: (256, 192) in [0, 1]."""
    agree = (before[0, _KEEPABLE] * after[0, _KEEPABLE]).sum(0)
    stays = ((agree - 0.35) / 0.4).clamp(0, 1)
    gone = after[0, L.BACKGROUND] * (1.0 - before[0, L.BACKGROUND]) * (~neck[0]).float()
    empties = ((gone - 0.35) / 0.4).clamp(0, 1)
    return stays.numpy(), empties.numpy()


def _region(low: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The region at full size (bool), and its soft version: 0 at its edge, 1 `FEATHER` pixels inside."""
    region = _enlarge(low, size) > 0.5
    depth = FEATHER * size[0] / low.shape[0]
    padded = np.pad(
        region.astype(np.uint8), 1, mode="edge"
    )  # the window's own border is no edge of the region
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    return region, np.clip(inside / max(depth, 1.0), 0, 1)


def _match_skin(rendered: np.ndarray, people: People, before: Tensor, after: Tensor) -> np.ndarray:
    """Bring rendered arms to the colour of the photo's arms where both show skin."""
    arms = list(L.ARM_LABELS)
    had, has = before[0, arms].sum(0).cpu().numpy(), after[0, arms].sum(0).cpu().numpy()
    both = (had > 0.7) & (has > 0.7)
    if both.sum() < 60:
        return rendered
    photo = (people.image[0].permute(1, 2, 0).cpu().numpy() + 1.0) * 127.5
    gain = np.clip((photo[both].mean(0) + 4) / (rendered[both].mean(0) + 4), 0.75, 1.33)
    share = np.clip(has, 0, 1)[..., None]
    out: np.ndarray = rendered * (1.0 + share * (gain - 1.0))
    return out


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


def _enlarge(plane: np.ndarray, size: tuple[int, int], how: int = cv2.INTER_LINEAR) -> np.ndarray:
    if plane.shape[:2] == tuple(size):
        return plane.astype(np.float32)
    if size[0] < plane.shape[0]:
        how = cv2.INTER_AREA
    return cv2.resize(plane.astype(np.float32), (size[1], size[0]), interpolation=how)


def _plane(x: Tensor) -> np.ndarray:
    out: np.ndarray = x[0, 0].float().cpu().numpy()
    return out


def _guided(guide: np.ndarray, plane: np.ndarray, scale: float, epsilon: float = 1e-3) -> np.ndarray:
    """Guided filter of `plane` by `guide`, both (h, w) float32 in [0, 1], radius about 3 low-resolution pixels."""
    side = 2 * max(1, round(3 * scale)) + 1

    def mean(x: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(x, -1, (side, side))

    mean_guide, mean_plane = mean(guide), mean(plane)
    slope = (mean(guide * plane) - mean_guide * mean_plane) / (mean(guide * guide) - mean_guide**2 + epsilon)
    offset = mean_plane - slope * mean_guide
    out: np.ndarray = mean(slope) * guide + mean(offset)
    return out


__all__ = ["Finished", "finish", "warp_full"]
