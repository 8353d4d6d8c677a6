"""Whom a photo shows, and which of them is meant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import signed
from vtcli.core.system.errors import UsageProblem
from vtcli.core.tryon.annotate import Annotator
from vtcli.core.tryon.framing import Box, Frame, NobodyFound, frame_of_box, people, whole

FLAT = 3.0
"""Standard deviation, in grey levels, of what shows nothing at all, and so nobody: what a network sees in an even
surface is its own imagination."""


@dataclass(frozen=True)
class Choice:
    """Who is meant: the `number`th person of a photo, counted from the largest (1), or the one in `box`
    (left, top, right, bottom, in photo pixels)."""

    number: int = 1
    box: Box | None = None


@dataclass
class Person:
    """Someone in a photo. `box` (left, top, right, bottom) in photo pixels; `parse` (256, 192) and `look`: the
    picture in which she was found and its window; `inside`: her box in that window's pixels; `area`: photo pixels
    that she covers."""

    box: Box
    parse: np.ndarray
    look: Frame
    inside: Box
    area: float


def find_people(annotator: Annotator, photo: np.ndarray) -> list[Person]:
    """Everybody in `photo` (H, W, 3) uint8, the largest first.

    Where the whole picture shows nobody, its parts are looked at from nearer: people in panoramas are small.
    """
    full = whole(photo)
    found = _look(annotator, photo, full)
    if found or min(photo.shape[:2]) < 128:
        return found
    nearer = [person for part in _parts(photo, full) for person in _look(annotator, photo, part)]
    distinct: list[Person] = []
    for person in sorted(nearer, key=lambda person: -person.area):
        if all(_share_inside(person.box, other.box) < 0.5 for other in distinct):
            distinct.append(person)
    return distinct


def choose_person(annotator: Annotator, photo: np.ndarray, choice: Choice) -> Person:
    """The person that is meant. NobodyFound says what was seen instead; UsageProblem: a box off the photo."""
    height, width = photo.shape[:2]
    if choice.box is not None:
        left, top, right, bottom = choice.box
        if left < 0 or top < 0 or right > width or bottom > height or right - left < 8 or bottom - top < 8:
            raise UsageProblem(
                f"--box {left},{top},{right - left},{bottom - top}: not a box within the photo ({width}×{height})"
            )
        there = _look(annotator, photo, frame_of_box(choice.box))
        there = [person for person in there if _share_inside(person.box, choice.box) > 0.4]
        if not there:
            raise NobodyFound("no person found in --box; --force goes on with the box as it is")
        return max(there, key=lambda person: person.area * _share_inside(person.box, choice.box))  # type: ignore[arg-type]
    found = find_people(annotator, photo)
    if not found:
        raise NobodyFound("no person found in the photo; --force goes on with the whole picture")
    if choice.number > len(found):
        boxes = "; ".join(f"{i}: {_spelled(person.box)}" for i, person in enumerate(found, 1))
        raise NobodyFound(f"--person {choice.number}: {len(found)} found (number: x,y,w,h): {boxes}")
    return found[choice.number - 1]


def _look(annotator: Annotator, photo: np.ndarray, window: Frame) -> list[Person]:
    seen = window.photo(photo)
    picture = torch.from_numpy(seen.copy()).to(annotator.device)
    parse = annotator(signed(picture[None])).parse[0].cpu().numpy()
    out = []
    for inside in people(parse):
        left, top, right, bottom = inside
        if float(seen[top:bottom, left:right].std(axis=(0, 1)).max()) < FLAT:
            continue
        area = float((parse[top:bottom, left:right] > L.BACKGROUND).sum()) * window.scale**2
        out.append(Person(window.box_out(inside, photo.shape[:2]), parse, window, inside, area))
    return out


def _parts(photo: np.ndarray, full: Frame) -> list[Frame]:
    """Windows of half the whole one's size, overlapping by half, that show a good piece of the photo."""
    height, width = photo.shape[:2]
    tall, wide = full.height / 2, full.width / 2
    parts = []
    for top in _starts(height, tall):
        for left in _starts(width, wide):
            parts.append(Frame.around(left, top, tall))
    return parts


def _starts(length: int, window: float) -> list[float]:
    if length <= window:
        return [(length - window) / 2]
    count = int(np.ceil(2 * length / window)) - 1
    return [float(x) for x in np.linspace(0, length - window, max(2, count))]


def _share_inside(box: Box, other: Box) -> float:
    wide, tall = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
    return max(0, wide) * max(0, tall) / max(1, (box[2] - box[0]) * (box[3] - box[1]))


def _spelled(box: Box) -> str:
    return f"{box[0]},{box[1]},{box[2] - box[0]},{box[3] - box[1]}"
