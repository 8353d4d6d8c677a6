"""Arms that the new garment bares are as wide as the person's arms, not as wide as the old sleeves, and have even outlines.

M_exp takes the outline of a wide old sleeve for the arm's now and then, and its own outlines waver. Bones and what is seen of
the arms tell better.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.data.areas import disc
from vtcli.core.data.arms import (
    ARMS,
    SIDES,
    across_bone,
    along_arm,
    arm_places,
    half_widths,
    is_folded,
    side_of_bones,
    trunk_length,
)
from vtcli.core.data.body_regions import torso
from vtcli.core.models.composition import CLOTHES

USUAL, LEAST, MOST = 1.15, 0.85, 1.4
"""How many times as wide a person's arms are where they are not seen, and where they are, at least and at most: nine in
ten of VITON's people have no more than 1.25."""
SLACK = 1.12
"""How much wider an arm may be drawn than it was found."""
ENOUGH = 150
"""Pixels of bare arms at 256×192 that tell how wide arms are."""
PLACES = 32
"""Places along an arm at which its outline is found."""
ENOUGH_THERE = 4
"""Pixels of an arm at one of these places, to one side of its bones, that tell its outline there."""
LEAST_OF_A_SIDE = 0.5
"""What an arm measures at least to one side of its bones, in usual half widths."""
SEEN_FIRST = 6
"""Places below a sleeve by which the width of the arm in it is known."""
GAP, HOLE = 3, 200
"""Half the width of gaps, and the area of holes, within arms that are mistakes of M_exp's, in pixels at 256×192."""
BEYOND_WRIST, HAND = 0.99, 40
"""Where along the arm a hand begins, and how many of its pixels at 256×192 have to be seen."""
CLOTH = 0.5
"""How far within M_exp's outline a hidden arm ends, in pixels at 256×192: M_exp takes it from the sleeve's."""
UNSEEN = 0.1
"""Weight of an outline that M_exp expects, beside one that the photo shows."""
STIFF = 4.0
"""Weight of second differences of the outline: it follows what is wider than about four places, a sixteenth of the arm each."""


def with_own_arms(after: np.ndarray, before: np.ndarray, keypoints: torch.Tensor) -> np.ndarray:
    """M_exp `after` (20, 256, 192) with background where it bares an arm further from the bones than the person's arms
    reach, and with even outlines of the arms that it bares. `before` (20, 256, 192): the photo's parse; `keypoints`
    (1, 18, 3) in pixels of 256×192. An arm without its joints is left alone."""
    size = (after.shape[1], after.shape[2])
    along, distance = arm_places(keypoints.float().cpu(), size)[0].numpy()
    beside = ~torso(size, keypoints.cpu())[0].numpy()
    reach = distance / half_widths(along)
    there = L.joints_present(keypoints[0].cpu())
    known = zip(SIDES, ARMS, strict=True)
    arms = {label: joints for label, joints in known if bool(there[list(joints)].all())}
    bare = before[list(arms)].sum(0) > 0.5
    seen = bare & beside & (along > 0.1) & (along < 0.95) & (reach < 2)
    width = USUAL
    if seen.sum() >= ENOUGH:
        width = float(np.clip(np.percentile(reach[seen], 95), LEAST, MOST))
    wide = ~bare & beside & (reach > SLACK * width) & (after[list(arms)].sum(0) > 0.3)
    out = after.copy()
    out[L.BACKGROUND] += np.where(wide, out[list(arms)].sum(0), 0.0)
    out[list(arms)] *= ~wide
    joints = keypoints[0].cpu().numpy()
    for label, arm in arms.items():
        if not is_folded(joints, arm):
            _even_outline(out, before, keypoints, label, arm)
    _join(out, before, list(arms))
    return out


def without_second_hands(
    after: np.ndarray, before: np.ndarray, warped: np.ndarray, keypoints: torch.Tensor
) -> np.ndarray:
    """M_exp `after` (20, 256, 192) with clothes where it draws a hand beside the one that is seen: beyond the wrist, on the
    old garment, where the `warped` garment (256, 192), in [0, 1], lies. `before` (20, 256, 192): the photo's parse;
    `keypoints` (1, 18, 3) in pixels of 256×192."""
    size = (after.shape[1], after.shape[2])
    there, out = L.joints_present(keypoints[0].cpu()), after
    arms = before[list(L.ARM_LABELS)].sum(0)
    worn = (before[list(CLOTHES)].sum(0) > 0.5) & (arms < 0.3)
    for label, arm in zip(SIDES, ARMS, strict=True):
        if not bool(there[list(arm)].all()):
            continue
        along = along_arm(keypoints, size, arm)[0]
        beyond = along > BEYOND_WRIST
        if ((before[label] > 0.5) & beyond).sum() < HAND:
            continue
        second = beyond & worn & (out[label] > 0.5) & (warped > 0.5)
        if not second.any():
            continue
        if out is after:
            out = after.copy()
        top = max(L.TOP_LABELS, key=lambda one: float(after[one].sum()))
        out[top] += np.where(second, out[label], 0.0)
        out[label] *= ~second
    return out


def _join(after: np.ndarray, before: np.ndarray, arms: list[int]) -> None:
    """Close narrow gaps and small holes of background within the `arms` of `after`, where the photo shows no scene either:
    between forearm and hand, and where arms cross."""
    whole = (after[arms].sum(0) > 0.5).astype(np.uint8)
    closed = cv2.morphologyEx(whole, cv2.MORPH_CLOSE, disc(GAP)) > 0
    _, holes, stats, _ = cv2.connectedComponentsWithStats((~closed).astype(np.uint8), connectivity=4)
    closed |= stats[holes, cv2.CC_STAT_AREA] < HOLE
    gap = closed & (whole == 0) & (after[L.BACKGROUND] > 0.5) & (before[L.BACKGROUND] < 0.5)
    if not gap.any():
        return
    nearest = np.argmin([_distance(after[label] > 0.5) for label in arms], axis=0)
    for number, label in enumerate(arms):
        after[label] += np.where(gap & (nearest == number), after[L.BACKGROUND], 0.0)
    after[L.BACKGROUND] *= ~gap


def _distance(where: np.ndarray) -> np.ndarray:
    """Of each pixel to what is in `where` (h, w) bool."""
    return np.asarray(cv2.distanceTransform((~where).astype(np.uint8), cv2.DIST_L2, 3))


def _even_outline(
    after: np.ndarray, before: np.ndarray, keypoints: torch.Tensor, label: int, arm: tuple[int, ...]
) -> None:
    """Change the outline of one arm in `after`, where it is hidden in the photo and meets the background on the side of its
    bones that is turned away from the body: an arm's joints are seldom in its middle."""
    size = (after.shape[1], after.shape[2])
    along, distance = along_arm(keypoints, size, arm)
    across = side_of_bones(keypoints[0].cpu().numpy(), arm, along)
    pixels = float(trunk_length(keypoints.float().cpu())[0])
    distance = distance * pixels
    bare, expected = before[label] > 0.5, after[label] > 0.5
    worn = before[L.BACKGROUND] < 0.5
    both = after[label] + after[L.BACKGROUND]
    place = np.clip((along * PLACES).astype(int), 0, PLACES - 1)
    near = distance < 3.0 * pixels * half_widths(along)
    joints = keypoints[0].cpu().numpy()
    outer = -np.sign(across_bone(*joints[[*arm[:2], L.NECK], :2]))
    mine = near & (across * outer > 0)
    usual = half_widths((np.arange(PLACES) + 0.5) / PLACES) * pixels
    found = _outline(place, distance, mine & bare, mine & expected & ~bare, usual)
    if found is None:
        return
    outline, hidden = found
    edge = np.interp(along * PLACES - 0.5, np.arange(PLACES), outline)
    inside = np.clip(edge - distance + 0.5, 0, 1)
    # What the photo shows as scene stays scene.
    inside = np.where(worn, inside, np.minimum(inside, after[label] / np.maximum(both, 1e-6)))
    free = mine & ~bare & (both > 0.5) & hidden[place]
    after[label] = np.where(free, both * inside, after[label])
    after[L.BACKGROUND] = np.where(free, both * (1.0 - inside), after[L.BACKGROUND])


def _outline(
    place: np.ndarray, distance: np.ndarray, seen: np.ndarray, expected: np.ndarray, usual: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """How far an arm reaches to one side of its bones at each of its places, (PLACES,) in pixels, evenly; and at which of
    them it is `expected` and not `seen`, (256, 192) bool each. None where it is nowhere."""
    values, weights = np.zeros(PLACES), np.zeros(PLACES)
    hidden = np.zeros(PLACES, bool)
    for number in range(PLACES):
        for where, weight in ((seen, 1.0), (expected, UNSEEN)):
            there = where & (place == number)
            if there.sum() >= ENOUGH_THERE:
                hidden[number] = where is expected
                if not weights[number]:
                    values[number], weights[number] = np.percentile(distance[there], 97), weight
    if not hidden.any():
        return None
    known, unseen = np.nonzero(weights > UNSEEN)[0], weights == UNSEEN
    values[unseen] = np.minimum(values[unseen] - CLOTH, USUAL * usual[unseen])
    if len(known):
        # An arm that is seen below the sleeve is no wider in it.
        first = known[:SEEN_FIRST]
        most = np.clip(np.median(values[first] / usual[first]), LEAST_OF_A_SIDE, MOST)
        values[unseen] = np.minimum(values[unseen], most * usual[unseen])
        # Beside a sleeve's hem the parse takes its shadow for the arm.
        values[first] = np.minimum(values[first], most * usual[first])
    second = np.diff(np.eye(PLACES), 2, axis=0)
    flat = np.diff(np.eye(PLACES), 1, axis=0)
    stiff = UNSEEN * (STIFF * second.T @ second + 1e-3 * flat.T @ flat)
    return np.linalg.solve(np.diag(weights) + stiff, weights * values), hidden
