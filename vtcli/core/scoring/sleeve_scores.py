"""Sleeve ends of a run's results, as vtcli's parser sees them, beside those of the garments on their own models,
and of what the people wore before, which should have no influence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from vtcli.core.data.pixels import likeliest, signed
from vtcli.core.data.sleeves import SleeveEnd, sleeve_ends
from vtcli.core.models.folding import fold_batch_norm
from vtcli.core.models.load import load_parser
from vtcli.core.models.parser import INPUT_SIZE, label_probabilities
from vtcli.core.models.weights import stage_file
from vtcli.core.scoring.pictures import StorePicture, open_store
from vtcli.core.scoring.runs import Run

LEAST_ARMS = 20
"""Arms from which slopes are worth a number."""
NOT_ASKED = "sleeve ends were not asked for: give --sleeves"
BATCH = 16


@dataclass(frozen=True)
class SleeveReport:
    """`count` arms; `error`: mean distance of the results' sleeve ends from those of the garments on their own models;
    `near`: the share within 0.1; `on_garment` and `on_worn`: least-squares slopes of the result's sleeve end on the
    garment's own (1 is right) and on the one that the person wore (0 is right)."""

    count: int
    error: float
    near: float
    on_garment: float
    on_worn: float


class Arm(NamedTuple):
    """The sleeve end of one arm: in the `result`, of the garment on its `own` model, and as it was `worn` before."""

    result: SleeveEnd
    own: SleeveEnd
    worn: SleeveEnd


def why_no_sleeves(run: Run) -> str | None:
    """Why a run's sleeve ends cannot be measured; None when they can."""
    people, garments = run.photos or [], run.cloths or []
    if run.info.kind == "warp":
        return "a warp run shows no person"
    if not garments or not all(isinstance(person, StorePicture) for person in people):
        return "no parse and joints to compare with: the results' store is not here"
    if any(picture.size() != INPUT_SIZE for picture in run.pictures[:1]):
        return f"the parser takes pictures of {INPUT_SIZE[0]}×{INPUT_SIZE[1]}"
    return None


def arms_of(run: Run, device: torch.device, advance: Callable[[int], object]) -> list[list[Arm]]:
    """The arms of each of the run's results that are seen well enough, in the result and in both photos."""
    people = [person for person in run.photos or () if isinstance(person, StorePicture)]
    seen = _parses(run, device, advance)
    return arms_in(seen, people, run.cloths or ())


def arms_in(
    parses: Iterable[np.ndarray], people: Sequence[StorePicture], garments: Sequence[StorePicture]
) -> list[list[Arm]]:
    """From the results' `parses` (256, 192), with the people and the garments that they show."""
    ends: dict[StorePicture, tuple[SleeveEnd | None, SleeveEnd | None]] = {}

    def own(picture: StorePicture) -> tuple[SleeveEnd | None, SleeveEnd | None]:
        picture = StorePicture(picture.root, picture.index)
        if picture not in ends:
            ends[picture] = sleeve_ends(picture.parse(), _joints(picture))
        return ends[picture]

    found = []
    for parse, person, garment in zip(parses, people, garments, strict=True):
        sides = zip(sleeve_ends(parse, _joints(person)), own(garment), own(person), strict=True)
        found.append([Arm(a, b, c) for a, b, c in sides if a is not None and b is not None and c is not None])
    return found


def report(arms: Iterable[Arm]) -> SleeveReport | None:
    """Error and slopes over `arms`; None of too few."""
    known = [tuple(arm) for arm in arms]
    return sleeve_report(known) if len(known) >= LEAST_ARMS else None  # type: ignore[arg-type]


def _joints(person: StorePicture) -> np.ndarray:
    return open_store(person.root).read("keypoints", [person.index])[0]


@torch.inference_mode()
def _parses(run: Run, device: torch.device, advance: Callable[[int], object]) -> Iterator[np.ndarray]:
    """What the parser sees in each result, (256, 192) uint8."""
    parser = fold_batch_norm(load_parser(stage_file(None, "parser"))).to(device)
    for start in range(0, len(run), BATCH):
        pictures = np.stack([picture.read() for picture in run.pictures[start : start + BATCH]])
        photos = signed(torch.from_numpy(pictures).to(device))
        yield from likeliest(label_probabilities(parser(photos)[0], INPUT_SIZE)).cpu().numpy()
        advance(start + len(pictures))


def sleeve_report(triples: list[tuple[SleeveEnd, SleeveEnd, SleeveEnd]]) -> SleeveReport:
    """From (result, garment on its own model, worn before) of each arm."""
    distances = np.array([result.distance(own) for result, own, _ in triples])
    made, own, worn = (np.array([t[i].middle for t in triples]) for i in range(3))
    design = np.stack([own, worn, np.ones(len(own))], 1)
    slopes = np.linalg.lstsq(design, made, rcond=None)[0]
    return SleeveReport(
        len(triples),
        float(distances.mean()),
        float((distances <= 0.1).mean()),
        float(slopes[0]),
        float(slopes[1]),
    )
