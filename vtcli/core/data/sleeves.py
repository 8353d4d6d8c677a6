"""Where a sleeve ends: the cut of a garment, measured on the person who wears it.

A garment ends at the same place of the arm on anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.data.arms import ARMS
from vtcli.core.data.body_regions import torso

POINTS = 40
"""Points along an arm, shoulder to wrist."""
CONTRADICTIONS = 0.2
"""Share of an arm's points that may lie on the wrong side of the sleeve end; more, and the arm does not count."""
LEAST_POINTS = 10
"""Points that must show cloth or skin; fewer, and the arm does not count."""


@dataclass(frozen=True)
class SleeveEnd:
    """Somewhere between `cloth`, the last place that shows cloth, and `skin`, the first that shows skin: 0 is the
    shoulder, 0.5 the elbow, 1 the wrist."""

    cloth: float
    skin: float

    @property
    def middle(self) -> float:
        """The middle of the interval."""
        return (self.cloth + self.skin) / 2

    def distance(self, other: SleeveEnd) -> float:
        """Between the two intervals; 0 where they overlap."""
        return max(0.0, self.cloth - other.skin, other.cloth - self.skin)


def sleeve_ends(
    parse: np.ndarray, keypoints: np.ndarray, contradictions: float = CONTRADICTIONS
) -> tuple[SleeveEnd | None, SleeveEnd | None]:
    """Of the right and the left arm of one person: `parse` (H, W) LIP labels, `keypoints` (18, 3) in its pixels. None
    for an arm that is not seen well enough.

    Each of `POINTS` points along the arm is cloth or skin by the majority of its 3×3 neighbourhood; points over the
    torso are left out. The sleeve ends where the fewest points contradict; with more than the share `contradictions` of
    them, the arm does not count.
    """
    body = torso(parse.shape, torch.from_numpy(np.asarray(keypoints, np.float32))[None])[0].numpy()  # type: ignore[arg-type]
    kinds = np.zeros(parse.shape, np.int8)
    kinds[np.isin(parse, (*L.TOP_LABELS, L.JUMPSUITS))] = 1
    kinds[np.isin(parse, (*L.ARM_LABELS, L.GLOVE))] = 2
    right, left = (_arm_end(kinds, body, keypoints, arm, contradictions) for arm in ARMS)
    return right, left


def _arm_end(
    kinds: np.ndarray,
    body: np.ndarray,
    keypoints: np.ndarray,
    arm: tuple[int, int, int],
    contradictions: float,
) -> SleeveEnd | None:
    if not all(keypoints[j, 0] > 1 and keypoints[j, 1] > 1 for j in arm):
        return None
    shoulder, elbow, wrist = (keypoints[j, :2] for j in arm)
    along = (np.arange(POINTS) + 0.5) / POINTS
    share = np.where(along < 0.5, along, along - 0.5)[:, None] * 2
    points = np.where(
        along[:, None] < 0.5, shoulder + share * (elbow - shoulder), elbow + share * (wrist - elbow)
    )
    columns, rows = np.round(points).astype(int).T
    height, width = kinds.shape
    places, cloth = [], []
    for t, x, y in zip(along, columns, rows, strict=True):
        if not (1 <= x < width - 1 and 1 <= y < height - 1) or body[y, x]:
            continue
        near = kinds[y - 1 : y + 2, x - 1 : x + 2]
        if (near == 1).sum() >= 5 or (near == 2).sum() >= 5:
            places.append(float(t))
            cloth.append(bool((near == 1).sum() >= 5))
    if len(places) < LEAST_POINTS:
        return None
    is_cloth = np.array(cloth)
    # split i: the first i points are cloth, the others skin
    wrong = (
        np.concatenate([[0], np.cumsum(~is_cloth)])
        + is_cloth.sum()
        - np.concatenate([[0], np.cumsum(is_cloth)])
    )
    split = int(wrong.argmin())
    if wrong[split] > contradictions * len(places):
        return None
    return SleeveEnd(places[split - 1] if split else 0.0, places[split] if split < len(places) else 1.0)
