"""Arms that a new garment bares are as wide as the person's arms."""

from __future__ import annotations

import numpy as np
import torch
from test_cut import _joints

from vtcli.core.data import labels as L
from vtcli.core.tryon.composing.bared_arms import with_own_arms, without_second_hands
from vtcli.core.tryon.photos.annotate import certain


def _arms(half: int, label: int, rows: slice) -> np.ndarray:
    """A right arm, `half` pixels wide to both sides of its bones, `label` in `rows`."""
    parse = np.zeros((256, 192), np.uint8)
    joints = _joints()
    for start, stop in ((L.R_SHOULDER, L.R_ELBOW), (L.R_ELBOW, L.R_WRIST)):
        for share in np.linspace(0, 1, 60):
            x, y = joints[start, :2] + share * (joints[stop, :2] - joints[start, :2])
            parse[round(y), max(0, round(x) - half) : round(x) + half + 1] = label
    out = np.zeros_like(parse)
    out[rows] = parse[rows]
    return out


def _probabilities(parse: np.ndarray) -> np.ndarray:
    return certain(torch.from_numpy(parse)[None])[0].numpy()


def test_a_wide_old_sleeve_does_not_make_a_wide_arm() -> None:
    keypoints = torch.from_numpy(_joints())[None]
    before, expected = _arms(18, L.UPPER_CLOTHES, np.s_[62:160]), _arms(18, L.RIGHT_ARM, np.s_[62:160])
    after = with_own_arms(_probabilities(expected), _probabilities(before), keypoints)
    bare = after[L.RIGHT_ARM][100] > 0.5
    assert 14 <= bare.sum() <= 24  # of 37: neck to hips are 100 pixels, an arm's half width 8 of them
    assert (after[L.BACKGROUND][100] > 0.5)[~bare].all()
    np.testing.assert_allclose(after.sum(0), 1, atol=1e-5)


def test_arms_that_are_seen_tell_their_width() -> None:
    """The forearm is bare, and thin or strong: the upper arm under the old sleeve is so, too."""
    keypoints = torch.from_numpy(_joints())[None]
    widths = []
    for half in (5, 9):
        before = _arms(18, L.UPPER_CLOTHES, np.s_[62:110]) + _arms(half, L.RIGHT_ARM, np.s_[112:160])
        expected = _arms(18, L.RIGHT_ARM, np.s_[62:110]) + _arms(half, L.RIGHT_ARM, np.s_[112:160])
        after = with_own_arms(_probabilities(expected), _probabilities(before), keypoints)
        widths.append(int((after[L.RIGHT_ARM][95] > 0.5).sum()))
        assert np.array_equal(after[:, 112:], _probabilities(expected)[:, 112:])  # what is bare already stays
    assert widths[0] + 4 <= widths[1] < 30


def test_an_arm_goes_on_upwards_where_its_joints_are_not_in_its_middle() -> None:
    """Of the forearm less lies to the outer side of its bones than to the inner one: there is no step below the old sleeve."""
    joints = _joints()
    keypoints = torch.from_numpy(joints)[None]
    inwards = 4 if joints[L.R_SHOULDER, 0] < joints[L.NECK, 0] else -4
    forearm = np.roll(_arms(7, L.RIGHT_ARM, np.s_[112:160]), inwards, axis=1)
    before = _arms(18, L.UPPER_CLOTHES, np.s_[62:110]) + forearm
    expected = _arms(18, L.RIGHT_ARM, np.s_[62:110]) + forearm
    after = with_own_arms(_probabilities(expected), _probabilities(before), keypoints)
    bone = np.interp(104, *(joints[[L.R_SHOULDER, L.R_ELBOW], axis] for axis in (1, 0)))
    bare = np.nonzero(after[L.RIGHT_ARM][104] > 0.5)[0]
    outer = bone - bare[0] if inwards > 0 else bare[-1] - bone
    assert outer <= 5.5 and len(bare) >= 11
    assert np.array_equal(after[:, 112:], _probabilities(expected)[:, 112:])


def test_arms_without_joints_are_left_alone() -> None:
    before, expected = _arms(18, L.UPPER_CLOTHES, np.s_[62:160]), _arms(18, L.RIGHT_ARM, np.s_[62:160])
    after = _probabilities(expected)
    joints = _joints()
    joints[L.R_ELBOW] = 0
    for keypoints in (np.zeros((18, 3), np.float32), joints):
        same = with_own_arms(after, _probabilities(before), torch.from_numpy(keypoints)[None])
        assert np.array_equal(same, after)


def test_a_gap_between_forearm_and_hand_is_closed_where_no_scene_is_seen() -> None:
    keypoints = torch.from_numpy(_joints())[None]
    whole = _arms(8, L.RIGHT_ARM, np.s_[62:160])
    before, expected = (
        _arms(8, L.UPPER_CLOTHES, np.s_[62:140]) + _arms(8, L.RIGHT_ARM, np.s_[140:160]),
        whole.copy(),
    )
    expected[136:141] = 0
    after = with_own_arms(_probabilities(expected), _probabilities(before), keypoints)
    assert (after[L.RIGHT_ARM][137:140] > 0.5)[whole[137:140] > 0].mean() > 0.6
    # Where the photo shows the scene between them, they are apart.
    before[136:141] = 0
    after = with_own_arms(_probabilities(expected), _probabilities(before), keypoints)
    assert (after[L.RIGHT_ARM][137:140] > 0.5).sum() == 0


def test_no_second_hand_is_drawn_beside_the_one_that_is_seen() -> None:
    keypoints = torch.from_numpy(_joints())[None]
    x, y = (int(v) for v in _joints()[L.R_WRIST, :2])
    parse = np.zeros((256, 192), np.uint8)
    parse[y - 40 : y + 40, x - 30 : x + 30] = L.UPPER_CLOTHES
    hand, second = np.s_[y + 2 : y + 14, x - 5 : x + 5], np.s_[y + 4 : y + 16, x + 6 : x + 14]
    before, expected = parse.copy(), parse.copy()
    before[hand] = expected[hand] = expected[second] = L.RIGHT_ARM
    warped = np.ones((256, 192), np.float32)
    given = _probabilities(before), warped, keypoints
    after = without_second_hands(_probabilities(expected), *given)
    assert (after[L.RIGHT_ARM][second] > 0.5).mean() < 0.1
    assert np.array_equal(
        after[:, y + 2 : y + 14, x - 5 : x + 5], _probabilities(expected)[:, y + 2 : y + 14, x - 5 : x + 5]
    )
    # Where no hand is seen, it may be drawn; and where the garment does not reach, it stays.
    for unlike in ((_probabilities(parse), warped, keypoints), (given[0], 0 * warped, keypoints)):
        assert np.array_equal(
            without_second_hands(_probabilities(expected), *unlike), _probabilities(expected)
        )
