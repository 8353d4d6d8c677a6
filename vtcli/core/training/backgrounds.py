"""People set on other backgrounds, so that the networks see more than a studio's wall."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from vtcli.core.data.body_regions import neck_region
from vtcli.core.training.augment import colour


def background(rng: np.random.Generator, size: tuple[int, int], photos: Sequence[np.ndarray]) -> np.ndarray:
    """A random background (H, W, 3) uint8: a piece of a photo, a gradient, noise, a rough texture, or one colour."""
    height, width = size
    kind = rng.random()
    if photos and kind < 0.6:
        photo = photos[int(rng.integers(len(photos)))]
        tall = int(rng.uniform(0.4, 1.0) * photo.shape[0])
        wide = min(photo.shape[1], max(24, tall * width // height))
        top = int(rng.integers(photo.shape[0] - tall + 1))
        left = int(rng.integers(photo.shape[1] - wide + 1))
        piece = cv2.resize(
            photo[top : top + tall, left : left + wide], (width, height), interpolation=cv2.INTER_LINEAR
        )
        return colour(rng, np.ascontiguousarray(piece[:, ::-1]) if rng.random() < 0.5 else piece)
    if kind < 0.75:
        corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.float32)
        return np.clip(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR), 0, 255).astype(
            np.uint8
        )
    if kind < 0.85:
        cells = int(rng.integers(3, 40))
        mean, spread = rng.uniform(40, 215, 3), rng.uniform(5, 60)
        noise = rng.normal(mean, spread, (cells, max(2, cells * width // height), 3)).astype(np.float32)
        return np.clip(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(
            np.uint8
        )
    if kind < 0.95:
        return _texture(rng, size)
    return np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), (height, width, 3)).copy()


def _texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Grass, gravel, bark, cloth: noise over several scales, finer or coarser, stretched in one direction or not, in
    shades between two colours."""
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    total, fading = np.zeros(size, np.float32), rng.uniform(0.5, 1.1)
    stretch, angle = float(np.exp(rng.uniform(0, 1.5))), rng.uniform(0, np.pi)
    along = (np.cos(angle) * columns + np.sin(angle) * rows) / stretch
    across = np.cos(angle) * rows - np.sin(angle) * columns
    finest = rng.uniform(1.5, 8.0)
    for octave in range(5):
        noise = rng.normal(size=(64, 64)).astype(np.float32)
        cell = finest * 2**octave
        x, y = ((np.abs(way / cell) % 63).astype(np.float32) for way in (along, across))
        total += fading**octave * cv2.remap(noise, x, y, cv2.INTER_LINEAR)
    low, high = np.percentile(total, (2, 98))
    share = np.clip((total - low) / (high - low), 0, 1)[..., None] ** rng.uniform(0.5, 2.0)
    vivid = rng.uniform(5, 70)
    one, other = (np.clip(rng.uniform(0, 255) + rng.normal(0, vivid, 3), 0, 255) for _ in range(2))
    if rng.random() < 0.5:
        other = np.clip(one * rng.uniform(0.2, 1.8), 0, 255)  # shades of one colour
    return (one + share * (other - one)).astype(np.uint8)


def person_mask(image: np.ndarray, parse: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Where the person is, (H, W) bool: every label, and the neck that VITON's maps call background.

    The neck is background that has person on all four sides, lies between the nose and the chest, and is not
    as bright and grey as a studio background.
    """
    neck = neck_region(torch.from_numpy(parse)[None], torch.from_numpy(keypoints)[None])[0].numpy()
    return (parse > 0) | (neck & ~plain(image))


def plain(image: np.ndarray) -> np.ndarray:
    """Where `image` (H, W, 3) uint8 is as bright and grey as a studio's background, (H, W) bool; limits set by hand."""
    low = image.min(axis=2)
    out: np.ndarray = (low > 222) & (image.max(axis=2) - low < 18)
    return out


def replace_background(
    rng: np.random.Generator, image: np.ndarray, person: np.ndarray, photos: Sequence[np.ndarray]
) -> np.ndarray:
    """The person `person` (H, W) bool of `image` (H, W, 3) uint8 on a random background."""
    return set_before(image, person, background(rng, image.shape[:2], photos))


def soft_mask(person: np.ndarray) -> np.ndarray:
    """How much of a pixel stays the person's, (H, W) uint8, 255 for all of it; `person` (H, W) bool."""
    alpha = cv2.erode(person.astype(np.uint8) * 255, np.ones((3, 3), np.uint8))
    out: np.ndarray = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.8))
    return out


def set_before(image: np.ndarray, person: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """The person of `image` on the background `behind`, both (H, W, 3) uint8. The cut's edge is a pixel inside of
    `person` (H, W) bool and soft, so that no white rim stays."""
    soft = soft_mask(person)[..., None].astype(np.float32) / 255.0
    return np.clip(image * soft + behind * (1.0 - soft) + 0.5, 0, 255).astype(np.uint8)
