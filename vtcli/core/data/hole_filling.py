"""Hole filling in label maps: where a print on a top was taken for background, a face or anything else that cannot be
there, the hole gets the label of the top around it."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.arms import ARMS, along_arm
from vtcli.core.data.body_regions import has_label, torso
from vtcli.core.data.parse_gaps import close_gaps
from vtcli.core.data.pixels import likeliest

FOREIGN = np.ones(256, np.uint8)
FOREIGN[[*L.TOP_LABELS, *L.ARM_LABELS, L.GLOVE]] = 0
"""1 for labels that have no place on a top; arms and hands may lie in front of it."""
LEAST_AREA = 12
"""Pixels of the smallest hole that is filled; smaller ones are noise that the networks do not see."""
AROUND = 0.95
"""Share of a hole's rim that must be a top."""
LEAST_TOP = 0.3
"""Share of it that is the top's where an arm is the rest: what an arm alone surrounds is the gap at an elbow."""
AWAY = 0.25
"""How far from the bones of both arms, in lengths from neck to hips, what is called an arm is none: a print. A hand is closer."""
SHOWN = 0.1
"""Share of an arm on a top that the person's own parse must show. Of three such arms in 250 unpaired try-ons two are shown by
.85 and more, and one, a hand on a belly that is not there, not at all."""
WITHIN = 0.7
"""Share of a hole that must lie between shoulders and hips: beside the torso it may be the gap at an elbow."""


def whole_garments(image: Tensor, parse: Tensor, keypoints: Tensor) -> Tensor:
    """`parse` (B, H, W) uint8 LIP labels as the networks see it: without gaps and holes in tops. `image` (B, 3, H, W) in
    [-1, 1]; `keypoints` (B, 18, 3) in pixels."""
    return fill_holes(close_gaps(image, parse, keypoints), keypoints)


def fill_holes(parse: Tensor, keypoints: Tensor, at_arms: bool = False) -> Tensor:
    """`parse` (B, H, W) uint8 LIP labels, holes of tops on the torso filled with the top's label; `at_arms`: also those between
    a top and an arm in front of it. Arms and hands in front of a top are no holes. `keypoints` (B, 18, 3) in pixels. Where there
    is no hole, the same tensor comes back."""
    maps = parse.cpu().numpy()
    filled = maps.copy()
    for i, one in enumerate(maps):
        holes = _holes(one, keypoints[i : i + 1], at_arms)
        if holes:
            body = torso(one.shape, keypoints[i : i + 1])[0].cpu().numpy()
            for hole, label in holes:
                if body[hole].mean() >= WITHIN:
                    filled[i][hole] = label
    return parse if np.array_equal(filled, maps) else torch.from_numpy(filled).to(parse.device)


def opaque(expected: Tensor, parse: Tensor, keypoints: Tensor, warped_mask: Tensor) -> Tensor:
    """M_exp `expected` (B, 20, H, W), probabilities, without holes in a top where the warped garment (mask (B, 1, H, W) in
    [0, 1]) has none: nobody sees through cloth. A hand on a top that the person's `parse` (B, H, W) does not show is a hole,
    too. `keypoints` (B, 18, 3) in pixels."""
    labels = likeliest(expected)
    filled = fill_holes(_without_imaginary(labels, parse), keypoints, at_arms=True)
    holes = (filled != labels) & has_label(filled, L.TOP_LABELS) & (warped_mask[:, 0] > 0.5)
    if not holes.any():
        return expected
    tops = F.one_hot(filled.long(), expected.shape[1]).permute(0, 3, 1, 2).to(expected.dtype)
    return torch.where(holes[:, None], tops, expected)


def _holes(parse: np.ndarray, keypoints: Tensor, at_arms: bool) -> list[tuple[np.ndarray, int]]:
    """Parts of `parse` (H, W) that a top surrounds, or if `at_arms` a top and an arm: where they are (H, W) bool, and the top's
    label."""
    rim = (*L.TOP_LABELS, *L.ARM_LABELS) if at_arms else L.TOP_LABELS
    foreign = FOREIGN[parse] | _printed_arms(parse, keypoints)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(foreign, connectivity=4)
    found = []
    for part in range(1, count):
        x, y, wide, tall, area = (int(v) for v in stats[part])
        if area < LEAST_AREA or x == 0 or y == 0 or x + wide == parse.shape[1] or y + tall == parse.shape[0]:
            continue
        window = slice(y - 1, y + tall + 1), slice(x - 1, x + wide + 1)
        here = (parts[window] == part).astype(np.uint8)
        ring = (cv2.dilate(here, np.ones((3, 3), np.uint8)) > here).astype(bool)
        around = parse[window][ring]
        tops = around[np.isin(around, L.TOP_LABELS)]
        if np.isin(around, rim).mean() >= AROUND and len(tops) >= LEAST_TOP * len(around):
            found.append((parts == part, int(np.bincount(tops).argmax())))
    return found


def _without_imaginary(labels: Tensor, parse: Tensor) -> Tensor:
    """M_exp's `labels` (B, H, W) uint8, background where it has an arm that a top surrounds and `parse` shows none."""
    arms = (*L.ARM_LABELS, L.GLOVE)
    maps = labels.cpu().numpy().copy()
    for one, shown in zip(maps, parse.cpu().numpy(), strict=True):
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            np.isin(one, arms).astype(np.uint8), connectivity=8
        )
        for part in range(1, count):
            if stats[part, cv2.CC_STAT_AREA] < LEAST_AREA:
                continue
            here = parts == part
            rim = (cv2.dilate(here.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~here
            if np.isin(one[rim], L.TOP_LABELS).mean() >= AROUND and np.isin(shown[here], arms).mean() < SHOWN:
                one[here] = L.BACKGROUND
    return torch.from_numpy(maps).to(labels.device)


def _printed_arms(parse: np.ndarray, keypoints: Tensor) -> np.ndarray:
    """What `parse` (H, W) calls an arm away from both arms, (H, W) uint8 of 0 and 1; nothing where one is not known."""
    known = L.joints_present(keypoints)[0, [joint for arm in ARMS for joint in arm]]
    if not bool(known.all()):
        return np.zeros_like(parse)
    size = (parse.shape[0], parse.shape[1])
    distance = np.minimum(*(along_arm(keypoints, size, arm)[1] for arm in ARMS))
    out: np.ndarray = (np.isin(parse, L.ARM_LABELS) & (distance > AWAY)).astype(np.uint8)
    return out
