"""Pictures as callers have them, Pillow images, NumPy arrays or paths, → arrays; masks, parse maps and joints likewise."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from vtcli.core.data import labels as L
from vtcli.core.data.annotations import read_mask, read_parse
from vtcli.core.data.images import flatten, open_rgb, open_rgba, same_shape
from vtcli.core.data.poses import read_pose
from vtcli.core.system.errors import UsageProblem
from vtcli.core.tryon.photos.problems import UnfitPhoto

Picture = Image.Image | np.ndarray | str | os.PathLike[str]
"""A Pillow image of any mode, an array (H, W, 3) uint8 in RGB or (H, W, 4) with alpha, or the path of a file."""

SLENDEREST = 12
"""Pictures whose one side is more than so many times the other are refused: the smallest 3:4 window around one would
not fit in memory."""


def rgb_of(picture: Picture) -> np.ndarray:
    """A photo (H, W, 3) uint8, upright, in sRGB, on white where it is transparent; an array of the caller's is copied.

    VtcliError: what cannot be read, an array of another shape or type, and strips.
    """
    return _whole(np.array(open_rgb(_source(picture))), "person")


def rgba_of(picture: Picture) -> tuple[Image.Image, np.ndarray]:
    """A shop photo with its own alpha channel (RGBA), and its colours on white (H, W, 3) uint8. Errors: as `rgb_of`."""
    image = open_rgba(_source(picture))
    return image, _whole(np.asarray(flatten(image)), "cloth")


def mask_of(mask: Picture, name: str) -> np.ndarray:
    """A mask (H, W) bool. Arrays may be bool, 0 and 1, or 0 to 255; in pictures 128 and above is in."""
    if not isinstance(mask, np.ndarray):
        return read_mask(mask if isinstance(mask, Image.Image) else Path(mask))
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[..., 0]
    if mask.ndim == 3 and mask.dtype == np.uint8 and mask.shape[2] in (3, 4):
        return read_mask(Image.fromarray(mask))
    if mask.ndim != 2 or mask.size == 0 or mask.dtype.kind not in "bui":
        raise UsageProblem(f"{name}: {_described(mask)}; expected (height, width), bool or 0 to 255")
    if mask.dtype == bool:
        return mask.copy()
    return np.asarray(mask > 0 if mask.max() == 1 else mask >= 128)


def parse_of(parse: Picture, size: tuple[int, int]) -> np.ndarray:
    """A parse map, LIP labels (H, W) uint8, at the photo's `size` (height, width)."""
    if isinstance(parse, np.ndarray):
        if parse.ndim != 2 or parse.size == 0 or parse.dtype.kind not in "ui":
            raise UsageProblem(f"parse map: {_described(parse)}; expected labels (height, width)")
        if parse.min() < 0 or parse.max() >= L.LABELS:
            raise UsageProblem(
                f"parse map: labels from {parse.min()} to {parse.max()}; LIP's go from 0 to {L.LABELS - 1}"
            )
        labels = parse.astype(np.uint8)
    else:
        labels = read_parse(parse if isinstance(parse, Image.Image) else Path(parse))
    return fitted(labels, size, "parse map")


def joints_of(keypoints: np.ndarray | str | os.PathLike[str], size: tuple[int, int]) -> np.ndarray:
    """COCO-18 joints (18, 3) float32 in a photo of `size` (height, width): an array, or the path of a pose file."""
    if not isinstance(keypoints, np.ndarray):
        return read_pose(Path(keypoints), size)
    if keypoints.shape != (L.JOINTS, 3) or not np.isfinite(keypoints).all():
        raise UsageProblem(f"joints: {_described(keypoints)}; expected ({L.JOINTS}, 3) finite numbers")
    return keypoints.astype(np.float32)


def fitted(array: np.ndarray, size: tuple[int, int], name: str, of: str = "photo") -> np.ndarray:
    """Labels or a mask (h, w) at the `size` (height, width) of the picture that it is `of`, by nearest neighbour; UsageProblem where the
    proportions are others."""
    height, width = array.shape
    if (height, width) == size:
        return array
    # Two per cent: maps are often made at a size that was rounded to a multiple of 16 or 32.
    if not same_shape((height, width), size) and abs(width * size[0] / (height * size[1]) - 1) > 0.02:
        raise UsageProblem(
            f"{name}: {width}×{height}, but the {of} is {size[1]}×{size[0]}; it must have the {of}'s proportions"
        )
    image = Image.fromarray(array.astype(np.uint8)).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return np.asarray(image).astype(array.dtype)


def _source(picture: Picture) -> Image.Image | Path:
    if isinstance(picture, Image.Image):
        return picture
    if isinstance(picture, str | os.PathLike):
        return Path(picture)
    if not isinstance(picture, np.ndarray):
        raise UsageProblem(
            f"a picture of type {type(picture).__name__}; expected a Pillow image, a NumPy array or a path"
        )
    if picture.ndim != 3 or picture.shape[2] not in (3, 4) or picture.dtype != np.uint8 or picture.size == 0:
        raise UsageProblem(f"a picture as {_described(picture)}; expected (height, width, 3) uint8, RGB")
    return Image.fromarray(picture)


def _whole(rgb: np.ndarray, picture: str) -> np.ndarray:
    height, width = rgb.shape[:2]
    if max(height, width) > SLENDEREST * min(height, width):
        raise UnfitPhoto(f"a picture of {width}×{height} is a strip, not a photo; crop it", picture, ())
    return rgb


def _described(array: np.ndarray) -> str:
    return f"an array {array.shape} of {array.dtype}"
