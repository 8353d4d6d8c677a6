"""Drawn skin has no stains, and goes on in the tone of the skin that is seen beside it."""

from __future__ import annotations

import numpy as np
import torch
from test_bared_arms import _arms, _probabilities
from test_cut import _joints

from vtcli.core.data import labels as L
from vtcli.core.tryon.composing.bared_arms import with_own_arms
from vtcli.core.tryon.composing.even_skin import even_arms, even_throat

SKIN = np.array([70.0, 12.0, 18.0])
"""Of an arm, in CIELAB."""


def _case(bare_from: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, torch.Tensor]:
    """M_exp with a bare arm, what of it is new above the row `bare_from`, what is seen below it, and joints."""
    expected = _arms(8, L.RIGHT_ARM, np.s_[62:160])
    arm = expected > 0
    above = np.arange(256)[:, None] < bare_from
    return _probabilities(expected), arm & above, arm & ~above, torch.from_numpy(_joints())[None]


def test_stains_on_a_drawn_arm_go() -> None:
    after, new, seen, keypoints = _case(150)
    drawn = np.broadcast_to(SKIN, (256, 192, 3)).copy()
    drawn[90:96] -= (25, 5, 5)
    drawn[120:124] += (10, 15, -10)
    out = even_arms(drawn, drawn, seen, new, new, after, keypoints)
    stained = new.copy()
    stained[:88], stained[98:118], stained[126:] = False, False, False
    assert np.abs(drawn[stained] - SKIN).max() > 20
    assert np.abs(out[new][:, 1:] - SKIN[1:]).max() < 3
    assert out[new][:, 0].min() > SKIN[0] - 16  # an arm is round: its edges are darker
    np.testing.assert_array_equal(out[200:], drawn[200:])


def test_a_drawn_arm_goes_on_in_the_tone_of_what_is_seen_of_it() -> None:
    after, new, seen, keypoints = _case(110)
    drawn = np.broadcast_to(SKIN + np.array([-8.0, 4.0, 6.0]), (256, 192, 3)).copy()
    photo = np.broadcast_to(SKIN, (256, 192, 3)).copy()
    out = even_arms(drawn, photo, seen, new, new, after, keypoints)
    assert np.abs(np.median(out[new], axis=0) - SKIN).max() < 2
    below = seen & (np.arange(256)[:, None] > 115)
    np.testing.assert_array_equal(out[below], drawn[below])


def test_folded_arms_and_arms_without_joints_are_left_alone() -> None:
    after, new, seen, keypoints = _case(150)
    drawn = np.broadcast_to(SKIN, (256, 192, 3)).copy()
    drawn[90:96] -= (25, 5, 5)
    folded, missing = keypoints.clone(), keypoints.clone()
    folded[0, L.R_WRIST, :2] = keypoints[0, L.R_SHOULDER, :2]
    missing[0, L.R_ELBOW] = 0
    for joints in (folded, missing):
        np.testing.assert_array_equal(even_arms(drawn, drawn, seen, new, new, after, joints), drawn)


def test_a_throat_keeps_its_shading_and_loses_its_stains() -> None:
    new = np.zeros((256, 192), bool)
    new[60:100, 70:120] = True
    rows = np.arange(256)[:, None, None]
    shaded = np.broadcast_to(SKIN, (256, 192, 3)) + (rows - 80) * np.array([0.4, 0.0, 0.0])
    drawn = shaded.copy()
    drawn[75:80, 80:90] -= (20, 0, 0)
    out = even_throat(drawn, new, new)
    assert np.abs(out[new] - shaded[new]).max() < 5
    np.testing.assert_array_equal(out[:50], drawn[:50])


def test_the_outline_of_a_bared_arm_is_even() -> None:
    """M_exp's wavers by four pixels from row to row; the old sleeve is wide enough for all of it."""
    expected = _arms(9, L.RIGHT_ARM, np.s_[62:160])
    narrow = _arms(5, L.RIGHT_ARM, np.s_[62:160])
    rows = np.arange(256) // 4 % 2 == 0
    expected[rows] = narrow[rows]
    before, joints = _arms(18, L.UPPER_CLOTHES, np.s_[62:160]), _joints()
    after = with_own_arms(_probabilities(expected), _probabilities(before), torch.from_numpy(joints)[None])
    outer = -1 if joints[L.R_SHOULDER, 0] < joints[L.NECK, 0] else 1

    def reach(arm: np.ndarray) -> np.ndarray:
        bones = np.interp(np.arange(80, 104), *(joints[[L.R_SHOULDER, L.R_ELBOW], axis] for axis in (1, 0)))
        columns = [np.nonzero(line)[0] for line in arm[80:104] > 0.5]
        edges = [line.min() if outer < 0 else line.max() for line in columns]
        return (np.array(edges) - bones) * outer

    assert np.ptp(reach(_probabilities(expected)[L.RIGHT_ARM])) >= 4
    assert np.ptp(reach(after[L.RIGHT_ARM])) <= 2
