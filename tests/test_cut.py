"""Sleeve ends, hems and warps are measured as defined."""

from __future__ import annotations

import numpy as np
import pytest

from vtcli.core.data import labels as L
from vtcli.core.data.sleeves import SleeveEnd, sleeve_ends
from vtcli.core.scoring.cut import hem, level_angles, warp_distance
from vtcli.core.scoring.sleeve_scores import sleeve_report


def _joints() -> np.ndarray:
    joints = np.zeros((18, 3), np.float32)
    for joint, at in {
        L.NECK: (96, 60), L.R_SHOULDER: (70, 62), L.L_SHOULDER: (122, 62), L.R_ELBOW: (50, 110), L.L_ELBOW: (142, 110),
        L.R_WRIST: (40, 160), L.L_WRIST: (152, 160), L.R_HIP: (80, 160), L.L_HIP: (112, 160),
    }.items():  # fmt: skip
        joints[joint] = (*at, 1)
    return joints


def _person(sleeve_row: int, hem_row: int) -> np.ndarray:
    """A top down to `hem_row`, arms that are cloth above `sleeve_row` and bare below."""
    parse = np.zeros((256, 192), np.uint8)
    parse[55:hem_row, 66:126] = L.UPPER_CLOTHES
    parse[hem_row:, 66:126] = L.PANTS
    for side, label in ((slice(30, 66), L.RIGHT_ARM), (slice(126, 162), L.LEFT_ARM)):
        parse[60:180, side] = label
        parse[60:sleeve_row, side] = L.UPPER_CLOTHES
    return parse


@pytest.mark.parametrize(("row", "place"), [(110, 0.5), (135, 0.75)])
def test_a_sleeve_ends_where_cloth_turns_into_skin(row: int, place: float) -> None:
    for end in sleeve_ends(_person(row, 150), _joints()):
        assert end is not None
        assert end.cloth <= place + 0.02 and end.skin >= place - 0.02 and end.skin - end.cloth < 0.06


def test_arms_that_cannot_be_seen_do_not_count() -> None:
    joints = _joints()
    joints[L.R_WRIST] = 0
    right, left = sleeve_ends(_person(110, 150), joints)
    assert right is None and left is not None
    noise = np.random.default_rng(0).choice([L.UPPER_CLOTHES, L.LEFT_ARM], (64, 48)).astype(np.uint8)
    assert sleeve_ends(np.kron(noise, np.ones((4, 4), np.uint8)), _joints())[1] is None


def test_the_report_tells_whose_sleeve_the_result_has() -> None:
    rng = np.random.default_rng(0)
    own, worn = rng.uniform(0.1, 0.9, (2, 60))
    end = lambda t: SleeveEnd(t - 0.01, t + 0.01)  # noqa: E731
    follows = sleeve_report([(end(a), end(a), end(b)) for a, b in zip(own, worn, strict=True)])
    assert follows.error == 0 and follows.near == 1
    assert follows.on_garment == pytest.approx(1) and follows.on_worn == pytest.approx(0, abs=1e-6)
    stays = sleeve_report([(end(b), end(a), end(b)) for a, b in zip(own, worn, strict=True)])
    assert stays.on_garment == pytest.approx(0, abs=1e-6) and stays.on_worn == pytest.approx(1)
    assert stays.error > 0.2


def test_a_hem_is_measured_in_torso_lengths() -> None:
    assert hem(_person(110, 160), _joints()) == pytest.approx(1.0, abs=0.05)
    assert hem(_person(110, 110), _joints()) == pytest.approx(0.5, abs=0.05)
    assert hem(np.zeros((256, 192), np.uint8), _joints()) is None


def test_warps_are_held_against_the_truth() -> None:
    y, x = np.mgrid[0:256:2, 0:192:2].astype(float)
    places = np.stack([x, y], -1)
    places[:20] = np.nan
    assert warp_distance(np.stack([x + 3, y + 4], -1), places) == pytest.approx(5.0)
    turn = np.radians(10)
    turned = np.stack([x, np.cos(turn) * y - np.sin(turn) * x], -1)
    assert level_angles(turned, places) == pytest.approx(10.0, abs=0.01)
