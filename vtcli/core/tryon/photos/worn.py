"""A top that somebody wears in the garment's picture, cut out by the parser where it is seen from the front."""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.tryon.photos.annotate import Annotator
from vtcli.core.tryon.photos.window import Window, frame_of_box

LEAST_SPAN = 0.42
"""Distance of the shoulders, in distances from the neck to the hips, from which a person is seen from the front; people who
stand straight have 0.6 to 0.9."""
LEAST_CLEAR = 0.8
"""Share of the torso that shows the top; the rest are hands, hair and bags before it."""
LONGEST = 0.45
"""How far below the hips a top may end, in distances from the neck to the hips; longer ones are dresses."""
LEAST_TALL = 40
"""Photo pixels down that a top has at least."""


def worn_top(annotator: Annotator, rgb: np.ndarray, window: Window, labels: np.ndarray) -> np.ndarray | str:
    """The mask (H, W) bool of the top that the person on `rgb` (H, W, 3) uint8 wears, or what stands against it. `labels`
    (256, 192): what the parser sees in the `window`, the whole picture."""
    rows, columns = np.nonzero(np.isin(labels, L.TOP_LABELS))
    if not len(rows):
        return "no top is seen on them"
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    near = frame_of_box(window.box_out(box, (rgb.shape[0], rgb.shape[1])), share=0.8)
    seen = annotator(annotator.tensor(near.photo(rgb)))
    joints = seen.keypoints[0].cpu().numpy()
    if (problem := _from_the_side(joints)) is not None:
        return problem
    top = seen.probabilities[0, list(L.TOP_LABELS)].sum(0).cpu().numpy()
    part = _largest(top > 0.5)
    if _is_dress(part, joints):
        return "what they wear is a dress"
    if not _is_clear(part, joints):
        return "hands, hair or other things lie before their top"
    large = (
        cv2.resize(np.where(part, top, 0.0), (near.width, near.height), interpolation=cv2.INTER_CUBIC) > 0.5
    )
    mask = np.zeros(rgb.shape[:2], bool)
    near.paste(mask, large)
    if mask.any(1).sum() < LEAST_TALL:
        return "their top is too small in it"
    return mask


def _from_the_side(joints: np.ndarray) -> str | None:
    """Why the `joints` (18, 3) are not those of somebody seen from the front."""
    right, left, neck = joints[L.R_SHOULDER], joints[L.L_SHOULDER], joints[L.NECK]
    hips = [joints[j] for j in (L.R_HIP, L.L_HIP) if joints[j, 2] > 0]
    if not (right[2] > 0 and left[2] > 0 and neck[2] > 0):
        return "their shoulders are not seen"
    span = float(left[0] - right[0])
    if span <= 0:
        return "they are seen from behind"
    if hips and span < LEAST_SPAN * abs(float(np.mean([hip[1] for hip in hips]) - neck[1])):
        return "they are seen from the side"
    return None


def _is_dress(top: np.ndarray, joints: np.ndarray) -> bool:
    """Whether what is worn ends far below the hips."""
    hips = [joints[j, 1] for j in (L.R_HIP, L.L_HIP) if joints[j, 2] > 0]
    rows = np.nonzero(top.mean(1) > 0.02)[0]
    if not hips or not len(rows):
        return False
    neck, hip = float(joints[L.NECK, 1]), float(np.mean(hips))
    return bool(rows[-1] > hip + LONGEST * (hip - neck))


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest part of a mask, and what lies beside it: the other half of an open jacket. A skirt lies below."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    top, tall = stats[:, cv2.CC_STAT_TOP], stats[:, cv2.CC_STAT_HEIGHT]
    main = int(area.argmax())
    shared = np.minimum(top + tall, top[main] + tall[main]) - np.maximum(top, top[main])
    return np.asarray(((area > 0.1 * area[main]) & (shared > 0.5 * tall))[parts] & mask)


def _is_clear(top: np.ndarray, joints: np.ndarray) -> bool:
    """Whether little lies before the torso: in the middle between the shoulders, below the neckline, down to the hem."""
    left, right = sorted(int(joints[j, 0]) for j in (L.R_SHOULDER, L.L_SHOULDER))
    inset = (right - left) // 5  # waists are narrower
    middle = top[:, left + inset : right - inset]
    if right - left < 8 or not middle.size:
        return False
    rows = np.nonzero(middle.mean(1) > 0.5)[0]  # sleeves may reach lower than the hem
    if not len(rows):
        return False
    torso = middle[int(rows[0] + 0.2 * (rows[-1] - rows[0])) : rows[-1] + 1]
    return bool(torso.mean() >= LEAST_CLEAR)
