"""A sample of the masks, parse maps and joints that came with a data set, held against what vtcli sees itself.

What is given wins over what vtcli finds; a folder of inverted masks or of another label set would spoil the store without
a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.data.plausibility import ParseProblem, joints_problem, parse_problem
from vtcli.core.data.prepare.annotator import Annotator
from vtcli.core.data.prepare.events import Doubt
from vtcli.core.data.prepare.pair_reader import PARSER_FIELDS, Pair
from vtcli.core.data.prepare.plan import SplitPlan
from vtcli.core.data.store import PreparedStore
from vtcli.core.garments.given_mask import mask_problem

Thing = TypeVar("Thing")
Seen = tuple[Pair, np.ndarray, np.ndarray]
"""A pair, and the labels (H, W) and joints (18, 3) that the parser sees in its photo."""

SAMPLE = 16
"""Pairs of a split that are looked at, evenly spread."""
FIRST = 4
"""Pairs of these that the parser sees first: where it agrees with all of them, the others of a larger split need not be looked
at."""
SEEN = 0.005
"""Shares of a photo that a head and a top cover where the parser's word counts."""


def doubts(plan: SplitPlan, annotator: Annotator) -> list[Doubt]:
    """What of the split's given annotations does not fit its pictures."""
    files = [p for p in plan.files.pairs if p.mask_file or p.parse_file or p.pose_file]
    pairs = [pair for pair in map(plan.reader.given, _spread(files, SAMPLE)) if isinstance(pair, Pair)]
    masks = [
        mask_problem(pair.arrays["cloth"], pair.arrays["cloth_mask"] > 0)
        for pair in pairs
        if "cloth_mask" not in pair.derived
    ]
    found = list(_doubt(plan.split, "garment masks", masks))
    annotated = [pair for pair in pairs if PARSER_FIELDS - set(pair.derived)]
    if annotated and annotator.available:
        seen = _seen(_spread(annotated, FIRST), annotator)
        agrees = len(seen) == FIRST and not any(any(problems) for problems in _problems(plan, seen))
        if len(annotated) > FIRST and not (agrees and len(files) > SAMPLE):
            seen = _seen(annotated, annotator)
        parses, poses = _problems(plan, seen)
        better = Counter(problem.labels for problem in parses if problem is not None)
        for doubt in _doubt(plan.split, "parse maps", [None if p is None else p.words for p in parses]):
            found.append(replace(doubt, labels=better.most_common(1)[0][0]))
        found += _doubt(plan.split, "poses", poses)
    return found


def _seen(pairs: Sequence[Pair], annotator: Annotator) -> list[Seen]:
    """What the parser sees in `pairs`, where its word counts."""
    return [
        (pair, labels, joints)
        for pair, labels, joints in zip(pairs, *annotator.see(pairs), strict=True)
        if all(np.isin(labels, some).mean() > SEEN for some in (L.HEAD_LABELS, L.TOP_LABELS))
    ]


def _problems(plan: SplitPlan, seen: Sequence[Seen]) -> tuple[list[ParseProblem | None], list[str | None]]:
    """What is wrong with each given parse map, and with each given pose."""
    used, width = plan.header["labels"], plan.options.size[1]
    parses = [
        parse_problem(p.arrays["parse"], labels, used) for p, labels, _ in seen if "parse" not in p.derived
    ]
    poses = [
        joints_problem(p.arrays["keypoints"], own, width)
        for p, _, own in seen
        if "keypoints" not in p.derived
    ]
    return parses, poses


def doubted_masks(store: PreparedStore) -> Doubt | None:
    """What of the given garment masks in a finished `store` does not fit its garments: it may be older than the checks."""
    given = [i for i, entry in enumerate(store.manifest.entries) if "cloth_mask" not in entry.derived]
    rows = _spread(given, SAMPLE)
    pictures = zip(store.read("cloth", rows), store.read("cloth_mask", rows) > 0, strict=True)
    problems = [mask_problem(cloth, mask) for cloth, mask in pictures]
    return next(_doubt(store.manifest.split, "garment masks", problems), None)


def _spread(things: Sequence[Thing], count: int) -> list[Thing]:
    """A sample of `count` of the `things`, or of fewer, evenly spread."""
    chosen = {round(x) for x in np.linspace(0, len(things) - 1, count)} if things else set()
    return [things[i] for i in sorted(chosen)]


def _doubt(split: str, what: str, problems: list[str | None]) -> Iterator[Doubt]:
    found = [problem for problem in problems if problem is not None]
    if found:
        reason = Counter(found).most_common(1)[0][0]
        yield Doubt(split, what, len(problems), len(found), reason)
