"""Arms that the new garment bares are as wide as the person's arms, not as wide as the old sleeves.

M_exp takes the outline of a wide old sleeve for the arm's now and then. Bones and what is seen of the arms tell better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.data.arms import ARMS, SIDES, arm_places, half_widths
from vtcli.core.data.body_regions import torso

USUAL, LEAST, MOST = 1.15, 0.85, 1.4
"""How many times as wide a person's arms are where they are not seen, and where they are, at least and at most: nine in
ten of VITON's people have no more than 1.25."""
SLACK = 1.12
"""How much wider an arm may be drawn than it was found."""
ENOUGH, ENOUGH_OF_A_SIDE = 150, 40
"""Pixels of bare arms at 256×192, and of one arm to one side of its bones, that tell how wide arms are, and this one there."""
LEAST_OF_A_SIDE = 0.5
"""What an arm measures at least to one side of its bones, in usual half widths."""
BELOW = 0.2
"""Share of an arm below the sleeve by which its width there is known."""


def with_own_arms(after: np.ndarray, before: np.ndarray, keypoints: torch.Tensor) -> np.ndarray:
    """M_exp `after` (20, 256, 192) with background where it bares an arm further from the bones than the person's arms
    reach. `before` (20, 256, 192): the photo's parse; `keypoints` (1, 18, 3) in pixels of 256×192. An arm without its
    joints is left alone."""
    size = (after.shape[1], after.shape[2])
    along, distance = arm_places(keypoints.float().cpu(), size)[0].numpy()
    beside = ~torso(size, keypoints.cpu())[0].numpy()
    reach = distance / half_widths(along)
    there = L.joints_present(keypoints[0].cpu())
    known = zip(SIDES, ARMS, strict=True)
    arms = [label for label, joints in known if bool(there[list(joints)].all())]
    bare = before[arms].sum(0) > 0.5
    seen = bare & beside & (along > 0.1) & (along < 0.95) & (reach < 2)
    width = USUAL
    if seen.sum() >= ENOUGH:
        width = float(np.clip(np.percentile(reach[seen], 95), LEAST, MOST))
    most = np.full(size, width, np.float32)
    for label, part in _outer_sides(keypoints[0].cpu().numpy(), along, arms):
        mine = part & (before[label] > 0.5) & seen
        if mine.sum() >= ENOUGH_OF_A_SIDE:
            # Just below the sleeve, so that an arm has no step where the sleeve ended.
            near = mine & (along < np.percentile(along[mine], 5) + BELOW)
            most[part] = np.clip(np.percentile(reach[near], 95), LEAST_OF_A_SIDE, MOST)
    wide = ~bare & beside & (reach > SLACK * most) & (after[arms].sum(0) > 0.3)
    if not wide.any():
        return after
    out = after.copy()
    out[L.BACKGROUND] += np.where(wide, out[arms].sum(0), 0.0)
    out[arms] *= ~wide
    return out


def _outer_sides(
    joints: np.ndarray, along: np.ndarray, arms: Sequence[int]
) -> Iterator[tuple[int, np.ndarray]]:
    """Label and pixels (256, 192) bool of each of the `arms` on the side of its bones that is turned away from the torso: an
    arm's joints are seldom in its middle."""
    rows, columns = np.mgrid[: along.shape[0], : along.shape[1]].astype(np.float32)
    pixels, lower = np.stack([columns, rows], -1), along > 0.5
    sides: list[tuple[int, np.ndarray, np.ndarray]] = []
    for label, (shoulder, elbow, wrist) in zip(SIDES, ARMS, strict=True):
        if label not in arms:
            continue
        first, middle, last = joints[[shoulder, elbow, wrist], :2]
        across = np.where(lower, _across(middle, last, pixels), _across(first, middle, pixels))
        inner = np.sign(_across(first, middle, joints[L.NECK, :2]))
        sides.append((label, across * inner < 0, np.abs(across)))
    nearest = np.argmin([away for _, _, away in sides], axis=0) if sides else None
    for number, (label, outer, _) in enumerate(sides):
        yield label, outer & (nearest == number)


def _across(start: np.ndarray, stop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far `points` (…, 2) lie to one side of the line from `start` to `stop` (2,), negative to the other: (…)."""
    bone, away = stop - start, points - start
    out: np.ndarray = (bone[0] * away[..., 1] - bone[1] * away[..., 0]) / max(float(np.hypot(*bone)), 1e-3)
    return out
