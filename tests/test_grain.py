"""Drawn skin has the grain of the skin that is seen."""

from __future__ import annotations

import numpy as np

from vtcli.core.tryon.composing.grain import MOST, skin_grain

BARE = np.zeros((256, 192), bool)
BARE[100:160, 60:120] = True


def _photo(spread: float) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, spread, (512, 384, 1))
    return np.clip(170 + noise + np.zeros(3), 0, 255).astype(np.uint8)


def test_grain_is_as_strong_as_the_photos() -> None:
    weak, strong = (float(skin_grain(_photo(spread), BARE).std()) for spread in (1.0, 3.0))
    assert 0.1 < weak < 0.6 * strong
    assert float(skin_grain(_photo(40.0), BARE).std()) < 2 * MOST  # a pattern is no grain


def test_smooth_skin_gets_none_and_the_same_photo_the_same() -> None:
    assert skin_grain(_photo(0.0), BARE).std() < 0.05
    np.testing.assert_array_equal(skin_grain(_photo(2.0), BARE), skin_grain(_photo(2.0), BARE))


def test_without_bare_skin_there_is_none() -> None:
    assert not skin_grain(_photo(3.0), np.zeros((256, 192), bool)).any()
