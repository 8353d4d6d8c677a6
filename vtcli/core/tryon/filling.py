"""What appears where the old garment goes: the scene, the lower body, or skin, each guessed from what the photo
shows of it."""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import neck_region
from vtcli.core.tryon.networks import People
from vtcli.core.tryon.planes import colours, enlarge

LOWER = (L.PANTS, L.SKIRT, L.SOCKS, L.LEFT_LEG, L.RIGHT_LEG, L.LEFT_SHOE, L.RIGHT_SHOE)
"""Labels below the waist."""
LEAST_LOWER = 150
"""Pixels of the lower body at 256×192 that are enough to tell how it goes on."""
LEAST_SKIN = 40
"""Pixels of skin at 256×192 that are enough to tell its colour."""


def scene_behind(window: np.ndarray, people: People, size: tuple[int, int]) -> np.ndarray:
    """The window without the person, whose place is filled in from around it: (h, w, 3) float32."""
    parse = people.parse[0].cpu().numpy()
    height, width = parse.shape
    small = cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA)
    neck = neck_region(people.parse, people.keypoints)[0].cpu().numpy()
    hole = cv2.dilate(((parse > 0) | neck).astype(np.uint8), np.ones((7, 7), np.uint8))
    if hole.all():
        return cv2.resize(small, (size[1], size[0])).astype(np.float32)
    filled = cv2.inpaint(small, hole, 5, cv2.INPAINT_TELEA)
    return cv2.resize(filled, (size[1], size[0]), interpolation=cv2.INTER_CUBIC).astype(np.float32)


def lower_body(window: np.ndarray, people: People) -> np.ndarray | None:
    """The window with the lower body carried on beyond its edge, (h, w, 3) float32: each pixel takes the colour of
    its mirror image in the nearest edge. None where hardly any lower body is seen."""
    seen = np.isin(people.parse[0].cpu().numpy(), LOWER).astype(np.uint8)
    below = np.asarray(cv2.erode(seen, np.ones((5, 5), np.uint8)))
    if below.sum() < LEAST_LOWER:
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


def skin(people: People, before: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """Skin of the photo's colour everywhere, (h, w, 3) float32: the neck's where enough of it is seen, else the lower
    face's, else the arms'; None without any. `before` (20, 256, 192): the photo's parse."""
    photo = colours(people.image)
    neck = neck_region(people.parse, people.keypoints)[0].cpu().numpy() & (before[L.BACKGROUND] > 0.5)
    face = _lower_face(before)
    arms = before[list(L.ARM_LABELS)].sum(0) > 0.8
    masks = [
        cv2.erode(m.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.float32)
        for m in (neck, face, arms)
    ]
    seen = next((m for m in masks if m.sum() >= LEAST_SKIN), None)
    if seen is None:
        return None
    weight = cv2.GaussianBlur(seen, (0, 0), 8.0)[..., None]
    mean = (photo * seen[..., None]).sum((0, 1)) / seen.sum()
    near = (cv2.GaussianBlur(photo * seen[..., None], (0, 0), 8.0) + 1e-3 * mean) / (weight + 1e-3)
    return enlarge(near, size)


def match_skin(
    rendered: np.ndarray, people: People, before: np.ndarray, after: np.ndarray, neck: np.ndarray
) -> np.ndarray:
    """I_rp `rendered` (256, 192, 3) in grey levels with its skin brought to the colour of the photo's: arms by arms and
    the neck by the neck where both show them, else by the face. `before` and `after` (20, 256, 192): the photo's parse
    and M_exp; `neck` (256, 192) bool."""
    photo = colours(people.image)
    arms = list(L.ARM_LABELS)
    face = _lower_face(before)
    out = rendered
    for was, becomes in (
        (before[arms].sum(0), after[arms].sum(0)),
        (before[L.BACKGROUND] * neck, after[L.BACKGROUND] * neck),
    ):
        here = there = (was > 0.7) & (becomes > 0.7)
        if here.sum() < LEAST_SKIN:  # the old garment hid it all: the face tells
            here, there = becomes > 0.7, face
        if min(here.sum(), there.sum()) >= LEAST_SKIN:
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
