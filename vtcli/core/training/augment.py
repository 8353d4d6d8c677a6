"""Augmentation of single pictures with OpenCV, driven by a seeded generator."""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.data import labels as L

cv2.setNumThreads(0)  # the loader is a thread beside torch's own

PERSON_MOVE = ((0.93, 1.1), 0.04, 3.0)
"""How far pairs' people are moved: factor, share of the picture's sides, degrees."""
GARMENT_MOVE = ((0.92, 1.06), 0.03, 2.0)
"""The same of their garments."""
COLOUR = 0.6
"""Strength of a pair's change of colour, made with probability one half."""


def affine(
    rng: np.random.Generator, center: tuple[float, float], height: float, size: tuple[int, int],
    scale: tuple[float, float], shift: float, angle: float,
) -> np.ndarray:  # fmt: skip
    """A random (2, 3) matrix from source pixels to an output of `size` (height, width).

    `center` of the source goes to the output's middle, moved by up to `shift` of its sides; a source length
    `height` becomes `scale` times the output's height (log-uniform); `angle` bounds the turn in degrees.
    """
    factor = np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]))) * size[0] / height
    turn = np.deg2rad(rng.uniform(-angle, angle))
    cos, sin = factor * np.cos(turn), factor * np.sin(turn)
    to = (size[1] * (0.5 + rng.uniform(-shift, shift)), size[0] * (0.5 + rng.uniform(-shift, shift)))
    return np.array(
        [[cos, -sin, to[0] - cos * center[0] + sin * center[1]],
         [sin, cos, to[1] - sin * center[0] - cos * center[1]]],
    )  # fmt: skip


def mirror(matrix: np.ndarray, width: int) -> np.ndarray:
    """`matrix` followed by a horizontal flip of an output `width` pixels wide."""
    flipped = matrix.copy()
    flipped[0] = -flipped[0]
    flipped[0, 2] += width - 1
    return flipped


def warp_image(
    image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], border: int | None = None
) -> np.ndarray:
    """Photo through `matrix`; outside of it the edge goes on, or `border` grey if given."""
    factor = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if factor < 0.6:  # bilinear sampling alone would alias
        image = cv2.GaussianBlur(image, (0, 0), 0.35 / factor)
    mode, value = (cv2.BORDER_REPLICATE, 0) if border is None else (cv2.BORDER_CONSTANT, border)
    return cv2.warpAffine(
        image, matrix, (size[1], size[0]), flags=cv2.INTER_LINEAR, borderMode=mode, borderValue=[value] * 3
    )


def warp_labels(
    labels: np.ndarray, matrix: np.ndarray, size: tuple[int, int], outside: int = 0
) -> np.ndarray:
    """Label map through `matrix`, nearest neighbour, `outside` beyond its edge."""
    return cv2.warpAffine(
        labels,
        matrix,
        (size[1], size[0]),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=outside,
    )


def warp_correspondence(places: np.ndarray, move: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """A correspondence (h, w, 2) at half the size: `move` (2, 3) moves the pixels that it is for, `shift` (2, 3) the
    picture that its places (x, y) lie in; both are in pixels of the full size. NaN where nothing is known."""
    if not np.isfinite(places).any():
        return places
    half = move.copy()
    half[:, 2] /= 2.0
    height, width = places.shape[:2]
    moved = cv2.warpAffine(
        places, half, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT,
        borderValue=[float("nan")] * 2,
    )  # fmt: skip
    out: np.ndarray = (moved @ shift[:, :2].T + shift[:, 2]).astype(np.float32)
    return out


def warp_keypoints(keypoints: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Joints (18, 3) through `matrix`; those that leave the picture become absent."""
    moved = np.zeros_like(keypoints)
    points = keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    there = L.joints_present(keypoints)
    inside = L.joints_inside(points, size)
    moved[there & inside, :2] = points[there & inside]
    moved[there & inside, 2] = keypoints[there & inside, 2]
    return moved


def mirror_keypoints(keypoints: np.ndarray) -> np.ndarray:
    """Left and right joints exchanged (x has been mirrored already)."""
    return keypoints[L.FLIP_JOINTS]


def colour(rng: np.random.Generator, image: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """Random gamma, contrast, brightness, white balance and saturation, by one look-up table per channel."""
    levels = np.arange(256, dtype=np.float32) / 255.0
    gamma = np.exp(rng.normal(0.0, 0.2 * strength))
    contrast = 1.0 + rng.normal(0.0, 0.12 * strength)
    brightness = rng.normal(0.0, 0.05 * strength)
    gains = 1.0 + rng.normal(0.0, 0.04 * strength, 3)
    table = np.stack([(levels**gamma * g - 0.5) * contrast + 0.5 + brightness for g in gains], axis=1)
    out = cv2.LUT(image, (np.clip(table, 0, 1) * 255).astype(np.uint8).reshape(1, 256, 3))
    if rng.random() < 0.5 * strength:
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        weight = float(np.clip(1.0 + rng.normal(0.0, 0.35), 0.0, 1.8))
        out = cv2.addWeighted(out, weight, grey, 1.0 - weight, 0.0)
    return out


def degrade(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Sometimes blur, sensor noise, or JPEG artefacts, as photos from phones and chats have them."""
    kind = rng.random()
    if kind < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    elif kind < 0.25:
        noise = rng.normal(0.0, rng.uniform(2, 10), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        if ok:
            image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR))
    return image
