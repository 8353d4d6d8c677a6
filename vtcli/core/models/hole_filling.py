"""Holes in a parse's garments, closed: where a print was taken for background nobody sees through a person, and where
it was taken for a face there is none."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.models.representation import torso

_OTHER = np.ones(256, np.uint8)  # 1 for labels that have no place on a top
_OTHER[[*L.TOP_LABELS, *L.ARM_LABELS, L.GLOVE]] = 0
_LEAST = 12  # pixels of a hole that is looked at
_AROUND = 0.95  # share of what surrounds it that is a top
_WITHIN = (
    0.7  # share of it that lies between shoulders and hips: beside the torso it may be the gap at an elbow
)


def close_garments(parse: Tensor, keypoints: Tensor) -> Tensor:
    """`parse` (B, H, W) uint8 LIP labels, in which what a top surrounds on the torso of `keypoints` (B, 18, 3: pixels),
    but for arms and hands, has that top's label; the same tensor where there is none."""
    maps = parse.cpu().numpy()
    closed = maps.copy()
    for i, one in enumerate(maps):
        holes = _holes(one)
        if holes:
            body = torso(one.shape, keypoints[i : i + 1])[0].cpu().numpy()
            for hole, label in holes:
                if body[hole].mean() >= _WITHIN:
                    closed[i][hole] = label
    return parse if np.array_equal(closed, maps) else torch.from_numpy(closed).to(parse.device)


def _holes(parse: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Parts of `parse` (H, W) that a top surrounds: where they are (H, W) bool, and its label."""
    other = _OTHER[parse]
    count, parts, stats, _ = cv2.connectedComponentsWithStats(other, connectivity=4)
    found = []
    for part in range(1, count):
        x, y, wide, tall, area = (int(v) for v in stats[part])
        if area < _LEAST or x == 0 or y == 0 or x + wide == parse.shape[1] or y + tall == parse.shape[0]:
            continue
        window = slice(y - 1, y + tall + 1), slice(x - 1, x + wide + 1)
        here = (parts[window] == part).astype(np.uint8)
        ring = (cv2.dilate(here, np.ones((3, 3), np.uint8)) > here).astype(bool)
        around = parse[window][ring]
        if np.isin(around, L.TOP_LABELS).mean() >= _AROUND:
            found.append((parts == part, int(np.bincount(around).argmax())))
    return found
