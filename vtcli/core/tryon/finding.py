"""Whom a photo shows: a coarse look at the whole picture, a second one at whoever is small in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.tryon.annotate import Annotator
from vtcli.core.tryon.framing import Box, Frame, people, whole

SMALL = 0.55
"""A person less high than this share of a look is looked at again from nearer."""
NEARER = 0.8
"""Her share of the second look's height."""


@dataclass
class Person:
    """Someone in a photo. `box` (left, top, right, bottom) in photo pixels; `parse` (256, 192) and `look`: the
    nearest look at her and its window; `inside`: her box in that look's pixels; `area`: photo pixels she covers."""

    box: Box
    parse: np.ndarray
    look: Frame
    inside: Box
    area: float


def find_people(annotator: Annotator, photo: np.ndarray) -> list[Person]:
    """Everybody in `photo` (H, W, 3) uint8, the largest first."""
    full = whole(photo)
    found = []
    for person in _look(annotator, photo, full):
        found.append(person)
    return sorted(found, key=lambda person: -person.area)


def _look(annotator: Annotator, photo: np.ndarray, window: Frame) -> list[Person]:
    picture = torch.from_numpy(window.photo(photo).copy()).to(annotator.device)
    parse = annotator(picture.permute(2, 0, 1)[None].float() / 127.5 - 1.0).parse[0].cpu().numpy()
    out = []
    for inside in people(parse):
        left, top, right, bottom = inside
        area = float((parse[top:bottom, left:right] > L.BACKGROUND).sum()) * window.scale**2
        out.append(Person(window.box_out(inside, photo.shape[:2]), parse, window, inside, area))
    return out
