"""Gaps in the parse of the old garment: a piece that it calls background, though it lies within the garment's outline and has its
colours. A hem below an arm that crosses it is such a piece. The networks take a gap for scene, and would keep it."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.areas import close_to, disc, hanging_on
from vtcli.core.data.body_regions import neck_region, torso
from vtcli.core.data.pixels import colours
from vtcli.core.garments.colours import ALIKE, LEAST, STRIKING, apart, lab, palette

FRAYED = 3
"""How far from the parsed garment a piece of it begins, in pixels."""
RIM = 4
"""How far from it the scene's colours may be the garment's as well, in pixels."""
BESIDE = 8
"""How far from the lower body a gap may be of trousers or a skirt in the garment's colours, in pixels."""
WALL = 0.1
"""Share of the scene from which what has the garment's colours is a wall of that colour, not a piece of the garment. Set by hand."""


def close_gaps(image: Tensor, parse: Tensor, keypoints: Tensor) -> Tensor:
    """`parse` (B, H, W) uint8 LIP labels with gaps labelled as the top around them. `image` (B, 3, H, W) in [-1, 1];
    `keypoints` (B, 18, 3) in pixels. Where there is none, the same tensor comes back."""
    maps = parse.cpu().numpy()
    closed = maps.copy()
    for i, labels in enumerate(maps):
        worn = np.isin(labels, L.TOP_LABELS)
        if worn.sum() >= LEAST:
            one = keypoints[i : i + 1]
            outline = _outline(worn, torso(labels.shape, one)[0].cpu().numpy())
            outline &= ~neck_region(parse[i : i + 1], one)[0].cpu().numpy()
            gap = _gaps(colours(image[i : i + 1]), labels, worn, outline)
            closed[i][gap] = np.bincount(labels[worn]).argmax()
    return parse if np.array_equal(closed, maps) else torch.from_numpy(closed).to(parse.device)


def _outline(worn: np.ndarray, body: np.ndarray) -> np.ndarray:
    """The torso `body` and what the convex outline of the largest piece of `worn` encloses: (H, W) bool each."""
    contours, _ = cv2.findContours(worn.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    out = body.astype(np.uint8)
    cv2.fillConvexPoly(out, cv2.convexHull(max(contours, key=cv2.contourArea)), 1)
    return out > 0


def _gaps(photo: np.ndarray, labels: np.ndarray, worn: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Background by its `labels` (H, W) that has the colours of what is `worn` (H, W) bool in the `photo` (H, W, 3) in grey
    levels, and neither the person's nor the scene's, within the garment's `outline` (H, W) bool: (H, W) bool."""
    background = labels == L.BACKGROUND
    sure = cv2.erode(worn.astype(np.uint8), disc(2)) > 0
    bare = np.isin(labels, (L.FACE, *L.ARM_LABELS)) & ~close_to(worn, RIM)
    scene = background & ~close_to(worn | outline, RIM)
    if min(area.sum() for area in (background & outline, sure, bare, scene)) < LEAST:
        return np.zeros_like(worn)
    values = lab(photo)
    to_cloth = apart(values, palette(photo[sure], 6))
    own = (to_cloth < ALIKE) & (to_cloth < 0.5 * apart(values, palette(photo[bare], 4)))
    lower = np.isin(labels, L.LOWER_LABELS)
    if lower.sum() >= LEAST:
        own &= ~close_to(lower, BESIDE) | (to_cloth < 0.5 * apart(values, palette(photo[lower], 4)))
    if own[scene].mean() < WALL:
        scene &= ~own
    to_scene = apart(values, palette(photo[scene], 6))
    piece = own & background & outline & (to_cloth < STRIKING * to_scene) & (to_scene > ALIKE)
    # A lone pixel is noise; of a print some pixels have other colours.
    whole = cv2.morphologyEx((piece | worn).astype(np.uint8), cv2.MORPH_CLOSE, disc(2)) > 0
    whole &= background & outline & close_to(piece, 2)
    return _large(hanging_on(whole, close_to(worn, FRAYED)))


def _large(pieces: np.ndarray) -> np.ndarray:
    """Those of `pieces` (H, W) bool that have `LEAST` pixels; the others are the fringe of an outline."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(pieces.astype(np.uint8), connectivity=8)
    out: np.ndarray = pieces & (stats[:, cv2.CC_STAT_AREA] >= LEAST)[parts]
    return out
