"""Arms as joints tell them: where pixels lie beside their bones, and how wide arms are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L

ARMS = ((L.R_SHOULDER, L.R_ELBOW, L.R_WRIST), (L.L_SHOULDER, L.L_ELBOW, L.L_WRIST))
"""Joints of the right and of the left arm, in the order of `SIDES`."""
SIDES = (L.RIGHT_ARM, L.LEFT_ARM)
"""Their labels."""
FOLDED = -0.5
"""Cosine of the angle between the directions of upper arm and forearm below which they lie side by side: 60 degrees between
the bones."""
_ALONG = (0.05, 0.25, 0.45, 0.65, 0.85, 1.0)
_HALF_WIDTHS = (0.105, 0.087, 0.075, 0.074, 0.062, 0.056)
# Half an arm's width at places along it, in lengths from neck to hips: the 97th percentile of the distance of VITON's arm
# pixels from the bones, median of 790 training people. Nine in ten of them have at most 1.25 times as much.


def half_widths(along: np.ndarray) -> np.ndarray:
    """Half the width of a usual bare arm at places `along` it, in lengths from neck to hips."""
    out: np.ndarray = np.interp(along, _ALONG, _HALF_WIDTHS)
    return out


def arm_places(keypoints: Tensor, size: tuple[int, int], arms: tuple[tuple[int, ...], ...] = ARMS) -> Tensor:
    """Where pixels lie beside the nearer of the `arms`, (B, 2, h, w) of `size`: along it, 0 at the shoulder, 0.5 at the
    elbow and 1 at the wrist; and how far from its bones, in lengths from neck to hips. `keypoints` (B, 18, 3) in pixels
    of `size`. An arm without its three joints is far from everything."""
    rows, columns = (torch.arange(n, device=keypoints.device, dtype=torch.float32) for n in size)
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]
    there = L.joints_present(keypoints)
    best = keypoints.new_full((len(keypoints), *size), 1e6)
    along = torch.zeros_like(best)
    for arm in arms:
        seen = there[:, arm[0]] & there[:, arm[1]] & there[:, arm[2]]
        for first, (start, stop) in enumerate(itertools.pairwise(arm)):
            origin, bone = keypoints[:, start, :2], keypoints[:, stop, :2] - keypoints[:, start, :2]
            offset = pixels - origin[:, :, None, None]
            share = (offset * bone[:, :, None, None]).sum(1) / bone.square().sum(1).clamp_min(1e-3)[
                :, None, None
            ]
            share = share.clamp(0, 1)
            distance = (offset - share[:, None] * bone[:, :, None, None]).square().sum(1).sqrt()
            closer = (distance < best) & seen[:, None, None]
            best = torch.where(closer, distance, best)
            along = torch.where(closer, (first + share) / 2, along)
    return torch.stack([along, best / trunk_length(keypoints)[:, None, None]], dim=1)


def along_arm(keypoints: Tensor, size: tuple[int, int], arm: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """`arm_places` of one `arm` of the first person, each (h, w), not to be changed: several rules ask for the same."""
    points = keypoints[:1].float().cpu().numpy()
    return _remembered(points.tobytes(), size, tuple(arm))


@lru_cache(maxsize=8)
def _remembered(points: bytes, size: tuple[int, int], arm: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    keypoints = torch.from_numpy(np.frombuffer(points, np.float32).reshape(1, L.JOINTS, -1).copy())
    along, distance = arm_places(keypoints, size, (arm,))[0].numpy()
    for plane in (along, distance):
        plane.flags.writeable = False
    return along, distance


def side_of_bones(joints: np.ndarray, arm: Sequence[int], along: np.ndarray) -> np.ndarray:
    """How far pixels lie to one side of an arm's bones, negative to the other: (h, w) in pixels. `joints` (18, 3); `along`
    (h, w): the pixels' places along the `arm`, as `arm_places` has them."""
    rows, columns = np.mgrid[: along.shape[0], : along.shape[1]].astype(np.float32)
    pixels = np.stack([columns, rows], -1)
    first, middle, last = joints[list(arm), :2]
    out: np.ndarray = np.where(
        along > 0.5, across_bone(middle, last, pixels), across_bone(first, middle, pixels)
    )
    return out


def is_folded(joints: np.ndarray, arm: Sequence[int]) -> bool:
    """Whether forearm and upper arm lie side by side, so that a place along the arm is two. `joints` (18, 3)."""
    first, middle, last = joints[list(arm), :2]
    upper, lower = middle - first, last - middle
    return float(upper @ lower) < FOLDED * float(np.hypot(*upper) * np.hypot(*lower))


def across_bone(start: np.ndarray, stop: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How far `points` (…, 2) lie to one side of the line from `start` to `stop` (2,), negative to the other: (…)."""
    bone, away = stop - start, points - start
    out: np.ndarray = (bone[0] * away[..., 1] - bone[1] * away[..., 0]) / max(float(np.hypot(*bone)), 1e-3)
    return out


def trunk_length(keypoints: Tensor) -> Tensor:
    """The length from neck to hips, (B,) in pixels; 1.5 times the shoulders' distance where hips are not seen."""
    there = L.joints_present(keypoints)
    whole = there[:, L.NECK] & there[:, L.R_HIP] & there[:, L.L_HIP]
    hips = (keypoints[:, L.R_HIP, :2] + keypoints[:, L.L_HIP, :2]) / 2
    shoulders = (keypoints[:, L.R_SHOULDER, :2] - keypoints[:, L.L_SHOULDER, :2]).norm(dim=1)
    trunk = torch.where(whole, (hips - keypoints[:, L.NECK, :2]).norm(dim=1), 1.5 * shoulders)
    return trunk.clamp_min(1.0)
