"""Where the person is in a photo, and the 3:4 window that shows her as VITON's photos do.

Medians over the VITON set, at 192×256: neck at (95, 84), middle of the hips at (93, 201), top of the head at
the upper edge, face 45 pixels high.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from vtcli.core.data import labels as L
from vtcli.core.system.errors import VtcliError

NECK_AT = (95.0, 84.0)
TORSO = 117.0
FACE = 45.0
HEIGHT, WIDTH = 256, 192
TORSO_OF_SHOULDERS = 1.5
"""Median of the torso's length (neck to hips) over the shoulders' width."""
Box = tuple[int, int, int, int]
"""(left, top, right, bottom), ends not included."""
LEAST_PERSON = 0.004
"""Smallest share of the photo that counts as a person."""
LEAST_HEAD, HEADLESS = 0.03, 0.05
"""The head's least share of a person, and what the area of somebody without one counts for: textures and cloth in the
scenery are taken for clothes, but seldom for heads."""


class NobodyFound(VtcliError):
    """The photo shows no person that the parser knows."""


@dataclass(frozen=True)
class Frame:
    """A window of a photo, 3:4, in whole pixels; it may reach beyond the photo, whose edge then goes on."""

    left: int
    top: int
    unit: int

    @property
    def width(self) -> int:
        """Pixels of the photo across."""
        return 3 * self.unit

    @property
    def height(self) -> int:
        """Pixels of the photo down."""
        return 4 * self.unit

    @property
    def scale(self) -> float:
        """Photo pixels for one pixel of 256×192."""
        return self.height / HEIGHT

    @classmethod
    def around(cls, left: float, top: float, height: float) -> Frame:
        """The frame nearest to a window with this corner and height."""
        return cls(round(left), round(top), max(16, round(height / 4)))

    def cut(self, array: np.ndarray) -> np.ndarray:
        """The window of a photo's array (H, W, …), its edge repeated where the window reaches beyond it."""
        height, width = array.shape[:2]
        top, left = min(max(self.top, 0), height - 1), min(max(self.left, 0), width - 1)
        bottom = max(min(self.top + self.height, height), top + 1)
        right = max(min(self.left + self.width, width), left + 1)
        inner = array[top:bottom, left:right]
        if inner.shape[:2] == (self.height, self.width):
            return inner
        above = min(max(top - self.top, 0), self.height - (bottom - top))
        before = min(max(left - self.left, 0), self.width - (right - left))
        return cv2.copyMakeBorder(
            inner, above, self.height - (bottom - top) - above, before, self.width - (right - left) - before,
            cv2.BORDER_REPLICATE,
        )  # fmt: skip

    def paste(self, photo: np.ndarray, window: np.ndarray) -> None:
        """Put a window (height, width, …) into the photo's array, in place; what lies beyond the photo is lost."""
        height, width = photo.shape[:2]
        top, left = min(max(self.top, 0), height), min(max(self.left, 0), width)
        bottom, right = min(self.top + self.height, height), min(self.left + self.width, width)
        if bottom > top and right > left:
            photo[top:bottom, left:right] = window[
                top - self.top : bottom - self.top, left - self.left : right - self.left
            ]

    def photo(self, rgb: np.ndarray) -> np.ndarray:
        """The window at 256×192, antialiased: (256, 192, 3) uint8."""
        window = Image.fromarray(np.ascontiguousarray(self.cut(rgb)))
        return np.asarray(window.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, reducing_gap=3.0))

    def labels(self, parse: np.ndarray) -> np.ndarray:
        """A label map of the photo's size at 256×192, nearest neighbour."""
        window = Image.fromarray(np.ascontiguousarray(self.cut(parse)))
        return np.array(window.resize((WIDTH, HEIGHT), Image.Resampling.NEAREST))

    def points_in(self, keypoints: np.ndarray) -> np.ndarray:
        """Joints in photo pixels → joints in the 256×192 window; those outside of it become absent."""
        moved = keypoints.astype(np.float32).copy()
        moved[:, 0] = (keypoints[:, 0] - self.left + 0.5) / self.scale - 0.5
        moved[:, 1] = (keypoints[:, 1] - self.top + 0.5) / self.scale - 0.5
        there = L.joints_present(keypoints)
        inside = L.joints_inside(moved, (HEIGHT, WIDTH))
        moved[~(there & inside)] = 0
        return moved

    def points_out(self, keypoints: np.ndarray) -> np.ndarray:
        """Joints in the 256×192 window → joints in photo pixels; absent ones stay (0, 0, 0)."""
        moved = keypoints.astype(np.float32).copy()
        moved[:, 0] = (keypoints[:, 0] + 0.5) * self.scale - 0.5 + self.left
        moved[:, 1] = (keypoints[:, 1] + 0.5) * self.scale - 0.5 + self.top
        moved[keypoints[:, 2] <= 0] = 0
        return moved

    def box_in(self, box: Box) -> tuple[float, float, float, float]:
        """A box in photo pixels → the box in pixels of the 256×192 window, which it may leave."""
        left, right = ((x - self.left) / self.scale for x in box[::2])
        top, bottom = ((y - self.top) / self.scale for y in box[1::2])
        return left, top, right, bottom

    def lowest_row(self, photo_height: int) -> int:
        """The last row of the 256×192 window that shows the photo, and not the repetition of its lower edge."""
        return min(HEIGHT - 1, max(0, int((photo_height - self.top) / self.scale - 1)))

    def box_out(self, box: Box, photo: tuple[int, int]) -> Box:
        """A box in the 256×192 window → the box in photo pixels, within a photo of size (height, width)."""
        left, right = (min(max(round(x * self.scale + self.left), 0), photo[1]) for x in box[::2])
        top, bottom = (min(max(round(y * self.scale + self.top), 0), photo[0]) for y in box[1::2])
        return left, top, right, bottom


def whole(rgb: np.ndarray) -> Frame:
    """The smallest 3:4 window that holds the whole photo, centred."""
    height, width = rgb.shape[:2]
    unit = max(-(-height // 4), -(-width // 3))
    return Frame((width - 3 * unit) // 2, (height - 4 * unit) // 2, unit)


def frame_of_box(box: Box, share: float = 0.85) -> Frame:
    """A 3:4 window around a box of photo pixels, which fills `share` of it."""
    left, top, right, bottom = box
    height = max(bottom - top, (right - left) * HEIGHT / WIDTH) / share
    return Frame.around(
        (left + right) / 2 - 0.5 * height * WIDTH / HEIGHT, (top + bottom) / 2 - 0.5 * height, height
    )


def others(parse: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Where a parse map (H, W) shows other people than the one in `box` (its pixels), (H, W) bool: islands that lie
    mostly outside of her box. Nobody is another where nothing lies in the box."""
    person = (parse > 0).astype(np.uint8)
    count, islands, stats, _ = cv2.connectedComponentsWithStats(person)
    height, width = parse.shape
    margin = 0.08 * (box[2] - box[0])
    inside = np.zeros_like(person)
    left, right = (int(np.clip(x, 0, width)) for x in (box[0] - margin, box[2] + margin))
    top, bottom = (int(np.clip(y, 0, height)) for y in (box[1] - margin, box[3] + margin))
    inside[top:bottom, left:right] = 1
    own = np.bincount(islands[(inside & person) > 0], minlength=count)
    foreign = own < 0.5 * stats[:, cv2.CC_STAT_AREA]
    foreign[0] = False
    if foreign[1:].all():
        foreign[:] = False
    return np.asarray(foreign[islands])


def people(parse: np.ndarray) -> list[Box]:
    """Boxes of the people in a parse map (H, W), the largest first; one without a head counts for less.

    Parts that nearly touch belong together, and so do a head and the body right below it: VITON's maps call the
    neck background. A person must show a face, hair or skin, and be no speck.
    """
    person = (parse > 0).astype(np.uint8)
    near = max(3, min(parse.shape) // 40) | 1
    count, islands, stats, _ = cv2.connectedComponentsWithStats(
        cv2.dilate(person, np.ones((near, near), np.uint8))
    )
    sizes = {
        kind: np.bincount(islands[mask], minlength=count)
        for kind, mask in (
            ("all", person > 0),
            ("head", np.isin(parse, L.HEAD_LABELS)),
            ("living", np.isin(parse, (*L.SKIN_LABELS, L.HAIR))),
        )
    }
    belongs = np.arange(count)
    for head in range(1, count):
        if sizes["head"][head] < 0.7 * sizes["all"][head] or sizes["all"][head] < 6:
            continue
        bodies = [b for b in range(1, count) if b != head and _right_below(stats[head], stats[b])]
        bodies = [b for b in bodies if sizes["head"][b] < 0.3 * sizes["head"][head]]
        if bodies:
            belongs[head] = max(bodies, key=lambda b: sizes["all"][b])
    found = []
    for island in range(1, count):
        members = np.nonzero(belongs == island)[0]
        area = int(sizes["all"][members].sum())
        if (
            belongs[island] != island
            or area < LEAST_PERSON * parse.size
            or not sizes["living"][members].sum()
        ):
            continue
        inside = np.isin(islands, members) & (person > 0)
        rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
        headless = sizes["head"][members].sum() < LEAST_HEAD * area and rows[0] > 0.02 * len(parse)
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        found.append((area * (HEADLESS if headless else 1.0), box))
    return [box for _, box in sorted(found, reverse=True)]


def _right_below(head: np.ndarray, body: np.ndarray) -> bool:
    """Whether a body (OpenCV's statistics of a component) hangs below a head, a neck's length apart at most."""
    x, y, wide, tall = (int(v) for v in head[:4])
    left, top, across = (int(v) for v in body[:3])
    gap = top - (y + tall)
    middle = x + wide / 2
    return -0.5 * tall <= gap <= 0.9 * tall and left - 0.3 * wide <= middle <= left + across + 0.3 * wide


def first_frame(parse: np.ndarray, box: Box, coarse: Frame) -> Frame:
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
        guesses.append(float(np.clip((rows[-1] - rows[0] + 1) * HEIGHT / FACE, 0.45 * tall, 1.6 * tall)))
    window = 1.08 * (float(np.exp(np.mean(np.log(guesses)))) if guesses else tall)
    body = np.nonzero((part[: round(window)] > 0).any(0))[0]
    center = left + (body[0] + body[-1] + 1) / 2
    if face is not None:
        columns = np.nonzero(face.any(0))[0]
        center = 0.5 * center + 0.5 * (left + (columns[0] + columns[-1] + 1) / 2)
    scale = coarse.scale
    return Frame.around(
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


def viton_frame(keypoints: np.ndarray, rough: Frame) -> Frame:
    """VITON's own framing from the joints seen in the window `rough`; `rough` itself where they do not tell.

    `keypoints` (18, 3) in pixels of the 256×192 window.
    """
    seen = keypoints[:, 2] >= 0.3
    if not (seen[L.NECK] and seen[L.R_SHOULDER] and seen[L.L_SHOULDER]):
        return rough
    neck = keypoints[L.NECK, :2]
    shoulders = float(np.hypot(*(keypoints[L.R_SHOULDER, :2] - keypoints[L.L_SHOULDER, :2])))
    by_shoulders = TORSO_OF_SHOULDERS * shoulders
    length = by_shoulders
    center = float(neck[0])
    if seen[L.R_HIP] and seen[L.L_HIP]:
        hips = (keypoints[L.R_HIP, :2] + keypoints[L.L_HIP, :2]) / 2
        by_hips = float(np.hypot(*(hips - neck)))
        # Turned people have narrow shoulders, hips off the picture are guesses: trust them within reason.
        length = float(np.clip(by_hips, 0.75 * by_shoulders, 1.8 * by_shoulders))
        center = float(neck[0] + hips[0]) / 2 + 1.0
    window = float(np.clip(length / TORSO, 0.45, 1.7)) * HEIGHT
    scale = rough.scale
    return Frame.around(
        rough.left + (center - window * NECK_AT[0] / HEIGHT) * scale,
        rough.top + (float(neck[1]) - window * NECK_AT[1] / HEIGHT) * scale,
        window * scale,
    )
