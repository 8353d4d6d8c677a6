"""Where M_exp and the warped garment end a sleeve close to each other, the garment's own hem counts.

M_exp tells how long a sleeve is, but its ends are round; the garment's are as they were sewn.
"""

from __future__ import annotations

import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.data.arms import ARMS, SIDES, along_arm, half_widths, is_folded
from vtcli.core.data.body_regions import torso

CLOSE, FAR = 12.0, 20.0
"""How far apart both ends may be along the arm, in pixels at 256×192; and where the garment's is the shorter and the photo
shows the bare arm below it, so that nothing has to be invented."""
MARGIN = 4.0
"""How far beyond both ends a hem may slant, in pixels at 256×192."""
SEEN = 0.8
"""Share of the arm between both ends that is bare in the photo."""
ON_ARM, AROUND = 1.0, 2.0
"""Half the width of the strip along the bones in which ends are looked for, and of that in which the hem lies, in those of
an arm."""
PLACES = 48
"""Places along an arm."""
LEAST = 3
"""Pixels at a place that tell whether a sleeve is there."""


def with_own_hems(
    after: np.ndarray, before: np.ndarray, warped: np.ndarray, keypoints: torch.Tensor
) -> np.ndarray:
    """M_exp `after` (20, 256, 192) with sleeves that end as the `warped` garment's (256, 192), in [0, 1], do. `before`
    (20, 256, 192): the photo's parse; `keypoints` (1, 18, 3) in pixels of 256×192. Ends that are further apart, and arms without their joints, are left alone."""
    size = (after.shape[1], after.shape[2])
    joints, points = keypoints[0].cpu().numpy(), keypoints.float().cpu()
    there, beside = L.joints_present(joints), ~torso(size, points)[0].numpy()
    tops, out = list(L.TOP_LABELS), after
    for label, arm in zip(SIDES, ARMS, strict=True):
        if not there[list(arm)].all() or is_folded(joints, arm):
            continue
        along, distance = along_arm(points, size, arm)
        reach = distance / half_widths(along)
        sleeve, bare = out[tops].sum(0), out[label]
        on = beside & (reach < ON_ARM) & (sleeve + bare > 0.5)
        first, second = _end(along, on, sleeve > bare), _end(along, on, warped > 0.5)
        length = max(float(np.linalg.norm(np.diff(joints[list(arm), :2], axis=0), axis=1).sum()), 1.0)
        if first is None or second is None:
            continue
        between = on & (along > second) & (along < first)
        seen = between.any() and (before[label] > 0.5)[between].mean() > SEEN
        if abs(first - second) * length > (FAR if seen else CLOSE):
            continue
        low, high = min(first, second) - MARGIN / length, max(first, second) + MARGIN / length
        zone = (along > low) & (along < high) & (reach < AROUND)
        zone &= sleeve + bare > 0.5
        if out is after:
            out = after.copy()
        top = max(tops, key=lambda one: float(after[one].sum()))
        both = np.where(zone, sleeve + bare, 0.0)
        out[tops] *= ~zone
        out[top] += both * warped
        out[label] = np.where(zone, both * (1.0 - warped), out[label])
    return out


def _end(along: np.ndarray, on: np.ndarray, inside: np.ndarray) -> float | None:
    """Where along an arm what is `inside` ends of the pixels `on` it, (256, 192) bool each; None without such an end."""
    place = np.clip((along * PLACES).astype(int), 0, PLACES - 1)
    count = np.bincount(place[on], minlength=PLACES)
    share = np.bincount(place[on & inside], minlength=PLACES) / np.maximum(count, 1)
    known = np.nonzero(count >= LEAST)[0]
    if len(known) < 2 or share[known[-1]] > 0.5:
        return None
    covered = known[share[known] > 0.5]
    return (float(covered[-1]) + 1.0) / PLACES if len(covered) else None
