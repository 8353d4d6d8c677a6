"""What scoring asks for and what it finds: options, metrics per picture, scores per run and subset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vtcli.core.scoring import metrics
from vtcli.core.scoring.bootstrap import Difference
from vtcli.core.scoring.distances import Statistics
from vtcli.core.scoring.runs import Run

if TYPE_CHECKING:
    from vtcli.core.scoring.sleeve_scores import Arm


@dataclass
class Options:
    """What `vtcli score` was asked for. `reference` and `unpaired` as of `load_runs`; `bootstrap` rounds, 0 for none."""

    reference: Path | None = None
    unpaired: bool = False
    inception_weights: Path | None = None
    lpips_weights: Path | None = None
    st_lpips: bool = False
    sleeves: bool = False
    jobs: int = 1
    bootstrap: int = 1000
    seed: int = 0
    need_statistics: bool = False


@dataclass
class Columns:
    """One run's metrics per picture: `values[metric]` (n,), NaN where there is none; M_exp's overlaps
    (n, classes, 2); the arms of each picture whose sleeve ends are known."""

    values: dict[str, np.ndarray] = field(default_factory=dict)
    overlap: np.ndarray | None = None
    arms: list[list[Arm]] | None = None


@dataclass
class Score:
    """One run's metrics over a subset ("all" or "unseen") of its pairs, those at `rows`.

    Every metric is in `values`, as None with a word in `reasons` where it cannot be had. `own` are means of the metrics
    that the run brought along (`ResultsInfo.figures`). `differences` are to the first run, by metric.
    """

    run: Run
    subset: str
    rows: np.ndarray
    values: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    own: dict[str, float | None] = field(default_factory=dict)
    iou: dict[str, float] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)

    def value(self, key: str) -> float | None:
        """The metric called `key`, vtcli's or the run's own."""
        return self.values.get(key, self.own.get(key))


@dataclass
class Evaluation:
    """All that was found. `weights` maps a feature space to the SHA-256 of its weights' file."""

    runs: list[Run]
    columns: list[Columns]
    scores: list[Score]
    notes: list[str]
    options: Options
    weights: dict[str, str]
    device: str
    seconds: float = 0.0
    statistics: Statistics | None = None

    def of(self, run: Run, subset: str) -> Score | None:
        """The score of `run` over `subset`, if it has one."""
        return next((s for s in self.scores if s.run is run and s.subset == subset), None)

    def best(self, scores: Sequence[Score | None], key: str) -> list[Score]:
        """The best by `key` among each group of runs that compare; none where there is no rival."""
        better = metrics.metric(key).better
        best: list[Score] = []
        for group in {s.run.group for s in scores if s is not None}:
            rivals = [
                (value, s)
                for s in scores
                if s is not None and s.run.group == group and (value := s.value(key)) is not None
            ]
            if len(rivals) > 1 and better:
                extreme = (max if better == "higher" else min)(value for value, _ in rivals)
                best += [s for value, s in rivals if value == extreme]
        return best

    def metric_keys(self) -> list[str]:
        """Metrics in the order shown: the known ones, then the runs' own."""
        own = {key: None for score in self.scores for key in score.own}
        return [metric.key for metric in metrics.METRICS] + list(own)

    def shown_keys(self, scores: Sequence[Score | None]) -> list[str]:
        """The rows of a table of `scores`: metrics that one of them has, and those that stand there even when empty."""
        return [
            key
            for key in self.metric_keys()
            if key in metrics.ALWAYS or any(s is not None and s.value(key) is not None for s in scores)
        ]
