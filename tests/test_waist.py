"""Where the lower body begins: on label maps of a person who stands upright, shoulders at row 80, hips at row 180."""

from __future__ import annotations

import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.tryon.composing.waist import HIGHEST, WAIST, light_on, with_midriff

NECK, HIPS = 80, 180


def _maps(hem: int, waist: int) -> np.ndarray:
    """(20, 256, 192): a top from the shoulders down to `hem`, trousers from `waist` on, and an arm on either side."""
    labels = np.zeros((256, 192), np.uint8)
    labels[NECK:hem, 66:126] = L.UPPER_CLOTHES
    labels[waist:, 64:128] = L.PANTS
    labels[NECK:170, 40:52] = L.RIGHT_ARM
    labels[NECK:170, 140:152] = L.LEFT_ARM
    return np.eye(L.LABELS, dtype=np.float32)[labels].transpose(2, 0, 1).copy()


def _joints() -> torch.Tensor:
    joints = torch.zeros(1, L.JOINTS, 3)
    for joint, x, y in ((L.NECK, 96, NECK), (L.R_HIP, 84, HIPS), (L.L_HIP, 108, HIPS)):
        joints[0, joint] = torch.tensor([x, y, 1.0])
    return joints


def test_a_gap_between_hem_and_trousers_is_bare() -> None:
    after, bare = with_midriff(_maps(140, 165), _maps(200, 200), _joints())
    assert bare[142:163, 70:122].all()
    assert bare.sum() == bare[140:165, 66:126].sum()
    assert (after[L.BACKGROUND][bare] == 1).all()


def test_trousers_do_not_reach_up_to_a_short_top() -> None:
    high, length = 120, HIPS - NECK
    assert high < HIPS - HIGHEST * length
    after, bare = with_midriff(_maps(high, high), _maps(200, 200), _joints())
    waist = round(HIPS - WAIST * length)
    assert bare[high + 2 : waist - 1, 96].all() and not bare[waist:, :].any()
    assert (after[L.PANTS][waist:200, 96] == 1).all()


def test_a_top_that_meets_the_trousers_bares_nothing() -> None:
    expected = _maps(160, 160)
    after, bare = with_midriff(expected, _maps(200, 200), _joints())
    assert not bare.any() and np.array_equal(after, expected)


def test_what_the_photo_shows_below_the_old_top_stays() -> None:
    """Only where the old top was can a midriff be bared: trousers that are seen so high are worn so high."""
    after, bare = with_midriff(_maps(115, 115), _maps(118, 118), _joints())
    assert not bare[123:].any() and (after[L.PANTS][123:, 96] == 1).all()


def test_the_gap_below_an_arm_is_none() -> None:
    expected, worn = _maps(140, 165), _maps(200, 200)
    for maps in (expected, worn):  # a sleeve, the arm below it, and a gap between this and wide trousers
        maps[:, NECK:100, 140:152] = 0
        maps[L.UPPER_CLOTHES, NECK:100, 126:152] = 1
        maps[:, 190:, 128:152] = 0
        maps[L.PANTS, 190:, 128:152] = 1
    _, bare = with_midriff(expected, worn, _joints())
    assert bare[150, 96] and not bare[:, 130:].any()


def test_without_hips_no_waist_is_assumed() -> None:
    expected = _maps(120, 120)
    after, bare = with_midriff(expected, _maps(200, 200), torch.zeros(1, L.JOINTS, 3))
    assert not bare.any() and np.array_equal(after, expected)


def test_a_midriff_is_darker_at_its_sides_and_below_the_hem() -> None:
    bare = np.zeros((256, 192), bool)
    bare[140:180, 66:126] = True
    light = light_on(bare)
    assert light[175, 96] > 0.99 and light[175, 70] < 0.93 and light[142, 96] < 0.95
    assert np.allclose(light[:120], 1.0) and np.allclose(light[150], light[150, ::-1], atol=0.02)
