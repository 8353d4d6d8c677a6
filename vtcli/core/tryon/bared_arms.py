"""Arms that the new garment bares are as wide as the person's arms, not as wide as the old sleeves.

M_exp takes the outline of a wide old sleeve for the arm's now and then. Bones and what is seen of the arms tell better.
"""

from __future__ import annotations

import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.data.arms import ARMS, SIDES, arm_places, half_widths
from vtcli.core.data.body_regions import torso
from vtcli.core.models.composition import CLOTHES

USUAL, LEAST, MOST = 1.15, 0.85, 1.4
"""How many times as wide a person's arms are where they are not seen, and where they are, at least and at most: nine in
ten of VITON's people have no more than 1.25."""
SLACK = 1.12
"""How much wider an arm may be drawn than it was found."""
ENOUGH = 150
"""Pixels of bare arm at 256×192 that tell how wide it is."""


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
    worn = before[list(CLOTHES)].sum(0) > 0.5
    seen = (before[arms].sum(0) > 0.5) & beside & (along > 0.1) & (along < 0.95) & (reach < 2)
    width = USUAL
    if seen.sum() >= ENOUGH:
        width = float(np.clip(np.percentile(reach[seen], 95), LEAST, MOST))
    wide = worn & beside & (reach > SLACK * width) & (after[arms].sum(0) > 0.3)
    if not wide.any():
        return after
    out = after.copy()
    out[L.BACKGROUND] += np.where(wide, out[arms].sum(0), 0.0)
    out[arms] *= ~wide
    return out
