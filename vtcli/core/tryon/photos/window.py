"""A 3:4 window of a photo, and what moves between the two: pixels, labels, joints and boxes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

HEIGHT, WIDTH = 256, 192
"""The networks' size."""
Box = tuple[int, int, int, int]
"""(left, top, right, bottom), ends not included."""


@dataclass(frozen=True)
class Window:
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
    def around(cls, left: float, top: float, height: float) -> Window:
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
        there = (keypoints[:, 0] > 1) & (keypoints[:, 1] > 1)
        inside = (moved[:, :2] > 1).all(1) & (moved[:, 0] < WIDTH) & (moved[:, 1] < HEIGHT)
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


def whole(rgb: np.ndarray) -> Window:
    """The smallest 3:4 window that holds the whole photo, centred."""
    height, width = rgb.shape[:2]
    unit = max(-(-height // 4), -(-width // 3))
    return Window((width - 3 * unit) // 2, (height - 4 * unit) // 2, unit)


def frame_of_box(box: Box, share: float = 0.85) -> Window:
    """A 3:4 window around a box of photo pixels, which fills `share` of it."""
    left, top, right, bottom = box
    height = max(bottom - top, (right - left) * HEIGHT / WIDTH) / share
    return Window.around(
        (left + right) / 2 - 0.5 * height * WIDTH / HEIGHT, (top + bottom) / 2 - 0.5 * height, height
    )
