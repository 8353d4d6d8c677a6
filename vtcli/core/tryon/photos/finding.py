"""Whom a photo shows, and which of them is meant."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.system.errors import UsageProblem
from vtcli.core.tryon.photos.annotate import Annotator
from vtcli.core.tryon.photos.problems import NobodyFound
from vtcli.core.tryon.photos.window import Box, Window, frame_of_box, whole

FLAT = 3.0
"""Standard deviation, in grey levels, of what shows nothing at all, and so nobody: what a network sees in an even
surface is its own imagination."""
LEAST_PERSON = 0.004
"""Smallest share of the photo that counts as a person."""
LEAST_HEAD, HEADLESS = 0.03, 0.05
"""The head's least share of a person, and what the area of somebody without one counts for: textures and cloth in the
scenery are taken for clothes, but seldom for heads."""


@dataclass(frozen=True)
class Choice:
    """Who is meant: the `number`th person of a photo, counted from the largest (1), or the one in `box`
    (left, top, right, bottom, in photo pixels)."""

    number: int = 1
    box: Box | None = None


@dataclass
class FoundPerson:
    """Someone in a photo. `box` in photo pixels; `parse` (256, 192) and `window`: what the parser saw in which part of
    the photo; `inside`: the person's box in that part's 256×192 pixels; `area`: photo pixels that the person covers."""

    box: Box
    parse: np.ndarray
    window: Window
    inside: Box
    area: float


def find_people(annotator: Annotator, photo: np.ndarray) -> list[FoundPerson]:
    """Everybody in `photo` (H, W, 3) uint8, the largest first.

    Where the whole picture shows nobody, its parts are looked at from nearer: people in panoramas are small.
    """
    full = whole(photo)
    found = _look(annotator, photo, full)
    if found or min(photo.shape[:2]) < 128:
        return found
    nearer = [p for part in _parts(photo, full) for p in _look(annotator, photo, part, mirror=True)]
    distinct: list[FoundPerson] = []
    for person in sorted(nearer, key=lambda person: -person.area):
        if all(_share_inside(person.box, other.box) < 0.5 for other in distinct):
            distinct.append(person)
    return distinct


def choose_person(
    annotator: Annotator, photo: np.ndarray, choice: Choice, force: bool = False
) -> FoundPerson | None:
    """The person that is meant. NobodyFound says what was seen instead (None with `force`); UsageProblem: a box off
    the photo."""
    try:
        return _chosen(annotator, photo, choice)
    except NobodyFound:
        if force:
            return None
        raise


def _chosen(annotator: Annotator, photo: np.ndarray, choice: Choice) -> FoundPerson:
    height, width = photo.shape[:2]
    if choice.box is not None:
        left, top, right, bottom = choice.box
        if left < 0 or top < 0 or right > width or bottom > height or right - left < 8 or bottom - top < 8:
            raise UsageProblem(
                f"{left},{top},{right - left},{bottom - top} is not a box (x,y,w,h) within the photo of {width}×{height}"
            )
        there = _look(annotator, photo, frame_of_box(choice.box))
        there = [person for person in there if _share_inside(person.box, choice.box) > 0.4]
        if not there:
            raise NobodyFound("no person found in the box")
        return max(there, key=lambda person: person.area * _share_inside(person.box, choice.box))  # type: ignore[arg-type]
    found = find_people(annotator, photo)
    if not found:
        raise NobodyFound("no person found in the photo")
    if choice.number > len(found):
        boxes = "; ".join(f"{i}: {_spelled(person.box)}" for i, person in enumerate(found, 1))
        raise NobodyFound(
            f"there is no person {choice.number}; {len(found)} found (number: x,y,w,h): {boxes}", helps=()
        )
    return found[choice.number - 1]


def _look(annotator: Annotator, photo: np.ndarray, window: Window, mirror: bool = False) -> list[FoundPerson]:
    """The people in `window`. `mirror`: for small ones; large ones are found at a single look."""
    seen = window.photo(photo)
    parse = annotator.look(seen, mirror).parse[0].cpu().numpy()
    out = []
    for inside in people_boxes(parse):
        left, top, right, bottom = inside
        if float(seen[top:bottom, left:right].std(axis=(0, 1)).max()) < FLAT:
            continue
        area = float((parse[top:bottom, left:right] > L.BACKGROUND).sum()) * window.scale**2
        out.append(FoundPerson(window.box_out(inside, photo.shape[:2]), parse, window, inside, area))
    return out


def _parts(photo: np.ndarray, full: Window) -> list[Window]:
    """Windows of half the whole one's size, overlapping by half, that show a good piece of the photo."""
    height, width = photo.shape[:2]
    tall, wide = full.height / 2, full.width / 2
    parts = []
    for top in _starts(height, tall):
        for left in _starts(width, wide):
            parts.append(Window.around(left, top, tall))
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


def others(parse: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    """Where a parse map (H, W) shows other people than the one in `box` (its pixels), (H, W) bool: islands that lie
    mostly outside of the box. Nobody is another where nothing lies in the box."""
    person = (parse > 0).astype(np.uint8)
    count, islands, stats, _ = cv2.connectedComponentsWithStats(person)
    height, width = parse.shape
    margin = 0.08 * (box[2] - box[0])
    inside = np.zeros_like(person)
    left, right = (int(np.clip(x, 0, width)) for x in (box[0] - margin, box[2] + margin))
    top, bottom = (int(np.clip(y, 0, height)) for y in (box[1] - margin, box[3] + margin))
    inside[top:bottom, left:right] = 1
    own = np.bincount(islands[(inside & person) > 0], minlength=count)
    foreign = own < 0.5 * stats[:, cv2.CC_STAT_AREA]
    foreign[0] = False
    if foreign[1:].all():
        foreign[:] = False
    return np.asarray(foreign[islands])


def people_boxes(parse: np.ndarray) -> list[Box]:
    """Boxes of the people in a parse map (H, W), the largest first; one without a head counts for less.

    Parts that nearly touch belong together, and so do a head and the body right below it: VITON's maps call the
    neck background. A person must show a face, hair or skin, and be no speck.
    """
    person = (parse > 0).astype(np.uint8)
    near = max(3, min(parse.shape) // 40) | 1
    count, islands, stats, _ = cv2.connectedComponentsWithStats(
        cv2.dilate(person, np.ones((near, near), np.uint8))
    )
    sizes = {
        kind: np.bincount(islands[mask], minlength=count)
        for kind, mask in (
            ("all", person > 0),
            ("head", np.isin(parse, L.HEAD_LABELS)),
            ("living", np.isin(parse, (*L.SKIN_LABELS, L.HAIR))),
        )
    }
    belongs = np.arange(count)
    for head in range(1, count):
        if sizes["head"][head] < 0.7 * sizes["all"][head] or sizes["all"][head] < 6:
            continue
        bodies = [b for b in range(1, count) if b != head and _right_below(stats[head], stats[b])]
        bodies = [b for b in bodies if sizes["head"][b] < 0.3 * sizes["head"][head]]
        if bodies:
            belongs[head] = max(bodies, key=lambda b: sizes["all"][b])
    found = []
    for island in range(1, count):
        members = np.nonzero(belongs == island)[0]
        area = int(sizes["all"][members].sum())
        if (
            belongs[island] != island
            or area < LEAST_PERSON * parse.size
            or not sizes["living"][members].sum()
        ):
            continue
        inside = np.isin(islands, members) & (person > 0)
        rows, columns = np.nonzero(inside.any(1))[0], np.nonzero(inside.any(0))[0]
        headless = sizes["head"][members].sum() < LEAST_HEAD * area and rows[0] > 0.02 * len(parse)
        box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        found.append((area * (HEADLESS if headless else 1.0), box))
    return [box for _, box in sorted(found, reverse=True)]


def _right_below(head: np.ndarray, body: np.ndarray) -> bool:
    """Whether a body (OpenCV's statistics of a component) hangs below a head, a neck's length apart at most."""
    x, y, wide, tall = (int(v) for v in head[:4])
    left, top, across = (int(v) for v in body[:3])
    gap = top - (y + tall)
    middle = x + wide / 2
    return -0.5 * tall <= gap <= 0.9 * tall and left - 0.3 * wide <= middle <= left + across + 0.3 * wide
