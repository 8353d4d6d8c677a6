"""Skin that a collar hid ends at the shoulders, not at the collar's edge."""

from __future__ import annotations

import numpy as np
from test_cut import _joints

from vtcli.core.data import labels as L
from vtcli.core.tryon.composing.shoulder_line import above_shoulders


def _case() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An old garment with a wide, level collar; straps that lie lower and further out; no hair; joints."""
    joints = _joints()
    neck, shoulder = joints[L.NECK, :2], joints[L.R_SHOULDER, :2]
    worn, covered = np.zeros((256, 192), bool), np.zeros((256, 192), bool)
    half = abs(int(shoulder[0] - neck[0])) + 4
    top, middle = int(neck[1]) - 6, int(neck[0])
    worn[top : top + 90, middle - half : middle + half + 1] = True
    for side in (-1, 1):
        outer = middle + side * (half - 8)
        covered[top + 8 : top + 90, min(outer, outer + side * 4) : max(outer, outer + side * 4) + 1] = True
    return worn, covered, np.zeros_like(worn), joints


def test_the_corner_between_collar_and_strap_is_above_the_shoulder() -> None:
    worn, covered, hair, joints = _case()
    above = above_shoulders(worn, covered, hair, joints)
    top, middle = int(joints[L.NECK, 1]) - 6, int(joints[L.NECK, 0])
    strap = np.nonzero(covered[top + 8])[0]
    assert above[top, strap.max() - 5] and above[top, strap.min() + 5 + 4 - 4]
    assert not above[top + 8 :].any()
    assert not above[:, [middle, strap.min(), strap.max()]].any()


def test_hair_on_a_shoulder_and_missing_joints_leave_it_alone() -> None:
    worn, covered, hair, joints = _case()
    top, middle = int(joints[L.NECK, 1]) - 6, int(joints[L.NECK, 0])
    hair[top : top + 4, : middle - 8] = True
    above = above_shoulders(worn, covered, hair, joints)
    assert not above[:, :middle].any() and above[:, middle:].any()
    joints[L.L_SHOULDER] = 0
    assert not above_shoulders(worn, covered, hair, joints).any()


def test_a_garment_as_high_as_the_collar_changes_nothing() -> None:
    worn, _, hair, joints = _case()
    assert not above_shoulders(worn, worn, hair, joints).any()
