"""A label at the neck is not worn; what else lies there is."""

from __future__ import annotations

import numpy as np
import pytest

from vtcli.core.garments.neck_label import neck_label, without_label
from vtcli.core.garments.placement import as_placed, place

CLOTH, WHITE = (180, 60, 70), 250


@pytest.fixture
def shirt() -> tuple[np.ndarray, np.ndarray]:
    """A red shirt (256, 192, 3) uint8 on white with thin darker stripes down, and its mask."""
    rgb, mask = np.full((256, 192, 3), 255, np.uint8), np.zeros((256, 192), bool)
    mask[30:230, 40:152] = mask[30:90, 12:180] = True
    rgb[mask] = CLOTH
    stripes = mask & (np.arange(192) % 6 == 0)[None]
    rgb[stripes] = (165, 50, 60)
    return rgb, mask


LABEL = np.s_[30:34, 91:101]


def test_cloth_lies_where_the_label_was(shirt: tuple[np.ndarray, np.ndarray]) -> None:
    plain, mask = shirt
    labelled = plain.copy()
    labelled[LABEL] = WHITE
    labelled[31:33, 93:99:2] = 40  # its writing
    found = neck_label(labelled, mask)
    assert found[LABEL].all() and found.sum() < 3 * found[LABEL].sum() and not (found & ~mask).any()
    assert np.abs(without_label(labelled, found).astype(int) - plain).max() <= 2
    for scale in (1, 3):
        large = [np.repeat(np.repeat(x, scale, 0), scale, 1) for x in (labelled, plain, mask)]
        worn, as_it_is = (place(rgb, large[2]) for rgb in large[:2])
        away = (worn.canvas - as_it_is.canvas).abs()[:, :, : worn.canvas.shape[2] // 4]
        assert float(away.mean()) < 0.004, scale
        assert bool((worn.mask == as_it_is.mask).all())
    given = as_placed(labelled, mask)  # the networks see a data set's photo as it is
    assert given.worn is not None and float((given.canvas - given.worn).abs().max()) > 0.5


@pytest.mark.parametrize(
    "where", [np.s_[30:37, 40:152], np.s_[60:67, 88:104], np.s_[30:80, 88:104], np.s_[30:37, 120:136]],
    ids=["a collar in another colour", "a print on the chest", "a placket", "a shoulder's patch"],
)  # fmt: skip
def test_what_else_is_there_stays(shirt: tuple[np.ndarray, np.ndarray], where: tuple[slice, slice]) -> None:
    rgb, mask = shirt
    rgb[where] = WHITE
    assert not neck_label(rgb, mask).any()
    assert without_label(rgb, neck_label(rgb, mask)) is rgb
