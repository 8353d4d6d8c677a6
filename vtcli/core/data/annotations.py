"""A person's and a garment's annotations on disk → arrays: parse maps, joints, masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from vtcli.core.data.images import read_with_pillow
from vtcli.core.data.labels import (
    ATR_TO_LIP,
    BODY25_TO_COCO18,
    CIHP_TO_LIP,
    JOINTS,
    LABELS,
    LIP_PALETTE,
)
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import read_json

LabelSet = Literal["lip", "atr", "cihp"]
LABEL_SETS: tuple[LabelSet, ...] = ("lip", "atr", "cihp")

_TO_LIP = {"lip": np.arange(LABELS, dtype=np.uint8), "atr": ATR_TO_LIP, "cihp": CIHP_TO_LIP}
_BODY_25 = 25
_FAR = 1e9
"""Coordinates beyond this are no pixels; numbers that float32 cannot hold are among them."""


def read_parse(path: Path | Image.Image, labels: LabelSet = "lip") -> np.ndarray:
    """Read a parse map as LIP labels 0-19, uint8 (H, W).

    `labels` names the set that the file is in. Palette and grey pictures are read as the labels themselves,
    RGB ones by LIP's colours (which CIHP shares). VtcliError for labels beyond the set, and for colours that
    are not the palette's, such as those of a lossy file.
    """
    image = read_with_pillow(path)
    if image.mode in ("RGB", "RGBA"):
        values = _from_colours(path, image, labels)
    elif image.mode in ("P", "L", "I", "I;16"):
        values = np.asarray(image)
    else:
        raise VtcliError(f"{path}: a parse map must be a palette, grey or RGB picture, not {image.mode}")
    table = _TO_LIP[labels]
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= len(table):
        hint = "; was it saved as JPEG?" if image.format == "JPEG" else ""
        raise VtcliError(
            f"{path}: label {high if low >= 0 else low}, but {labels.upper()} goes to {len(table) - 1}{hint}"
        )
    return table[values]


def read_pose(path: Path, size: tuple[int, int] | None = None, *, allow_empty: bool = False) -> np.ndarray:
    """Read OpenPose's JSON as COCO-18 joints, float32 (18, 3): x, y in the photo's pixels, confidence.

    Takes `pose_keypoints` (older) and `pose_keypoints_2d`, 18 joints or BODY_25. Of several people the one
    whose joints span the largest area, weighted by confidence, counts. A joint without confidence is
    (0, 0, 0), as is, where the photo's `size` (height, width) is given, one outside of it. VtcliError for
    wrong counts, values that are no finite numbers, joints that belong to a photo of another size, and an
    empty list of people unless `allow_empty`: then all joints are absent.
    """
    value = read_json(path)
    people = value.get("people") if isinstance(value, dict) else None
    if not isinstance(people, list):
        raise VtcliError(f"{path}: no list of people in it; expected OpenPose's JSON")
    found = [_one_person(path, person) for person in people]
    best = max(found, key=_prominence, default=np.zeros((JOINTS, 3), np.float32))
    if not best.any() and not allow_empty:
        raise VtcliError(f"{path}: no person in this pose file")
    return best if size is None else _within(path, best, size)


def read_mask(path: Path | Image.Image) -> np.ndarray:
    """Read a mask, a file or a Pillow image, as bool (H, W): 128 and above is in; in one of zeros and ones, 1 is in."""
    image = read_with_pillow(path)
    if image.mode == "RGBA":
        colour, alpha = np.asarray(image)[..., :3], np.asarray(image)[..., 3]
        plain = bool((colour == colour[0, 0]).all())
        grey = alpha if plain else np.asarray(image.convert("L"))
    elif image.mode in ("I", "I;16"):
        wide = np.asarray(image).astype(np.int64)
        grey = (wide // 257 if wide.max() > 255 else wide).astype(np.uint8)
    elif image.mode == "P" and set(np.unique(np.asarray(image))) <= {0, 1}:
        grey = np.asarray(image)
    else:
        grey = np.asarray(image.convert("L"))
    return grey > 0 if grey.max() == 1 else grey >= 128


def _from_colours(path: Path | Image.Image, image: Image.Image, labels: LabelSet) -> np.ndarray:
    if labels == "atr":
        raise VtcliError(f"{path}: an ATR parse map must hold label numbers (palette or grey), not colours")
    rgb = np.asarray(image)[..., :3].astype(np.int32)
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all() and rgb.max() < LABELS:
        return rgb[..., 0]  # labels saved as grey RGB
    codes = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    palette = LIP_PALETTE.astype(np.int32)
    known = (palette[:, 0] << 16) | (palette[:, 1] << 8) | palette[:, 2]
    order = np.argsort(known)
    at = np.searchsorted(known[order], codes).clip(0, LABELS - 1)
    values = order[at]
    strange = known[values] != codes
    if strange.any():
        row, column = np.argwhere(strange)[0]
        red, green, blue = (int(v) for v in rgb[row, column])
        raise VtcliError(
            f"{path}: colour ({red}, {green}, {blue}) at x {column}, y {row} is none of LIP's; "
            "save parse maps as PNG with LIP's labels or palette"
        )
    return values


def _one_person(path: Path, person: Any) -> np.ndarray:
    raw = None
    if isinstance(person, dict):
        raw = person.get("pose_keypoints_2d", person.get("pose_keypoints"))
    if not isinstance(raw, list):
        raise VtcliError(f"{path}: a person without pose_keypoints or pose_keypoints_2d")
    if not all(isinstance(v, int | float) and abs(v) < _FAR for v in raw):  # not true of NaN either
        raise VtcliError(f"{path}: joints hold something other than finite numbers")
    if len(raw) == 0:
        return np.zeros((JOINTS, 3), np.float32)
    if len(raw) not in (3 * JOINTS, 3 * _BODY_25):
        raise VtcliError(
            f"{path}: {len(raw)} joint values; expected {3 * JOINTS} (COCO-18) or {3 * _BODY_25} (BODY_25)"
        )
    joints = np.array(raw, np.float32).reshape(-1, 3)
    if len(joints) == _BODY_25:
        joints = joints[list(BODY25_TO_COCO18)]
    joints[joints[:, 2] <= 0] = 0
    return joints


def _prominence(joints: np.ndarray) -> float:
    """Area that the present joints span, times the sum of their confidences."""
    present = joints[joints[:, 2] > 0]
    if not len(present):
        return 0.0
    width, height = np.ptp(present[:, :2], axis=0) + 1.0
    return float(width * height * present[:, 2].sum())


def _within(path: Path, joints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    x, y, present = joints[:, 0], joints[:, 1], joints[:, 2] > 0
    if present.sum() > 1 and np.abs(joints[present, :2]).max() <= 1:
        raise VtcliError(f"{path}: joints run from 0 to 1; expected pixels of the photo")
    outside = present & ((x < 0) | (y < 0) | (x > width) | (y > height))
    if 2 * outside.sum() > present.sum():
        raise VtcliError(f"{path}: joints lie outside the photo of {width}x{height}; made for another size?")
    out = joints.copy()
    out[outside] = 0
    return out
