"""The 3:4 window of a photo that shows a person as VITON's photos do.

Medians over the VITON set, at 192×256: neck at (95, 84), middle of the hips at (93, 201), top of the head at
the upper edge, face 45 pixels high.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.tryon.photos.finding import FoundPerson
from vtcli.core.tryon.photos.window import HEIGHT, WIDTH, Box, Window, frame_of_box, whole

NECK_AT = (95.0, 84.0)
TORSO = 117.0
FACE = 45.0
TOP = (L.UPPER_CLOTHES, L.COAT)
"""Labels of what has to lie in the window, to be replaced; below a top a dress stays."""
WIDER = 1.3
"""How many times as large as VITON's a window may become for it, set by hand: the networks know people of VITON's size."""
MARGIN = 0.05
"""What lies around it then, in heights of the window: the person was found by a coarse look."""
CUT = 2.0
"""How far below the photo's upper edge a whole face begins, in pixels of the coarse look: hair and forehead lie above it."""
TORSO_OF_SHOULDERS = 1.5
"""Median of the torso's length (neck to hips) over the shoulders' width."""


def frame_person(
    photo: np.ndarray, found: FoundPerson | None, box: Box | None, keypoints: np.ndarray | None,
    find_joints: Callable[[np.ndarray], np.ndarray],
) -> Window:  # fmt: skip
    """The window of `photo` (H, W, 3) uint8 around a person.

    `found`: the person as found by looking; else `box`, where the person is said to be, in photo pixels; else
    `keypoints` (18, 3) in photo pixels tell. `find_joints` finds joints (18, 3) in a picture (256, 192, 3) uint8.
    """
    if found is None:
        full = whole(photo)
        if box is not None:
            return frame_of_box(box)
        # Where nothing is known, all is shown. A data set's photos are framed already.
        if keypoints is None or photo.shape[:2] == (HEIGHT, WIDTH):
            return full
        return viton_frame(_certain(full.points_in(keypoints)), full)
    rough = first_frame(found.parse, found.inside, found.window)
    joints = find_joints(rough.photo(photo)) if keypoints is None else _certain(rough.points_in(keypoints))
    return with_top(viton_frame(joints, rough), found)


def _certain(keypoints: np.ndarray) -> np.ndarray:
    """Given joints count as certain wherever they are present."""
    out = keypoints.copy()
    out[:, 2] = np.where((out[:, 0] > 1) & (out[:, 1] > 1), 1.0, 0.0)
    return out


def first_frame(parse: np.ndarray, box: Box, coarse: Window) -> Window:
    """A window around the upper body from the coarse parse of the whole photo (256×192).

    By the parse, not by the joints, which are unreliable on small figures. A person who ends above the photo's
    lower edge is seen full-length and is 1.6 windows tall; else the face tells, a bit more than a sixth of a
    window high.
    """
    left, top, right, bottom = box
    part = parse[top:bottom, left:right]
    tall = bottom - top
    lower_edge = HEIGHT + min(0.0, coarse.top / coarse.scale)  # a wide photo is padded above and below
    full_length = bottom < lower_edge - 3
    guesses = [0.62 * tall] if full_length else []
    face = _upper_face(part)
    if face is not None:
        rows = np.nonzero(face.sum(1) >= max(1, 0.2 * face.sum(1).max()))[0]
    # Of a face that the photo's upper edge cuts off, the height tells nothing.
    if face is not None and top + rows[0] > max(0.0, -coarse.top / coarse.scale) + CUT:
        guesses.append(float(np.clip((rows[-1] - rows[0] + 1) * HEIGHT / FACE, 0.45 * tall, 1.6 * tall)))
    window = 1.08 * (float(np.exp(np.mean(np.log(guesses)))) if guesses else tall)
    body = np.nonzero((part[: round(window)] > 0).any(0))[0]
    center = left + (body[0] + body[-1] + 1) / 2
    if face is not None:
        columns = np.nonzero(face.any(0))[0]
        center = 0.5 * center + 0.5 * (left + (columns[0] + columns[-1] + 1) / 2)
    scale = coarse.scale
    return Window.around(
        coarse.left + (center - 0.5 * window * WIDTH / HEIGHT) * scale,
        coarse.top + (top - 0.03 * window) * scale,
        window * scale,
    )


def _upper_face(part: np.ndarray) -> np.ndarray | None:
    """The largest face-labelled piece in the upper third of a person's box, (h, w) bool; None without one.

    Elsewhere skin may pass for a face.
    """
    face = (part == L.FACE).astype(np.uint8)
    face[max(1, round(0.36 * len(face))) :] = 0
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(face)
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return pieces == largest if stats[largest, cv2.CC_STAT_AREA] >= 8 else None


def viton_frame(keypoints: np.ndarray, rough: Window) -> Window:
    """VITON's own framing from the joints seen in the window `rough`; `rough` itself where they do not tell.

    `keypoints` (18, 3) in pixels of the 256×192 window.
    """
    found = keypoints[:, 2] >= 0.3
    if not (found[L.NECK] and found[L.R_SHOULDER] and found[L.L_SHOULDER]):
        return rough
    neck = keypoints[L.NECK, :2]
    shoulders = float(np.hypot(*(keypoints[L.R_SHOULDER, :2] - keypoints[L.L_SHOULDER, :2])))
    by_shoulders = TORSO_OF_SHOULDERS * shoulders
    length = by_shoulders
    center = float(neck[0])
    if found[L.R_HIP] and found[L.L_HIP]:
        hips = (keypoints[L.R_HIP, :2] + keypoints[L.L_HIP, :2]) / 2
        by_hips = float(np.hypot(*(hips - neck)))
        # Turned people have narrow shoulders, hips off the picture are guesses: trust them within reason.
        length = float(np.clip(by_hips, 0.75 * by_shoulders, 1.8 * by_shoulders))
        center = float(neck[0] + hips[0]) / 2 + 1.0
    window = float(np.clip(length / TORSO, 0.45, 1.7)) * HEIGHT
    scale = rough.scale
    return Window.around(
        rough.left + (center - window * NECK_AT[0] / HEIGHT) * scale,
        rough.top + (float(neck[1]) - window * NECK_AT[1] / HEIGHT) * scale,
        window * scale,
    )


def with_top(window: Window, found: FoundPerson) -> Window:
    """`window`, larger where the top that the person wears goes on beyond it: what the window cuts off would stay in the
    photo, with an edge as straight as the window's."""
    left, top, right, bottom = found.inside
    worn = np.isin(found.parse[top:bottom, left:right], TOP).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(worn)
    if count < 2:
        return window
    x, y, wide, tall = (int(v) for v in stats[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), :4])
    seen = found.window
    first, last = (seen.left + (left + x + dx) * seen.scale for dx in (0, wide))
    lowest = seen.top + (top + y + tall) * seen.scale
    if first >= window.left and last <= window.left + window.width and lowest <= window.top + window.height:
        return window
    margin = MARGIN * window.height
    height = max(window.height, lowest + margin - window.top, (last - first + 2 * margin) * HEIGHT / WIDTH)
    height = min(height, WIDER * window.height)
    width = height * WIDTH / HEIGHT
    start = window.left + (window.width - width) / 2
    if last - first + 2 * margin > width:
        start = (first + last - width) / 2
    else:
        start = min(max(start, last + margin - width), first - margin)
    return Window.around(start, window.top, height)
