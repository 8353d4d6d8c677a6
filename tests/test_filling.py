"""What is filled in where the old garment goes, and the garment's own colours at its edge."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vtcli.core.data import labels as L
from vtcli.core.garments.colours import apart
from vtcli.core.garments.placement import as_placed
from vtcli.core.tryon.composing.filling import lower_body
from vtcli.core.tryon.composing.planes import mirrored_up
from vtcli.core.tryon.networks import People


@pytest.mark.parametrize("scale", [1, 4])
def test_trousers_go_on_above_a_ragged_waist_without_fans(scale: int) -> None:
    """Each column keeps its own colour: notches of the parse's edge do not turn the stripes."""
    rng = np.random.default_rng(0)
    waist = 150 + rng.integers(-3, 4, 192)
    seen = (np.arange(256)[:, None] >= waist) & (abs(np.arange(192) - 96) < 60)
    stripes = np.zeros((256 * scale, 192 * scale, 3), np.float32)
    stripes[...] = np.where(np.arange(192 * scale) // (8 * scale) % 2, 200.0, 60.0)[:, None]
    stripes[: 140 * scale] = 255.0  # the old top
    filled = mirrored_up(stripes, seen)
    there = slice(120 * scale, 140 * scale), slice(50 * scale, 140 * scale)
    assert abs(filled[there] - stripes[200 * scale, 50 * scale : 140 * scale]).max() < 1.0
    own = slice(180 * scale, 200 * scale), there[1]
    assert abs(filled[own] - stripes[own]).max() < 0.1


def test_a_short_piece_of_trousers_goes_back_and_forth() -> None:
    """Of shorts twenty rows are seen: further up their own rows are repeated, never the legs below."""
    seen = np.zeros((256, 192), bool)
    seen[200:220, 50:140] = True
    picture = np.zeros((256, 192, 3), np.float32)
    picture[200:220] = np.linspace(100.0, 119.0, 20)[:, None, None]
    picture[220:] = 240.0  # bare legs
    filled = mirrored_up(picture, seen)[:200, 60:130]
    assert filled[140:].min() > 98 and filled[140:].max() < 121
    assert abs(filled[199] - filled[199 - 38]).max() < 2.0


def test_bare_legs_do_not_go_on_above_shorts() -> None:
    window = np.full((256, 192, 3), 240, np.uint8)
    parse = torch.zeros(1, 256, 192, dtype=torch.uint8)
    parse[:, 200:220, 50:140], window[200:220, 50:140] = L.PANTS, 60
    parse[:, 220:, 50:140], window[220:, 50:140] = L.LEFT_LEG, 180
    people = People(torch.zeros(1, 3, 256, 192), parse, torch.zeros(1, L.JOINTS, 3))
    nothing = np.zeros((256, 192), bool)
    filled = lower_body(window, people, nothing, nothing)
    assert filled is not None and abs(filled[120:200, 60:130] - 60).max() < 2.0
    parse[parse == L.PANTS] = L.LEFT_LEG  # below a dress there are legs alone
    assert lower_body(window, people, nothing, nothing) is not None


def test_without_lower_body_there_is_nothing_to_mirror() -> None:
    picture = np.full((256, 192, 3), 7.0, np.float32)
    seen = np.zeros((256, 192), bool)
    seen[:, 100] = True  # one column, to the picture's top
    assert np.isfinite(mirrored_up(picture, seen)).all()


def test_a_data_sets_garment_is_worn_without_the_white_of_its_rim() -> None:
    """Data sets' masks often hold a pixel of the white around the garment; the networks see the photo as it is."""
    inside = np.zeros((256, 192), bool)
    inside[40:200, 50:140] = True
    mask = np.zeros((256, 192), bool)
    mask[39:201, 49:141] = True
    photo = np.full((256, 192, 3), 255, np.uint8)
    photo[inside] = (20, 30, 90)
    garment = as_placed(photo, mask)
    worn = ((garment.as_worn().canvas[0].permute(1, 2, 0).numpy() + 1) * 127.5).round()
    assert (worn[mask] == (20, 30, 90)).all() and (worn[~mask] == 255).all()
    assert np.array_equal(((garment.canvas[0].permute(1, 2, 0).numpy() + 1) * 127.5).round(), photo)


def test_distances_to_a_palette_are_those_to_its_nearest_colour() -> None:
    rng = np.random.default_rng(0)
    values, centers = (rng.uniform(0, 100, (*shape, 3)).astype(np.float32) for shape in ((8, 6), (5,)))
    truth = np.linalg.norm(values[:, :, None] - centers, axis=-1).min(-1)
    np.testing.assert_allclose(apart(values, centers), truth, atol=1e-3)
