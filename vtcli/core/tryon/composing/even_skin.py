"""Skin that is drawn, evened: an arm's colour changes slowly along it and across it, and what a rendering at 256×192 adds to
that are stains.

An arm's colours are a polynomial of the place along its bones and across them, fitted robustly to what is drawn
(iteratively reweighted least squares with Tukey's weights, Huber 1981, chapter 7). Their tone is that of the arm just below the
old sleeve, where the photo shows it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.data.areas import disc
from vtcli.core.data.arms import ARMS, SIDES, across_bone, along_arm, half_widths, is_folded, side_of_bones
from vtcli.core.garments.colours import length

ROUNDS = 5
"""Of reweighting; weights change by less than a hundredth after four."""
TUKEY = 4.7
"""Of median absolute deviations times 1.48, beyond which a colour does not count: Huber's, for .95 of the efficiency."""
LEAST = 60
"""Pixels of drawn skin at 256×192 that are enough for the polynomial's six numbers."""
NEAR, BELOW, OF_HAND = 40, 0.15, 0.9
"""Pixels of the bare arm just below the sleeve that tell its tone, how much of the arm that is, and where the hand begins."""
FARTHEST = 15.0
"""How far drawn skin is shifted to that tone at most, in CIELAB."""
EDGE = 2
"""Width of an arm's outline at 256×192 that is a mixture with what lies beside it."""
BEYOND = 3
"""How far beyond its outline an arm's colours go on, in pixels at 256×192."""
WIDEST = 1.3
"""Place across an arm, in half widths, at which its colours stop changing."""
TOWARDS_BODY, ROUND = -5.0, -5.0
"""By how much lightness (of 65) falls across an arm: towards the body, and to both of its edges. Of 773 bare arms of VITON,
the side towards the body is 15 darker at its edge than the middle, the other side as light."""
SOFT = 2.5
"""Standard deviation of the blur in pixels at 256×192 by which what is drawn beside even colours is softened."""
FAINT = np.array([4.0, 1.5, 1.5])
"""How far colours may be from even ones, in CIELAB: muscles and collarbones, but no stains."""
FIRMLY = (1e-3, 1e-3, 1e-3, 0.05, 1.0, 1e-2)
"""Weight of what is known beforehand of each term, in shares of the pixels."""


def even_arms(
    drawn: np.ndarray, photo: np.ndarray, seen: np.ndarray, new: np.ndarray, likely: np.ndarray, after: np.ndarray,
    keypoints: torch.Tensor,
) -> np.ndarray:  # fmt: skip
    """`drawn` (256, 192, 3) in CIELAB with even colours on the arms that are `new` (256, 192) bool, found where it is
    `likely` (256, 192) bool to be skin.

    `photo` (256, 192, 3) in CIELAB, of which bare arms are `seen` (256, 192) bool; `after` (20, 256, 192): M_exp;
    `keypoints` (1, 18, 3) in pixels of 256×192. An arm without its joints is left alone.
    """
    out = drawn.copy()
    joints = keypoints[0].cpu().numpy()
    there = L.joints_present(joints)
    for label, arm in zip(SIDES, ARMS, strict=True):
        mine = after[label] > 0.5
        hidden = mine & new
        sure = inside(hidden) & likely
        if sure.sum() < LEAST or not there[list(arm)].all() or is_folded(joints, arm):
            continue
        along, across = _places(joints, arm, new.shape, keypoints)
        # A polynomial tells nothing beyond what it was fitted to.
        terms = _terms(np.clip(along, *np.percentile(along[sure], (2, 98))), across)
        bare = inside(mine & seen) & ~new
        numbers = _fitted(terms[sure], drawn[sure])
        even = terms @ numbers
        # The photo tells the tone, what is drawn the shape.
        tone = _tone(photo - even, along, bare)
        around = (cv2.dilate(hidden.astype(np.uint8), disc(BEYOND)) > 0) & ~bare
        out[around] = (even + tone + _shapes(drawn - even, sure))[around]
    return out


def inside(skin: np.ndarray) -> np.ndarray:
    """What of `skin` (256, 192) bool is no mixture with what lies beside it: (256, 192) bool."""
    return np.asarray(cv2.erode(skin.astype(np.uint8), disc(EDGE)) > 0)


def _tone(lacking: np.ndarray, along: np.ndarray, bare: np.ndarray) -> np.ndarray:
    """By how much an arm's colours are shifted, (h, w, 3): by what the bare arm is `lacking` (h, w, 3) as a whole, and close to the
    old sleeve, whose shadow falls on it, by what it is lacking there. `along` (h, w): places along the arm, which is `bare` (h, w)
    bool."""
    bare = bare & (along < OF_HAND)
    if not bare.any():
        return np.zeros(3)
    hem = float(np.percentile(along[bare], 5))
    near = bare & (along < hem + BELOW)
    if near.sum() < NEAR:
        return np.zeros(3)
    beside, whole = (np.clip(np.median(lacking[part], axis=0), -FARTHEST, FARTHEST) for part in (near, bare))
    share = np.exp(-np.abs(along - hem) / BELOW)[..., None]
    out: np.ndarray = whole + share * (beside - whole)
    return out


def even_throat(drawn: np.ndarray, new: np.ndarray, likely: np.ndarray) -> np.ndarray:
    """`drawn` (256, 192, 3) in CIELAB with even colours where throat and chest are `new` (256, 192) bool, found where
    it is `likely` (256, 192) bool to be skin: each piece by itself, small ones not at all."""
    out = drawn.copy()
    count, pieces = cv2.connectedComponents(new.astype(np.uint8), connectivity=4)
    rows, columns = np.mgrid[: new.shape[0], : new.shape[1]].astype(np.float64)
    for number in range(1, count):
        piece = pieces == number
        sure = inside(piece) & likely
        if sure.sum() < LEAST:
            continue
        size = float(max(np.ptp(rows[sure]), np.ptp(columns[sure]), 1))
        y, x = (rows - rows[sure].mean()) / size, (columns - columns[sure].mean()) / size
        # A polynomial tells nothing beyond what it was fitted to.
        y, x = (np.clip(part, part[sure].min(), part[sure].max()) for part in (y, x))
        terms = np.stack([np.ones_like(x), y, y**2, x, x**2, x * y], -1)
        even = terms @ _fitted(terms[sure], drawn[sure], known=False)
        around = cv2.dilate(piece.astype(np.uint8), disc(BEYOND)) > 0
        out[around] = (even + _shapes(drawn - even, sure))[around]
    return out


def _shapes(beside: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """What is drawn `beside` even colours (256, 192, 3), where it is `sure` (256, 192) bool, softly, as far as it is faint."""
    share = sure.astype(np.float32)
    faint = np.clip(beside, -FAINT, FAINT) * share[..., None]
    out: np.ndarray = (
        cv2.GaussianBlur(faint, (0, 0), SOFT) / (cv2.GaussianBlur(share, (0, 0), SOFT) + 0.3)[..., None]
    )
    return out


def _places(
    joints: np.ndarray, arm: Sequence[int], size: tuple[int, ...], keypoints: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Where pixels lie along an arm, from 0 to 1, and across it in half widths, 1 towards the body: (256, 192) each."""
    along, distance = along_arm(keypoints, (size[0], size[1]), arm)
    first, middle = joints[list(arm)[:2], :2]
    inner = np.sign(across_bone(first, middle, joints[L.NECK, :2]))
    across = inner * np.sign(side_of_bones(joints, arm, along)) * distance / half_widths(along)
    return along, np.clip(across, -WIDEST, WIDEST)


def _terms(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """The polynomial's terms at places (h, w): (h, w, 6)."""
    t, u = along - 0.5, across
    return np.stack([np.ones_like(t), t, t**2, u, u**2, t * u], -1).astype(np.float64)


def _fitted(terms: np.ndarray, values: np.ndarray, known: bool = True) -> np.ndarray:
    """Numbers (6, 3) by which `terms` (n, 6) come closest to `values` (n, 3), those far away left out."""
    weights = np.ones(len(terms))
    before, firmly = np.zeros((terms.shape[1], 3)), np.full(terms.shape[1], 1e-4)
    if known:
        before[3:5, 0] = np.array([TOWARDS_BODY, ROUND]) * np.median(values[:, 0]) / 65.0
        firmly[: len(FIRMLY)] = FIRMLY
    ridge = len(terms) * np.diag(firmly)
    for _ in range(ROUNDS):
        weighted = terms * weights[:, None]
        numbers = np.linalg.solve(weighted.T @ terms + ridge, weighted.T @ values + ridge @ before)
        away = length(values - terms @ numbers)
        limit = TUKEY * 1.48 * max(float(np.median(away)), 0.5)
        weights = np.square(np.clip(1.0 - np.square(away / limit), 0, None))
    return numbers
