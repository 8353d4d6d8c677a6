"""Pieces of the old garment that a parse calls background."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vtcli.core.data import labels as L
from vtcli.core.tryon.networks import People

RED, SKIN, WALL = (200, 30, 30), (220, 170, 140), (210, 210, 205)
CORNER = slice(130, 170), slice(76, 100)
"""A piece of the garment at its hem, below an arm that crosses it."""


def seen(garment: tuple[int, int, int], corner: tuple[int, int, int]) -> People:
    """Somebody in a `garment` whose `corner` the parse calls background; an arm crosses above it."""
    photo, parse = np.full((256, 192, 3), WALL, np.uint8), np.zeros((256, 192), np.uint8)
    keypoints = np.zeros((1, 18, 3), np.float32)
    for joint, x, y in (
        (L.R_SHOULDER, 70, 70),
        (L.L_SHOULDER, 122, 70),
        (L.L_HIP, 118, 165),
        (L.R_HIP, 74, 165),
    ):
        keypoints[0, joint] = x, y, 1.0
    for where, colour, label in (
        ((slice(60, 170), slice(66, 126)), garment, L.UPPER_CLOTHES),
        ((slice(110, 130), slice(50, 120)), SKIN, L.RIGHT_ARM),
        ((slice(25, 58), slice(84, 108)), SKIN, L.FACE),
        (CORNER, corner, L.BACKGROUND),
    ):
        photo[where], parse[where] = colour, label
    photo = photo.astype(np.int16) + np.random.default_rng(0).integers(-3, 4, photo.shape)
    image = torch.from_numpy(photo.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1.0
    return People(image, torch.from_numpy(parse)[None], torch.from_numpy(keypoints))


def test_a_corner_in_the_garments_colours_belongs_to_it() -> None:
    people = seen(RED, RED)
    corner = people.filled_parse[0][CORNER]
    assert (corner == L.UPPER_CLOTHES).float().mean() > 0.98
    changed = people.filled_parse != people.parse
    changed[0][CORNER] = False
    assert not changed.any()


@pytest.mark.parametrize(("garment", "corner"), [(RED, WALL), (RED, SKIN), (WALL, WALL)])
def test_scene_skin_and_a_wall_in_the_garments_colour_are_none_of_it(
    garment: tuple[int, int, int], corner: tuple[int, int, int]
) -> None:
    people = seen(garment, corner)
    assert torch.equal(people.filled_parse, people.parse)
