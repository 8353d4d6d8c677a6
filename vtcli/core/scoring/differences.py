"""Every run's metrics against the first run's, over the same pairs, and how sure the differences are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from vtcli.core.data.label_metrics import mean_iou
from vtcli.core.scoring import metrics
from vtcli.core.scoring.bootstrap import paired_difference
from vtcli.core.scoring.distances import Statistics, frechet_difference
from vtcli.core.scoring.runs import Run, pair_key

if TYPE_CHECKING:
    from vtcli.core.scoring.scores import Columns, Evaluation, Options, Score

FRECHET_ROUNDS = 200
"""Rounds of the bootstrap for a Fréchet distance, at most: each takes the eigenvalues of a large matrix."""

Features = Callable[["Score", str], tuple[Statistics, np.ndarray]]
"""(score, metric) → statistics of the photos and vectors of the results, in the order of the score's rows."""


def comparable(first: Run, run: Run) -> str | None:
    """Why the metrics of `run` cannot be set against those of `first`; None when they can."""
    if first.group == run.group:
        return None
    for label, mine, its in zip(
        ("kind", "--keep", "pairing", "reference", "pairs"), run.group, first.group, strict=True
    ):
        if mine != its:
            return f"not comparable with {first.name}: different {label}"
    return None


def fill_differences(evaluation: Evaluation, features: Features) -> None:
    """Fill `Score.differences` of every run that shows the first run's pairs."""
    first, options = evaluation.runs[0], evaluation.options
    base = evaluation.columns[0]
    for run, own in list(zip(evaluation.runs, evaluation.columns, strict=True))[1:]:
        for subset in ("all", "unseen"):
            score, other = evaluation.of(run, subset), evaluation.of(first, subset)
            if score is None or other is None:
                continue
            reason = comparable(first, run)
            if reason is not None:
                score.reasons["difference"] = reason
                continue
            if options.bootstrap < 1 or len(score.rows) < 2:
                score.reasons["difference"] = "no bootstrap: it needs --bootstrap N and two pairs"
                continue
            order = {pair_key(pair): i for i, pair in enumerate(first.info.pairs)}
            rows = np.array([order[pair_key(run.info.pairs[row])] for row in score.rows])
            _of_pictures(evaluation, (score, own), (other, base), rows)
            _of_distances(options, score, other, rows, features)


def _of_pictures(
    evaluation: Evaluation, mine: tuple[Score, Columns], first: tuple[Score, Columns], rows: np.ndarray
) -> None:
    (score, own), (other, base) = mine, first
    options = evaluation.options
    for key in ("given", *metrics.PAIRED, *score.run.info.figures):
        if score.value(key) is None or other.value(key) is None:
            continue
        if key == "m_exp_iou" and own.overlap is not None and base.overlap is not None:
            score.differences[key] = paired_difference(
                own.overlap[score.rows], base.overlap[rows], options.bootstrap, options.seed, mean_iou
            )
            continue
        a, b = own.values[key][score.rows], base.values[key][rows]
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() > 1:
            score.differences[key] = paired_difference(
                a[both, None], b[both, None], options.bootstrap, options.seed
            )


def _of_distances(options: Options, score: Score, other: Score, rows: np.ndarray, features: Features) -> None:
    """The difference of the Fréchet distances in Lite0's features; Inception's cost too much to be drawn again."""
    if score.value("fd_lite0") is None or other.value("fd_lite0") is None:
        return
    place = {row: i for i, row in enumerate(other.rows)}
    photos, mine = features(score, "fd_lite0")
    _, theirs = features(other, "fd_lite0")
    same = [place[row] for row in rows]
    rounds = min(options.bootstrap, FRECHET_ROUNDS)
    score.differences["fd_lite0"] = frechet_difference(photos, mine, theirs[same], rounds, options.seed)
