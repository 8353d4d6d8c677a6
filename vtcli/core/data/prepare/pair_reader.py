"""One pair's files → the arrays that the store holds, checked, hashed and at its size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from vtcli.core.data.annotations import read_mask, read_parse
from vtcli.core.data.images import (
    Letterbox,
    alpha_mask,
    background_colour,
    flatten,
    open_rgb,
    open_rgba,
    same_shape,
)
from vtcli.core.data.labels import JOINTS, LabelSet
from vtcli.core.data.layouts import PairFiles, Skip, relative_name
from vtcli.core.data.poses import read_pose
from vtcli.core.garments.cutout import garment_mask, is_studio
from vtcli.core.garments.given_mask import box_of, is_card, is_inverted
from vtcli.core.garments.masks import find_masks
from vtcli.core.system.errors import VtcliError

PARSER_FIELDS = frozenset({"parse", "keypoints"})
"""What the parser makes where a data set lacks it."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class PairReader:
    """Reads pairs for a store of `size` (height, width); a value that can be sent to another process."""

    root: Path
    size: tuple[int, int]
    labels: LabelSet

    def __call__(self, pair: PairFiles) -> Pair | Skip:
        """The pair as arrays, or the file on account of which it is left out."""
        read = self.given(pair)
        return with_masks(read) if isinstance(read, Pair) else read

    def given(self, pair: PairFiles) -> Pair | Skip:
        """The same without the masks that are found of the given one, "garment_mask" and "front_mask"."""
        try:
            return self._read(pair)
        except _Unusable as problem:
            return Skip(relative_name(self.root, problem.path), problem.reason)

    def photo_hash(self, pair: PairFiles) -> str:
        """Content hash of the pair's photo alone; empty where it cannot be read."""
        try:
            return content_hash(np.asarray(open_rgb(pair.image_file)))
        except VtcliError:
            return ""

    def _read(self, pair: PairFiles) -> Pair:
        photo = np.asarray(_try(pair.image_file, open_rgb))
        cut_out = _try(pair.cloth_file, open_rgba)
        cloth = np.asarray(flatten(cut_out))
        fit = Letterbox.between(photo.shape[:2], self.size)
        cloth_fit = Letterbox.between(cloth.shape[:2], self.size)
        fitted_cloth = cloth_fit.photo(cloth, background_colour(cloth))
        derived = []

        fitted_mask, found = self._cloth_mask(pair, cut_out, fitted_cloth)
        if found:
            derived.append("cloth_mask")
        if not fitted_mask.any():
            reason = "no garment stands out from its background" if derived else "the mask is empty"
            raise _Unusable(pair.cloth_file if derived else pair.mask_file or pair.cloth_file, reason)

        parse = np.zeros(self.size, np.uint8)
        if pair.parse_file is not None:
            own = _try(pair.parse_file, lambda path: read_parse(path, self.labels))
            parse = _refit(pair.parse_file, own, photo.shape[:2], self.size).labels(own)
        else:
            derived.append("parse")

        keypoints = np.zeros((JOINTS, 3), np.float32)
        if pair.pose_file is not None:
            size = photo.shape[:2]
            keypoints = fit.points(_try(pair.pose_file, lambda path: read_pose(path, size, allow_empty=True)))
        if not keypoints.any():
            derived.append("keypoints")

        arrays = {
            "image": fit.photo(photo),
            "cloth": fitted_cloth,
            "cloth_mask": np.where(fitted_mask, 255, 0).astype(np.uint8),
            "parse": parse,
            "keypoints": keypoints,
        }
        hashes = content_hash(photo), content_hash(photo, cloth)
        unsure = found and not is_studio(fitted_cloth)
        return Pair(pair.name, pair.cloth, *hashes, tuple(derived), arrays, unsure)

    def _cloth_mask(
        self, pair: PairFiles, cut_out: Image.Image, fitted: np.ndarray
    ) -> tuple[np.ndarray, bool]:
        """The garment's mask at the store's size, and whether it was found in the colours of the `fitted` shop photo: it is
        given, or the alpha channel of the picture's file marks it."""
        given = _try(pair.mask_file, read_mask) if pair.mask_file is not None else None
        mask = alpha_mask(cut_out) if given is None else given
        if mask is None:
            return garment_mask(fitted), True
        size = (cut_out.height, cut_out.width)
        there = _refit(pair.mask_file or pair.cloth_file, mask, size, self.size).mask(mask)
        if given is None and is_card(mask):
            found, box = np.zeros(self.size, bool), box_of(there)
            found[box] = garment_mask(fitted[box])
            # Nothing lies on the card: it is a garment of that outline.
            return (found, True) if found.any() else (there, False)
        if given is None and is_inverted(mask):
            reason = "transparent in the middle and opaque around it: its alpha channel is inverted"
            raise _Unusable(pair.cloth_file, reason)
        return there, False


@dataclass
class Pair:
    """One pair, ready for the store but for the fields in `derived` that the parser fills ("parse",
    "keypoints"). `photo_hash` and `pair_hash` are of the decoded pixels at their own size. `unsure`: the garment lies on a
    background from which its colours alone do not tell it."""

    name: str
    cloth: str
    photo_hash: str
    pair_hash: str
    derived: tuple[str, ...]
    arrays: dict[str, np.ndarray]
    unsure: bool = False


def with_masks(pair: Pair) -> Pair:
    """The pair with the masks that are found of its "cloth_mask"."""
    masks = find_masks(pair.arrays["cloth"], pair.arrays["cloth_mask"] > 0)
    pair.arrays["garment_mask"] = np.where(masks.whole, 255, 0).astype(np.uint8)
    pair.arrays["front_mask"] = np.where(masks.front, 255, 0).astype(np.uint8)
    return pair


def content_hash(*pictures: np.ndarray) -> str:
    """Hash of pixels and sizes: equal for files that decode alike, whatever their names or metadata."""
    digest = blake2b(digest_size=16)
    for picture in pictures:
        digest.update(repr(picture.shape).encode())
        digest.update(np.ascontiguousarray(picture).data)
    return digest.hexdigest()


class _Unusable(Exception):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path = path
        self.reason = reason


def _try(path: Path, read: Callable[[Path], Value]) -> Value:
    try:
        return read(path)
    except VtcliError as problem:
        raise _Unusable(path, str(problem).removeprefix(f"{path}: ")) from problem


def _refit(path: Path, array: np.ndarray, partner: tuple[int, ...], size: tuple[int, int]) -> Letterbox:
    """How an annotation goes into the store: as its photo does, though it may be smaller or larger."""
    own = (array.shape[0], array.shape[1])
    if not same_shape(own, (partner[0], partner[1])):
        raise _Unusable(
            path, f"is {own[1]}x{own[0]}, which does not fit its picture of {partner[1]}x{partner[0]}"
        )
    return Letterbox.between(own, size)
