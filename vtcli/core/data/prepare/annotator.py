"""Parse maps and joints that a data set lacks, by the parser."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vtcli.core.data.labels import JOINTS, LABELS
from vtcli.core.data.prepare.pair_reader import PARSER_FIELDS, Pair
from vtcli.core.system.errors import VtcliError

Annotate = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(n, H, W, 3) uint8 photos → LIP labels (n, H, W) uint8 and COCO-18 joints (n, 18, 3) float32."""
LoadAnnotator = Callable[[], tuple[Annotate, str]]
"""Loads the parser when it is first needed; returns it and the SHA-256 of its weights."""

_BATCH = 32


class Annotator:
    """The parser, loaded when it is first needed; without `load` there is none."""

    def __init__(self, load: LoadAnnotator | None) -> None:
        self._load = load
        self._loaded: tuple[Annotate, str] | None = None

    @property
    def sha256(self) -> str:
        """Of the parser's weights."""
        return self._get()[1]

    @property
    def available(self) -> bool:
        """Whether there is a parser."""
        return self._load is not None

    def see(self, pairs: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray]:
        """What the parser sees in the photos of a few `pairs`: labels (n, H, W) and joints (n, 18, 3)."""
        return self._get()[0](np.stack([pair.arrays["image"] for pair in pairs]))

    def fill(self, pairs: Sequence[Pair]) -> str:
        """Fill in the missing parse maps and joints of `pairs`; returns the hash of the weights, "" if not needed.

        VtcliError when there is no parser but something is missing.
        """
        incomplete = [pair for pair in pairs if PARSER_FIELDS & set(pair.derived)]
        if not incomplete:
            return ""
        annotate, sha256 = self._get()
        for start in range(0, len(incomplete), _BATCH):
            _fill(annotate, incomplete[start : start + _BATCH])
        return sha256

    def _get(self) -> tuple[Annotate, str]:
        if self._loaded is None:
            if self._load is None:
                raise VtcliError("parse maps or joints are missing, and there is no parser to make them")
            self._loaded = self._load()
        return self._loaded


def _fill(annotate: Annotate, pairs: Sequence[Pair]) -> None:
    photos = np.stack([pair.arrays["image"] for pair in pairs])
    parses, keypoints = annotate(photos)
    if parses.shape != photos.shape[:3] or keypoints.shape != (len(pairs), JOINTS, 3):
        raise ValueError(f"annotator gave {parses.shape} and {keypoints.shape} for {photos.shape}")
    if int(parses.max()) >= LABELS:
        raise ValueError(f"annotator gave label {parses.max()}")
    for pair, parse, joints in zip(pairs, parses, keypoints, strict=True):
        if "parse" in pair.derived:
            pair.arrays["parse"] = parse.astype(np.uint8)
        if "keypoints" in pair.derived:
            pair.arrays["keypoints"] = joints.astype(np.float32)
