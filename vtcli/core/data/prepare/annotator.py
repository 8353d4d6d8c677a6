"""What a data set lacks, by vtcli's networks: parse maps and joints, and garments' masks on backgrounds that are no studio's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from vtcli.core.data.labels import JOINTS, LABELS
from vtcli.core.data.prepare.pair_reader import PARSER_FIELDS, Pair, with_masks
from vtcli.core.system.errors import VtcliError


class Annotate(Protocol):
    """vtcli's networks, as `prepare` asks them."""

    sha256: str
    """Of the parser's weights."""

    def people(self, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, H, W, 3) uint8 photos → LIP labels (n, H, W) uint8 and COCO-18 joints (n, 18, 3) float32."""

    def garment(self, picture: np.ndarray) -> np.ndarray | None:
        """The garment on a shop photo (H, W, 3) uint8 of any background, (H, W) bool; None without a network that finds it."""


LoadAnnotator = Callable[[], Annotate]
"""Loads the networks when they are first needed."""

_BATCH = 32


class Annotator:
    """The networks, loaded when they are first needed; without `load` there are none."""

    def __init__(self, load: LoadAnnotator | None) -> None:
        self._load = load
        self._loaded: Annotate | None = None

    @property
    def sha256(self) -> str:
        """Of the parser's weights."""
        return self._get().sha256

    @property
    def available(self) -> bool:
        """Whether there is a parser."""
        return self._load is not None

    def see(self, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
        """What the parser sees in the photos of a few `pairs`: labels (n, H, W) and joints (n, 18, 3)."""
        return self._get().people(np.stack([pair.arrays["image"] for pair in pairs]))

    def fill(self, pairs: Sequence[Pair]) -> str:
        """Fill in the missing parse maps and joints of `pairs`, and cut garments out anew where their colours were not enough;
        returns the hash of the weights, "" if not needed.

        VtcliError when there is no parser but something is missing.
        """
        unsure = [pair for pair in pairs if pair.unsure] if self.available else []
        incomplete = [pair for pair in pairs if PARSER_FIELDS & set(pair.derived)]
        if not incomplete and not unsure:
            return ""
        annotate = self._get()
        for start in range(0, len(incomplete), _BATCH):
            _fill(annotate, incomplete[start : start + _BATCH])
        for pair in unsure:
            mask = annotate.garment(pair.arrays["cloth"])
            if mask is not None and mask.any():
                pair.arrays["cloth_mask"] = np.where(mask, 255, 0).astype(np.uint8)
                with_masks(pair)
        return annotate.sha256

    def _get(self) -> Annotate:
        if self._loaded is None:
            if self._load is None:
                raise VtcliError("parse maps or joints are missing, and there is no parser to make them")
            self._loaded = self._load()
        return self._loaded


def _fill(annotate: Annotate, pairs: Sequence[Pair]) -> None:
    photos = np.stack([pair.arrays["image"] for pair in pairs])
    parses, keypoints = annotate.people(photos)
    if parses.shape != photos.shape[:3] or keypoints.shape != (len(pairs), JOINTS, 3):
        raise ValueError(f"annotator gave {parses.shape} and {keypoints.shape} for {photos.shape}")
    if int(parses.max()) >= LABELS:
        raise ValueError(f"annotator gave label {parses.max()}")
    for pair, parse, joints in zip(pairs, parses, keypoints, strict=True):
        if "parse" in pair.derived:
            pair.arrays["parse"] = parse.astype(np.uint8)
        if "keypoints" in pair.derived:
            pair.arrays["keypoints"] = joints.astype(np.float32)
