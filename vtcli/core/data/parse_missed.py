"""What a given parse map misses: pieces of the person that it calls background, and vtcli's parser knows. VITON's maps were made
by a network, too: of 48 people looked at, four lack a sleeve or half of a top, which would stay in the picture."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.areas import disc
from vtcli.core.data.hole_filling import fill_holes

LABELS = (*L.TOP_LABELS, *L.ARM_LABELS, L.GLOVE, *L.LOWER_LABELS)
"""What is added: what a try-on changes, and what it leaves below."""
SURE = 0.8
"""Probability from which narrow pieces are added as well; others must be wider than 4 pixels. With pieces of every width from 0.5 on,
outlines grow by a pixel, and paired results lose 0.13 dB."""


def add_missed(parse: Tensor, seen: Tensor, keypoints: Tensor) -> Tensor:
    """`parse` (B, H, W) uint8 LIP labels as given, and where it says background what the parser sees, `seen` (B, 20, H, W)
    probabilities; tops get the label that the given top has. Holes that a top surrounds are filled before. `keypoints` (B, 18, 3)
    in pixels."""
    chance, labels = (x.cpu().numpy() for x in seen.max(1))
    maps = fill_holes(parse, keypoints).cpu().numpy().copy()
    for given, found, sure in zip(maps, labels.astype(np.uint8), chance, strict=True):
        missed = (given == L.BACKGROUND) & np.isin(found, LABELS) & (sure >= 0.5)
        piece = _wider(missed, 2) | _wider(missed & (sure >= SURE), 1)
        tops = given[np.isin(given, L.TOP_LABELS)]
        if len(tops):
            found = np.where(np.isin(found, L.TOP_LABELS), np.bincount(tops).argmax(), found)
        given[piece] = found[piece]
    return torch.from_numpy(maps).to(parse.device)


def _wider(pieces: np.ndarray, radius: int) -> np.ndarray:
    """Those of `pieces` (H, W) bool that a disc of `radius` pixels fits into, (H, W) bool."""
    out: np.ndarray = cv2.morphologyEx(pieces.astype(np.uint8), cv2.MORPH_OPEN, disc(radius)) > 0
    return out
