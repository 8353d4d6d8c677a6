"""White garments on white are cut out whole; openings of other garments stay open."""

from __future__ import annotations

import numpy as np
import pytest

from vtcli.core.garments.bites import enclosed, without_bites

GARMENT = np.s_[40:280, 40:200]


def _cut(hole: tuple[slice, slice], cloth: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A garment of the colour `cloth` on white, and its cut-out without the `hole`, which has the background's colour."""
    rgb = np.full((320, 240, 3), 246, np.uint8)
    rgb[GARMENT] = cloth
    rgb[hole] = 246
    mask = np.zeros((320, 240), bool)
    mask[GARMENT] = True
    mask[hole] = False
    return rgb, mask


def _likely(rgb: np.ndarray) -> np.ndarray:
    out = np.zeros((rgb.shape[0] // 4, rgb.shape[1] // 4), np.float32)
    out[10:70, 10:50] = 1.0
    return out


@pytest.mark.parametrize(
    ("hole", "cloth", "filled"),
    [
        (np.s_[50:110, 80:160], (250, 250, 250), True),  # the chest of a white T-shirt
        (np.s_[50:110, 80:160], (220, 90, 120), False),  # between the straps of a pink one
        (np.s_[150:250, 60:70], (250, 250, 250), False),  # between a sleeve and the body
        (np.s_[40:110, 80:160], (250, 250, 250), False),  # a deep neckline, open above
    ],
)
def test_bites_are_told_from_openings(
    hole: tuple[slice, slice], cloth: tuple[int, int, int], filled: bool
) -> None:
    rgb, mask = _cut(hole, cloth)
    out = without_bites(rgb, mask, _likely)
    assert out[hole].mean() == (1.0 if filled else 0.0)
    assert out[mask].all()


def test_a_white_collar_between_two_pieces_is_garment() -> None:
    """A navy T-shirt's ring of white, which is the background's: the inside of the back lies apart in it."""
    rows, columns = np.mgrid[:320, :240]
    away = np.hypot(rows - 40, columns - 120)
    ring = (away > 30) & (away < 44) & (rows >= 40)
    rgb, mask = _cut(np.s_[0:1, 0:1], (20, 25, 60))
    rgb[ring], mask[ring] = 246, False
    out = without_bites(rgb, mask, _likely)
    assert out[ring & (rows > 46)].mean() > 0.95 and out[mask].all()
    assert not out[:38].any() and not out[:, :38].any()


def test_a_network_that_is_not_sure_changes_nothing() -> None:
    rgb, mask = _cut(np.s_[50:110, 80:160], (250, 250, 250))
    assert np.array_equal(without_bites(rgb, mask, lambda rgb: 0.8 * _likely(rgb)), mask)


def test_enclosed_is_what_has_the_garment_on_all_sides() -> None:
    _, mask = _cut(np.s_[50:110, 80:160], (250, 250, 250))
    assert enclosed(mask)[GARMENT].all() and not enclosed(mask)[:, :40].any()
