"""Parse maps and joints that come with a photo, held against what the parser sees in it."""

from __future__ import annotations

import numpy as np

from vtcli.core.data.plausibility import joints_problem, parse_problem
from vtcli.core.tryon.photos.annotate import Annotator
from vtcli.core.tryon.photos.finding import FoundPerson, find_people
from vtcli.core.tryon.photos.framing import first_frame, viton_frame
from vtcli.core.tryon.photos.person import seen_in
from vtcli.core.tryon.photos.problems import UnfitPhoto
from vtcli.core.tryon.photos.window import HEIGHT, WIDTH, Window, whole


def refuse_unlike(
    annotator: Annotator, photo: np.ndarray, parse: np.ndarray | None, keypoints: np.ndarray | None
) -> None:
    """UnfitPhoto where `parse` (H, W) LIP labels or `keypoints` (18, 3), given for `photo` (H, W, 3) uint8, are not those
    of the person whom the parser sees. Nothing where it sees nobody, and for photos without given annotations."""
    if parse is None and keypoints is None:
        return
    people = find_people(annotator, photo)
    if not people:
        return
    who = _meant(people, parse, keypoints)
    window = _window(annotator, photo, who)
    labels, joints = seen_in(annotator, window.photo(photo))
    wrong_parse = None if parse is None else parse_problem(window.labels(parse), labels)
    if wrong_parse is not None:
        raise UnfitPhoto(f"the parse map {wrong_parse.words}", labels=wrong_parse.labels, given="parse")
    wrong_joints = None
    if keypoints is not None:
        wrong_joints = joints_problem(keypoints, window.points_out(joints), photo.shape[1])
    if wrong_joints is not None:
        raise UnfitPhoto(f"the given {wrong_joints}", given="keypoints")


def _meant(people: list[FoundPerson], parse: np.ndarray | None, keypoints: np.ndarray | None) -> FoundPerson:
    """The one of `people` on whom most of what is given lies; the largest where that decides nothing."""

    def on(person: FoundPerson) -> float:
        left, top, right, bottom = person.box
        if parse is not None:
            return float(np.count_nonzero(parse[top:bottom, left:right]))
        assert keypoints is not None
        x, y, present = keypoints[:, 0], keypoints[:, 1], keypoints[:, 2] > 0
        return float((present & (x >= left) & (x < right) & (y >= top) & (y < bottom)).sum())

    return max(people, key=on)


def _window(annotator: Annotator, photo: np.ndarray, who: FoundPerson) -> Window:
    """The window of `who` by the parser's own joints; a photo of the networks' size is framed already."""
    if photo.shape[:2] == (HEIGHT, WIDTH):
        return whole(photo)
    rough = first_frame(who.parse, who.inside, who.window)
    return viton_frame(annotator.joints(rough.photo(photo)), rough)
