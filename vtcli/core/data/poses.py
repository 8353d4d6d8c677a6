"""Joints as pose estimators write them → COCO-18 joints in the photo's pixels.

    OpenPose      people/pose_keypoints(_2d), 18 or 25 joints; DWPose writes the same, also in a list of frames
    COCO          annotations/keypoints, or a list of results: 17 joints, x, y and visibility in a row
    MMPose        instance_info/instances or predictions: keypoints and keypoint_scores
    Ultralytics   a list of detections: keypoints with x, y and visible
    DressCode     keypoints of four values a joint: x, y, confidence and number, of a picture of 384x512
    NumPy         .npy of people, joints, and x, y and confidence, as GP-VTON has them; 17, 18 or 25 joints

COCO's 17 joints have no neck: it is the mean of the shoulders, as in OpenPose's own training data (Cao et al., CVPR
2017). Of 133 or 134 joints of the whole body the first 17 or 18 count.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vtcli.core.data.images import same_shape
from vtcli.core.data.labels import (
    BODY25_TO_COCO18,
    COCO17_TO_COCO18,
    JOINTS,
    L_SHOULDER,
    NECK,
    R_SHOULDER,
)
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import read_json

_FAR = 1e9
"""Coordinates beyond this are no pixels; numbers that float32 cannot hold are among them."""
_COCO_17, _BODY_25 = (17, 26, 133), (25,)
"""Numbers of joints of sets whose first 17 are COCO's (COCO, Halpe, COCO-WholeBody), and of BODY_25."""
_COCO_18 = (JOINTS, 134)
_DRESS_CODE = (512, 384)
"""The (height, width) for which DressCode's joints hold, whatever its photos measure (its authors, in their repository)."""
_JOINTS_OF = "pose_keypoints_2d", "pose_keypoints", "keypoints"
_SCORES_OF = "keypoint_scores", "keypoints_scores", "scores"
_LISTS_OF = "people", "annotations", "instance_info", "instances", "predictions"


def read_pose(path: Path, size: tuple[int, int] | None = None, *, allow_empty: bool = False) -> np.ndarray:
    """Read a pose file as COCO-18 joints, float32 (18, 3): x, y in the photo's pixels, confidence.

    Of several people the one whose joints span the largest area, weighted by confidence, counts. A joint without
    confidence is (0, 0, 0), as is, where the photo's `size` (height, width) is given, one outside of it. Where the
    file names the size of its picture, joints are scaled from that to `size`. VtcliError for wrong counts, values that
    are no finite numbers, joints that belong to a photo of another size, annotations of several pictures, and an empty
    list of people unless `allow_empty`: then all joints are absent.
    """
    value = _read_array(path) if Path(path).suffix.lower() == ".npy" else read_json(path)
    people = _people(path, value)
    if people is None:
        raise VtcliError(
            f"{path}: no list of people in it; expected the JSON of OpenPose, DWPose, COCO, MMPose or Ultralytics"
        )
    found = [_one_person(path, person) for person in people]
    best = max(found, key=_prominence, default=np.zeros((JOINTS, 3), np.float32))
    if not best.any() and not allow_empty:
        raise VtcliError(f"{path}: no person in this pose file")
    if size is None:
        return best
    canvas = _DRESS_CODE if _is_dress_code(value, size) else _canvas(value)
    return _within(path, _scaled(path, best, canvas, size), size)


def _read_array(path: Path) -> list[Any]:
    """The joints of a `.npy` file as lists; VtcliError where it holds no numbers of people and joints."""
    try:
        joints = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise VtcliError(f"{path}: not readable as a NumPy array ({problem})") from problem
    if not (isinstance(joints, np.ndarray) and joints.dtype.kind in "fiu" and joints.ndim in (2, 3)):
        raise VtcliError(
            f"{path}: no joints in it; expected numbers of people, joints, and x, y and confidence"
        )
    found: list[Any] = (joints if joints.ndim == 3 else joints[None]).astype(float).tolist()
    return found


def _people(path: Path, value: Any) -> list[Any] | None:
    """Everybody in a pose file, each as the file has it; None where it holds no list of people."""
    if isinstance(value, dict):
        for key in _LISTS_OF:
            if isinstance(inner := value.get(key), list):
                if key == "annotations":
                    inner = _of_one_picture(path, value, inner)
                return inner if key in ("people", "annotations") else _in_list(path, inner)
        return [value] if any(key in value for key in _JOINTS_OF) else None
    return _in_list(path, value) if isinstance(value, list) and value else None


def _in_list(path: Path, values: list[Any]) -> list[Any] | None:
    """The people of a list: of frames, of people, or the joints of one person."""
    if not values:
        return []
    if _is_joints(values):
        return [values]
    found = [_people(path, value) for value in values]
    return None if None in found else [person for people in found if people for person in people]


def _is_joints(values: list[Any]) -> bool:
    """Whether a list holds numbers, or joints of two to four numbers each."""
    return all(isinstance(v, int | float) for v in values) or all(
        isinstance(v, list) and 2 <= len(v) <= 4 and all(isinstance(x, int | float) for x in v)
        for v in values
    )


def _of_one_picture(path: Path, value: dict[str, Any], annotations: list[Any]) -> list[Any]:
    """COCO's annotations of the one picture of a file, or of the one that is named like the file."""
    marked = [a for a in annotations if isinstance(a, dict)]
    pictures = {a.get("image_id") for a in marked}
    if len(pictures) <= 1:
        return annotations
    images = [image for image in value.get("images") or [] if isinstance(image, dict)]
    own = {image.get("id") for image in images if Path(str(image.get("file_name"))).stem == path.stem}
    mine = [a for a in marked if a.get("image_id") in own]
    if not mine:
        raise VtcliError(f"{path}: annotations of {len(pictures)} pictures; keep those of the photo alone")
    return mine


def _canvas(value: Any) -> tuple[float, float] | None:
    """The (height, width) of the picture that a file says its joints belong to."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        found = value.get("canvas_height"), value.get("canvas_width")
        if all(isinstance(x, int | float) and x > 0 for x in found):
            return float(found[0]), float(found[1])  # type: ignore[arg-type]
    return None


def _is_dress_code(value: Any, size: tuple[int, int]) -> bool:
    """Whether a file's joints are of four values each, and a photo of `size` has DressCode's proportions."""
    joints = value.get("keypoints") if isinstance(value, dict) else None
    four = (
        isinstance(joints, list) and bool(joints) and all(isinstance(j, list) and len(j) == 4 for j in joints)
    )
    return four and same_shape(size, _DRESS_CODE)


def _scaled(
    path: Path, joints: np.ndarray, canvas: tuple[float, float] | None, size: tuple[int, int]
) -> np.ndarray:
    """`joints` of a picture of size `canvas`, or in shares of it, in pixels of a photo of `size`."""
    if canvas is None:
        return joints
    if abs(canvas[1] * size[0] / (canvas[0] * size[1]) - 1) > 0.02:
        raise VtcliError(
            f"{path}: its joints are of a picture of {canvas[1]:g}x{canvas[0]:g}, but the photo is {size[1]}x{size[0]}"
        )
    out = joints.copy()
    shares = bool(np.abs(joints[joints[:, 2] > 0, :2]).max(initial=0.0) <= 1)
    for column, side, own in ((0, size[1], canvas[1]), (1, size[0], canvas[0])):
        out[:, column] *= side if shares else side / own
    return out


def _one_person(path: Path, person: Any) -> np.ndarray:
    raw, scores = person, None
    if isinstance(person, dict):
        raw = next((person[key] for key in _JOINTS_OF if person.get(key) is not None), None)
        scores = next((person[key] for key in _SCORES_OF if isinstance(person.get(key), list)), None)
    if isinstance(raw, dict) and isinstance(raw.get("x"), list) and isinstance(raw.get("y"), list):
        scores = raw.get("visible", raw.get("confidence", scores))
        raw = [list(pair) for pair in zip(raw["x"], raw["y"], strict=False)]
    if not isinstance(raw, list):
        raise VtcliError(f"{path}: a person without pose_keypoints, pose_keypoints_2d or keypoints")
    if len(raw) == 1 and isinstance(raw[0], list) and raw[0] and isinstance(raw[0][0], list):
        raw = raw[0]
    nested = bool(raw) and all(isinstance(v, list) for v in raw)
    flat = [v for joint in raw for v in joint] if nested else raw
    for values in (flat, scores or []):
        if not all(isinstance(v, int | float) and abs(v) < _FAR for v in values):  # not true of NaN either
            raise VtcliError(f"{path}: joints hold something other than finite numbers")
    if len(flat) == 0:
        return np.zeros((JOINTS, 3), np.float32)
    each = len(raw[0]) if nested else 3
    if (nested and len({len(v) for v in raw}) > 1) or len(flat) % each or not 2 <= each <= 4:
        raise _unknown_count(path, len(flat))
    joints = np.array(flat, np.float32).reshape(-1, each)[:, :3]
    if each == 2 or scores is not None:
        given = np.ones(len(joints)) if scores is None else np.array(scores, np.float32)
        if len(given) != len(joints):
            raise VtcliError(f"{path}: {len(joints)} joints, but {len(given)} confidences")
        joints = np.column_stack([joints[:, :2], given]).astype(np.float32)
    return _coco_18(path, joints, len(flat))


def _coco_18(path: Path, joints: np.ndarray, values: int) -> np.ndarray:
    """Joints (n, 3) of any set that is known as COCO-18's (18, 3); absent ones are (0, 0, 0)."""
    # COCO's visibility goes to 2; estimators put what they have not found at the corner or left of it.
    joints[:, 2] = np.minimum(joints[:, 2], 1.0)
    joints[(joints[:, 2] <= 0) | ((joints[:, 0] <= 0) & (joints[:, 1] <= 0))] = 0
    if len(joints) in _COCO_18:
        return joints[:JOINTS]
    if len(joints) in _BODY_25:
        return joints[list(BODY25_TO_COCO18)]
    if len(joints) not in _COCO_17:
        raise _unknown_count(path, values)
    out = np.zeros((JOINTS, 3), np.float32)
    for joint, own in enumerate(COCO17_TO_COCO18):
        if own >= 0:
            out[joint] = joints[own]
    shoulders = out[[R_SHOULDER, L_SHOULDER]]
    if (shoulders[:, 2] > 0).all():
        out[NECK] = (*shoulders[:, :2].mean(0), shoulders[:, 2].min())
    return out


def _unknown_count(path: Path, values: int) -> VtcliError:
    return VtcliError(
        f"{path}: {values} joint values; expected {3 * JOINTS} (COCO-18), {3 * 17} (COCO-17) or {3 * 25} (BODY_25)"
    )


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
