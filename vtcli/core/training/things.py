"""Things drawn in front of people: straps, bags, lanyards, phones, cups and microphones, with the mask of each.

Only shapes and shading, at four times the size: a network learns from them that what crosses a top and is no part of it
is carried, whatever it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from vtcli.core.data import labels as L

FINE = 4
"""How many times as large as the photo things are drawn."""
IN_FRONT = (*L.HEAD_LABELS, L.GLOVE)
"""Labels that hide a strap."""


@dataclass
class _Canvas:
    """What has been drawn so far, at `FINE` times the photo's size: `shape` (h, w) uint8 of 0 and 255; `shade` (h, w)
    float32, what brightens it."""

    shape: np.ndarray
    shade: np.ndarray

    @classmethod
    def of(cls, size: tuple[int, int]) -> _Canvas:
        tall, wide = size[0] * FINE, size[1] * FINE
        return cls(np.zeros((tall, wide), np.uint8), np.zeros((tall, wide), np.float32))

    def band(self, points: np.ndarray, width: float, light: float) -> None:
        """A band along `points` (n, 2) of the photo's pixels, darker at its edges."""
        line = np.round(points * FINE).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(self.shape, [line], False, 255, max(2, round(width * FINE)), cv2.LINE_AA)
        for part, value in ((1.0, -light), (0.6, 0.0), (0.25, light)):
            cv2.polylines(self.shade, [line], False, value, max(1, round(width * FINE * part)))

    def polygon(self, points: np.ndarray, light: float) -> None:
        """A filled polygon, lit from one side."""
        corners = np.round(points * FINE).astype(np.int32).reshape(-1, 1, 2)
        cv2.fillPoly(self.shape, [corners], 255, cv2.LINE_AA)
        mask = np.zeros_like(self.shape)
        cv2.fillPoly(mask, [corners], 255)
        left, _, wide, _ = cv2.boundingRect(corners)
        across = (np.arange(mask.shape[1], dtype=np.float32) - left) / max(wide, 1) * 2 - 1
        self.shade[:] = np.where(mask > 0, light * across, self.shade)


def put_thing(
    rng: np.random.Generator,
    photo: np.ndarray,
    parse: np.ndarray,
    joints: np.ndarray,
    textures: list[np.ndarray],
) -> np.ndarray | None:
    """Draw one thing onto `photo` (H, W, 3) uint8 in place, and say where it is seen, (H, W) bool; None where the joints
    (18, 3) do not tell where a thing could be. `parse` (H, W): the person's labels. `textures`: pictures (h, w, 3)
    uint8 of which a part may cover it."""
    needed = [L.R_SHOULDER, L.L_SHOULDER, L.R_HIP, L.L_HIP, L.NECK]
    if not L.joints_present(joints[needed]).all():
        return None
    canvas = _Canvas.of((photo.shape[0], photo.shape[1]))
    kinds: list[Callable[[np.random.Generator, _Canvas, np.ndarray], bool]] = [
        _crossing, _crossing, _shoulder_bag, _backpack, _lanyard, _held, _held, _clutch,
    ]  # fmt: skip
    before_arms = kinds[int(rng.integers(len(kinds)))](rng, canvas, joints[:, :2])
    mask = cv2.resize(canvas.shape, photo.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    hidden = np.isin(parse, IN_FRONT if before_arms else (*IN_FRONT, *L.ARM_LABELS))
    mask *= 1.0 - cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), 0.6)
    shade = cv2.resize(canvas.shade, photo.shape[1::-1], interpolation=cv2.INTER_AREA)[..., None]
    colours = _surface(rng, (photo.shape[0], photo.shape[1]), textures) + shade
    # Its shadow, then the thing.
    shadow = cv2.GaussianBlur(np.roll(mask, (2, int(rng.integers(-2, 3))), (0, 1)), (0, 0), 2.0)[..., None]
    under = photo * (1.0 - rng.uniform(0.0, 0.35) * shadow)
    photo[:] = np.clip(under + mask[..., None] * (colours - under), 0, 255).astype(np.uint8)
    seen: np.ndarray = mask > 0.5
    return seen


def _surface(rng: np.random.Generator, size: tuple[int, int], textures: list[np.ndarray]) -> np.ndarray:
    """What a thing is covered with, (h, w, 3) float32 in grey levels: mostly plain, and mostly dark."""
    if textures and rng.random() < 0.25:
        texture = textures[int(rng.integers(len(textures)))]
        top, left = (int(rng.integers(max(1, n // 2))) for n in texture.shape[:2])
        part = texture[top : top + texture.shape[0] // 2, left : left + texture.shape[1] // 2]
        return cv2.resize(part, size[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32)
    leather = rng.uniform(10, 60) + rng.normal(0, 8, 3)
    colour = leather if rng.random() < 0.5 else rng.uniform(0, 255, 3)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (*size, 1)).astype(np.float32), (0, 0), rng.uniform(0.4, 1.5))
    plain: np.ndarray = np.float32(colour) + np.atleast_3d(grain) * np.float32(rng.uniform(0, 12))
    return plain


def _between(rng: np.random.Generator, a: np.ndarray, b: np.ndarray, low: float, high: float) -> np.ndarray:
    out: np.ndarray = a + rng.uniform(low, high) * (b - a)
    return out


def _curve(start: np.ndarray, middle: np.ndarray, end: np.ndarray) -> np.ndarray:
    """A quadratic Bézier curve, (24, 2)."""
    t = np.linspace(0, 1, 24)[:, None]
    out: np.ndarray = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end
    return out


def _sides(
    rng: np.random.Generator, joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shoulder and hip of a random side, then of the other."""
    right, left = (joints[L.R_SHOULDER], joints[L.R_HIP]), (joints[L.L_SHOULDER], joints[L.L_HIP])
    one, other = (right, left) if rng.random() < 0.5 else (left, right)
    return (*one, *other)


def _crossing(rng: np.random.Generator, canvas: _Canvas, joints: np.ndarray) -> bool:
    """A strap from one shoulder to the other hip, a bag at its end or beyond the picture."""
    shoulder, _, _, hip = _sides(rng, joints)
    span = float(np.linalg.norm(joints[L.R_SHOULDER] - joints[L.L_SHOULDER]))
    start = _between(rng, shoulder, joints[L.NECK], 0.05, 0.7) - (0, 0.05 * span)
    end = hip + rng.normal(0, 0.15, 2) * span
    middle = (start + end) / 2 + rng.normal(0, 0.07, 2) * span
    canvas.band(_curve(start, middle, end), rng.uniform(0.02, 0.13) * span, rng.uniform(0, 35))
    if rng.random() < 0.6:
        _bag(rng, canvas, end, span * rng.uniform(0.4, 1.0))
    return bool(rng.random() < 0.5)


def _shoulder_bag(rng: np.random.Generator, canvas: _Canvas, joints: np.ndarray) -> bool:
    """One or two straps from a shoulder down the side, to a bag under the arm."""
    shoulder, hip, _, _ = _sides(rng, joints)
    span = float(np.linalg.norm(joints[L.R_SHOULDER] - joints[L.L_SHOULDER]))
    start = _between(rng, shoulder, joints[L.NECK], -0.05, 0.35) - (0, 0.05 * span)
    end = _between(rng, shoulder, hip, 0.4, 1.0) + rng.normal(0, 0.1, 2) * span
    width = rng.uniform(0.03, 0.12) * span
    for _ in range(int(rng.integers(1, 3))):
        aside = rng.normal(0, 0.08, 2) * span
        canvas.band(
            _curve(start + aside * 0.3, (start + end) / 2 + aside, end + aside), width, rng.uniform(0, 35)
        )
    _bag(rng, canvas, end, span * rng.uniform(0.5, 1.1))
    return bool(rng.random() < 0.4)


def _backpack(rng: np.random.Generator, canvas: _Canvas, joints: np.ndarray) -> bool:
    """A strap on each side, from the shoulder to the arm's pit."""
    span = float(np.linalg.norm(joints[L.R_SHOULDER] - joints[L.L_SHOULDER]))
    width, low = rng.uniform(0.06, 0.16) * span, rng.uniform(0.35, 0.7)
    for top, hip in ((L.R_SHOULDER, L.R_HIP), (L.L_SHOULDER, L.L_HIP)):
        start = _between(rng, joints[top], joints[L.NECK], 0.2, 0.45) - (0, 0.08 * span)
        end = joints[top] + low * (joints[hip] - joints[top]) + 0.1 * (joints[top] - joints[L.NECK])
        middle = (start + end) / 2 + 0.15 * (joints[L.NECK] - joints[top]) * rng.uniform(0, 1)
        canvas.band(_curve(start, middle, end), width, rng.uniform(0, 35))
    return False


def _lanyard(rng: np.random.Generator, canvas: _Canvas, joints: np.ndarray) -> bool:
    """A thin band around the neck with a card, or a camera, on the chest."""
    span = float(np.linalg.norm(joints[L.R_SHOULDER] - joints[L.L_SHOULDER]))
    hips = (joints[L.R_HIP] + joints[L.L_HIP]) / 2
    low = _between(rng, joints[L.NECK], hips, 0.35, 0.85)
    width = rng.uniform(0.015, 0.05) * span
    for side in (-1, 1):
        start = joints[L.NECK] + np.array([side * rng.uniform(0.1, 0.22), -0.12]) * span
        canvas.band(np.stack([start, low]), width, rng.uniform(0, 20))
    _box(rng, canvas, low, span * rng.uniform(0.12, 0.35), span * rng.uniform(0.15, 0.35))
    return True


def _held(rng: np.random.Generator, canvas: _Canvas, joints: np.ndarray) -> bool:
    """A phone, a cup, a book or a microphone in a hand, or close to where a hand could hold it."""
    span = float(np.linalg.norm(joints[L.R_SHOULDER] - joints[L.L_SHOULDER]))
    wrist = joints[L.R_WRIST] if rng.random() < 0.5 else joints[L.L_WRIST]
    middle = (joints[L.NECK] + joints[L.R_HIP]) / 2
    if wrist[0] < 2 or rng.random() < 0.3:
        wrist = middle + rng.normal(0, 0.35, 2) * span
    center = wrist + rng.normal(0, 0.15, 2) * span
    if rng.random() < 0.35:  # a microphone: a stick with a ball
        way = rng.uniform(0.3, 0.8) * span * _turned(rng.normal(-np.pi / 2, 0.6))
        canvas.band(np.stack([center, center + way]), rng.uniform(0.05, 0.11) * span, 20)
        canvas.band(np.stack([center + way, center + way * 1.02]), rng.uniform(0.12, 0.2) * span, 15)
    else:
        _box(rng, canvas, center, span * rng.uniform(0.15, 0.5), span * rng.uniform(0.25, 0.6))
    return bool(rng.random() < 0.5)


def _clutch(rng: np.random.Generator, canvas: _Canvas, joints: np.ndarray) -> bool:
    """A bag held before the body, with or without a handle."""
    span = float(np.linalg.norm(joints[L.R_SHOULDER] - joints[L.L_SHOULDER]))
    hips = (joints[L.R_HIP] + joints[L.L_HIP]) / 2
    center = _between(rng, joints[L.NECK], hips, 0.5, 1.1) + rng.normal(0, 0.3, 2) * span
    _bag(rng, canvas, center, span * rng.uniform(0.5, 1.2))
    return bool(rng.random() < 0.4)


def _bag(rng: np.random.Generator, canvas: _Canvas, top: np.ndarray, size: float) -> None:
    """A bag that hangs from `top`: a polygon with rounded or slanted sides, and a flap's seam now and then."""
    tall, slant = size * rng.uniform(0.5, 1.0), size * rng.uniform(-0.12, 0.12)
    half = size / 2
    corners = np.array(
        [(-half + slant, 0), (half - slant, 0), (half, tall * 0.85), (half * 0.85, tall), (-half * 0.85, tall), (-half, tall * 0.85)]
    )  # fmt: skip
    turn = rng.normal(0, 0.15)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    canvas.polygon(corners @ matrix.T + top, rng.uniform(5, 30))


def _box(rng: np.random.Generator, canvas: _Canvas, center: np.ndarray, wide: float, tall: float) -> None:
    corners = np.array([(-wide, -tall), (wide, -tall), (wide, tall), (-wide, tall)]) / 2
    turn = rng.normal(0, 0.4)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    canvas.polygon(corners @ matrix.T + center, rng.uniform(0, 30))


def _turned(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])
