"""Sleeves end as they were sewn, where M_exp agrees with their length."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_bared_arms import _arms, _probabilities
from test_cut import _joints

from vtcli.core.data import labels as L
from vtcli.core.tryon.composing.sleeve_hems import with_own_hems

SEWN, SLANT = 96, 3
"""Row at which the garment's sleeve ends, and by how much it slants over the arm."""


def _worn(end: int) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    """M_exp with a sleeve whose round end lies about `end`, the warped garment, and joints."""
    arm = _arms(7, L.RIGHT_ARM, np.s_[62:160]) > 0
    rows, columns = np.mgrid[:256, :192]
    middle = np.array([columns[0][line].mean() if line.any() else 0 for line in arm])[:, None]
    round_end = rows < end - ((columns - middle) / 3) ** 2
    parse = np.where(arm, np.where(round_end, L.UPPER_CLOTHES, L.RIGHT_ARM), 0).astype(np.uint8)
    warped = (arm & (rows < SEWN + SLANT * np.sign(columns - middle))).astype(np.float32)
    return _probabilities(parse), warped, torch.from_numpy(_joints())[None]


@pytest.mark.parametrize("end", [SEWN - 3, SEWN + 5])
def test_a_sleeve_ends_as_it_was_sewn(end: int) -> None:
    after, warped, keypoints = _worn(end)
    out = with_own_hems(after, after, warped, keypoints)
    arm = (after[L.RIGHT_ARM] + after[L.UPPER_CLOTHES]) > 0.5
    zone = arm & (np.abs(np.arange(256)[:, None] - SEWN) < 9)
    wrong = ((out[L.UPPER_CLOTHES] > 0.5) != (warped > 0.5)) & zone
    before = ((after[L.UPPER_CLOTHES] > 0.5) != (warped > 0.5)) & zone
    assert wrong.sum() <= 0.1 * before.sum()
    np.testing.assert_allclose(out.sum(0), 1, atol=1e-5)


def test_a_longer_way_goes_where_the_photo_shows_the_arm() -> None:
    after, warped, keypoints = _worn(SEWN + 18)
    bare = _probabilities(_arms(7, L.RIGHT_ARM, np.s_[62:160]))
    assert np.array_equal(with_own_hems(after, after, warped, keypoints), after)
    out = with_own_hems(after, bare, warped, keypoints)
    assert (out[L.RIGHT_ARM][SEWN + 5 : SEWN + 15] > 0.5).sum() > 100


def test_lengths_that_differ_are_m_exps_to_tell() -> None:
    after, warped, keypoints = _worn(SEWN + 25)
    assert np.array_equal(with_own_hems(after, after, warped, keypoints), after)


def test_sleeves_without_joints_or_without_an_end_are_left_alone() -> None:
    after, warped, keypoints = _worn(SEWN + 3)
    keypoints[0, L.R_ELBOW] = 0
    assert np.array_equal(with_own_hems(after, after, warped, keypoints), after)
    after, warped, keypoints = _worn(SEWN + 3)
    assert np.array_equal(with_own_hems(after, after, np.ones_like(warped), keypoints), after)
