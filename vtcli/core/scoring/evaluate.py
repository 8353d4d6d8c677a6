"""Every figure of every run, over all pairs and over the unseen ones, or the reason why it is not there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from vtcli.core.data.label_metrics import mean_iou
from vtcli.core.scoring import metrics
from vtcli.core.scoring.bootstrap import Difference
from vtcli.core.scoring.differences import fill_differences
from vtcli.core.scoring.distances import Statistics, frechet_distance, kernel_distance
from vtcli.core.scoring.features import (
    INCEPTION_DIMS,
    Extractor,
    InceptionFeatures,
    Lite0Vectors,
    extract,
    find_inception,
)
from vtcli.core.scoring.paired import PairFigures, PairTask, measure_all
from vtcli.core.scoring.perceptual import Lpips, lpips_of
from vtcli.core.scoring.pictures import Picture
from vtcli.core.scoring.runs import Run, load_runs
from vtcli.core.system.errors import UsageProblem, VtcliError

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[int], object]]]
"""`with progress(label, total, unit) as advance:` where `advance(done)` moves it on."""

FID_SAMPLES = 2048
"""Below this many pictures Inception's 2,048-feature covariance is singular and FID's bias is large."""

NO_LPIPS = "LPIPS needs a trunk: give torchvision's AlexNet or VGG-16 state dict with --lpips-weights FILE"


@dataclass
class Options:
    """What `vtcli score` was asked for. `reference` as of `load_runs`; `bootstrap` rounds, 0 for none."""

    reference: Path | None = None
    inception_weights: Path | None = None
    lpips_weights: Path | None = None
    jobs: int = 1
    bootstrap: int = 1000
    seed: int = 0
    need_statistics: bool = False


@dataclass
class Columns:
    """One run's figures per picture: `values[metric]` (n,), and M_exp's overlaps (n, classes, 2)."""

    values: dict[str, np.ndarray] = field(default_factory=dict)
    overlap: np.ndarray | None = None


@dataclass
class Score:
    """One run's figures over a subset ("all" or "unseen") of its pairs, those at `rows`.

    Every metric is in `values`, as None with a word in `reasons` where it cannot be had. `figures` are means
    of the run's own (`ResultsInfo.figures`). `differences` are to the first run, by metric.
    """

    run: Run
    subset: str
    rows: np.ndarray
    values: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    figures: dict[str, float | None] = field(default_factory=dict)
    iou: dict[str, float] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)

    def value(self, key: str) -> float | None:
        """The figure called `key`, vtcli's or the run's own."""
        return self.values.get(key, self.figures.get(key))


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
        """Metrics in the order shown: the known ones, then the runs' own figures."""
        own = {key: None for score in self.scores for key in score.figures}
        return [metric.key for metric in metrics.METRICS] + list(own)


def silent(label: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], object]]:
    """Progress that says nothing."""
    return nullcontext(lambda done: None)


def evaluate(
    folders: Sequence[Path], options: Options, device: torch.device, progress: Progress = silent
) -> Evaluation:
    """Score `folders`. VtcliError names the first thing that makes a figure wrong; what merely cannot be had
    becomes a reason, and what the reader has to know a note.
    """
    start = time.monotonic()
    spaces = _Spaces(options, device)
    runs = load_runs(folders, options.reference)
    measure = Lpips(options.lpips_weights, device) if options.lpips_weights else None
    fixed = _fixed_statistics(options)
    columns = _columns(runs, options, measure, progress)
    vectors = {key: _vectors(runs, space, progress) for key, space in spaces.have.items()}
    distances = _Distances(vectors, spaces.absent, fixed)
    scores = []
    for run, own in zip(runs, columns, strict=True):
        for subset, rows in _subsets(run):
            score = Score(run, subset, rows)
            _paired_values(score, own, measure is not None)
            distances.fill(score)
            _own_figures(score)
            scores.append(score)
    notes = [note for run in runs for note in run.notes]
    notes += [reason for key, reason in spaces.absent.items() if key != "lite0" or len(runs[0]) > 1]
    notes += spaces.notes + _warnings(runs, scores)
    if measure is None and any(run.paired for run in runs):
        notes.append(NO_LPIPS)
    evaluation = Evaluation(runs, columns, scores, notes, options, spaces.digests(), str(device))
    if measure is not None:
        evaluation.weights["lpips"] = measure.digest
    if options.need_statistics:
        evaluation.statistics = _reference_statistics(runs, vectors, spaces)
    fill_differences(evaluation, distances.features)
    evaluation.seconds = time.monotonic() - start
    return evaluation


class _Spaces:
    """The feature spaces at hand, and why the others are not."""

    def __init__(self, options: Options, device: torch.device) -> None:
        self.have: dict[str, Extractor] = {}
        self.absent: dict[str, str] = {}
        self.notes: list[str] = []
        file = options.inception_weights or find_inception()
        if file is None:
            reason = (
                "FID and KID need Inception's weights, which are not here; download "
                f"{metrics.INCEPTION_URL} and give it with --inception-weights FILE"
            )
            if options.need_statistics:
                raise UsageProblem(f"--save-stats: {reason}")
            self.absent["inception"] = reason
        else:
            inception = InceptionFeatures(file, device)
            self.have["inception"] = inception
            if not inception.published:
                self.notes.append(
                    f"{file}: not the weights that pytorch-fid publishes; FID and KID by it do not compare "
                    "with published ones"
                )
        try:
            self.have["lite0"] = Lite0Vectors(device)
        except VtcliError as problem:
            self.absent["lite0"] = f"FD and KD (Lite0): {problem}"

    def digests(self) -> dict[str, str]:
        return {key: space.digest for key, space in self.have.items()}


def _fixed_statistics(options: Options) -> Statistics | None:
    if options.reference is None or options.reference.suffix != ".npz":
        return None
    return Statistics.load(options.reference, INCEPTION_DIMS)


def _subsets(run: Run) -> list[tuple[str, np.ndarray]]:
    everything = np.arange(len(run))
    unseen = everything[~run.seen]
    return [("all", everything)] + ([("unseen", unseen)] if len(unseen) < len(run) else [])


def _columns(
    runs: Sequence[Run], options: Options, measure: Lpips | None, progress: Progress
) -> list[Columns]:
    """Figures per picture of every run: its own, and those against its photos where it is paired."""
    tasks: list[PairTask] = []
    spans = []
    for run in runs:
        own = _tasks(run)
        spans.append(slice(len(tasks), len(tasks) + len(own)))
        tasks += own
    found: list[PairFigures] = []
    if tasks:
        with progress("SSIM, MS-SSIM, PSNR", len(tasks), "pairs") as advance:
            found = measure_all(tasks, options.jobs, advance)
    distances = np.empty(0)
    if tasks and measure is not None:
        with progress("LPIPS", len(tasks), "pairs") as advance:
            distances = lpips_of([t.result for t in tasks], [t.photo for t in tasks], measure, advance)
    all_columns = []
    for run, span in zip(runs, spans, strict=True):
        columns = Columns()
        mine = found[span]
        if mine:
            for key in ("ssim", "ms_ssim", "psnr"):
                columns.values[key] = np.array([getattr(figures, key) for figures in mine])
            overlaps = [figures.overlap for figures in mine if figures.overlap is not None]
            if overlaps:
                columns.overlap = np.stack(overlaps)
                columns.values["m_exp_iou"] = mean_iou(columns.overlap)
            if measure is not None:
                columns.values["lpips"] = distances[span]
        for name, values in run.info.figures.items():
            columns.values[name] = np.array([_number(values.get(pair.name)) for pair in run.info.pairs])
        all_columns.append(columns)
    return all_columns


def _tasks(run: Run) -> list[PairTask]:
    if not run.paired or run.references is None:
        return []
    with_parse = run.parses is not None and run.truths is not None
    return [
        PairTask(
            picture,
            photo,
            run.parses[i] if with_parse and run.parses else None,
            run.truths[i] if with_parse and run.truths else None,
        )
        for i, (picture, photo) in enumerate(zip(run.pictures, run.references, strict=True))
    ]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _vectors(runs: Sequence[Run], space: Extractor, progress: Progress) -> dict[Picture, np.ndarray]:
    wanted: dict[Picture, None] = {}
    for run in runs:
        wanted.update(dict.fromkeys(run.pictures))
        wanted.update(dict.fromkeys(run.references or ()))
    pictures = list(wanted)
    with progress(f"features: {space.label}", len(pictures), "pictures") as advance:
        return dict(zip(pictures, extract(pictures, space, advance), strict=True))


def _paired_values(score: Score, columns: Columns, with_lpips: bool) -> None:
    run = score.run
    for key in metrics.PER_PICTURE:
        reason = _why_not_paired(run, key, with_lpips, len(score.rows))
        column = columns.values.get(key)
        value = None
        if reason is None and column is not None:
            rows = column[score.rows]
            value = float(rows.mean())
            if key == "m_exp_iou" and columns.overlap is not None:
                sums = columns.overlap[score.rows].sum(axis=0)
                value = float(mean_iou(sums))
                score.iou = {
                    name: float(inter / union)
                    for name, (inter, union) in zip(metrics.M_EXP_CLASSES, sums, strict=True)
                    if union
                }
            if np.isnan(rows).any():
                value, reason = None, "the pictures are too small for its window"
            elif np.isinf(rows).any():
                value = None
                reason = f"infinite: {int(np.isinf(rows).sum())} results equal their photos byte for byte"
        score.values[key] = value
        if value is None:
            score.reasons[key] = reason or "not measured"


def _why_not_paired(run: Run, key: str, with_lpips: bool, count: int) -> str | None:
    if not run.paired:
        return "the run is unpaired: no photo shows these persons in these garments"
    if run.references is None:
        return "no photos to compare with: the results' store is not here"
    if not count:
        return "no pair is unseen"
    if key == "lpips" and not with_lpips:
        return NO_LPIPS
    if key == "m_exp_iou" and run.parses is None:
        return "the run keeps no M_exp (parse/) for every picture"
    if key == "m_exp_iou" and run.truths is None:
        return "no parse to compare with: the results' store is not here"
    return None


def _own_figures(score: Score) -> None:
    for name, values in score.run.info.figures.items():
        pairs = [score.run.info.pairs[row] for row in score.rows]
        numbers = np.array([_number(values.get(pair.name)) for pair in pairs])
        known = numbers[np.isfinite(numbers)]
        score.figures[name] = float(known.mean()) if len(known) else None
        if len(known) < len(numbers):
            score.reasons[name] = f"only {len(known)} of {len(numbers)} pictures have it"


@dataclass
class _Distances:
    """Distances between results and photos; statistics of a set of photos are made once."""

    vectors: dict[str, dict[Picture, np.ndarray]]
    absent: dict[str, str]
    fixed: Statistics | None
    known: dict[tuple[object, ...], Statistics] = field(default_factory=dict)

    def fill(self, score: Score) -> None:
        for space, frechet, kernel in (("inception", "fid", "kid"), ("lite0", "fd_lite0", "kd_lite0")):
            for key in (frechet, kernel):
                reason = self._why_not(score, space, key)
                score.values[key] = None
                if reason is not None:
                    score.reasons[key] = reason
                    continue
                mine = self._stack(space, [score.run.pictures[row] for row in score.rows])
                photos = list(dict.fromkeys(score.run.references[row] for row in score.rows)) if (
                    score.run.references is not None
                ) else []  # fmt: skip
                if key == kernel:
                    value = kernel_distance(mine, self._stack(space, photos))
                elif space == "inception" and self.fixed is not None:
                    value = frechet_distance(self.fixed, Statistics.of(mine))
                else:
                    value = frechet_distance(self.statistics(space, photos), Statistics.of(mine))
                score.values[key] = value

    def features(self, score: Score, key: str) -> tuple[Statistics, np.ndarray]:
        """What the Fréchet distance `key` of `score` is between: the photos' statistics, the results' vectors."""
        space = "inception" if key == "fid" else "lite0"
        assert score.run.references is not None
        photos = list(dict.fromkeys(score.run.references[row] for row in score.rows))
        results = [score.run.pictures[row] for row in score.rows]
        return self.statistics(space, photos), self._stack(space, results)

    def _stack(self, space: str, pictures: Sequence[Picture]) -> np.ndarray:
        return np.stack([self.vectors[space][picture] for picture in pictures])

    def statistics(self, space: str, photos: Sequence[Picture]) -> Statistics:
        key = (space, tuple(photos))
        if key not in self.known:
            self.known[key] = Statistics.of(self._stack(space, photos))
        return self.known[key]

    def _why_not(self, score: Score, space: str, key: str) -> str | None:
        if space in self.absent:
            return self.absent[space]
        if len(score.rows) < 2:
            return f"a distribution needs two pictures, there are {len(score.rows)}"
        if key == "fid" and self.fixed is not None:
            if score.subset != "all":
                return "the reference statistics are of all photos, not of the unseen ones"
            return None
        if score.run.references is None:
            return "no photos to compare with: the results' store is not here"
        if len({score.run.references[row] for row in score.rows}) < 2:
            return "a distribution needs photos of two persons"
        return None


def _reference_statistics(
    runs: Sequence[Run], vectors: dict[str, dict[Picture, np.ndarray]], spaces: _Spaces
) -> Statistics:
    sets = {tuple(dict.fromkeys(run.references or ())) for run in runs}
    if len(sets) != 1:
        raise UsageProblem("--save-stats: the runs have different reference photos; score them one by one")
    photos = next(iter(sets))
    if len(photos) < 2:
        raise UsageProblem("--save-stats: statistics need two reference photos or more")
    return Statistics.of(np.stack([vectors["inception"][photo] for photo in photos]))


def _warnings(runs: Sequence[Run], scores: Sequence[Score]) -> list[str]:
    notes = []
    first = runs[0]
    for label, value in (
        ("kind", lambda run: run.info.kind),
        ("--keep", lambda run: run.info.keep),
        ("pairing", lambda run: "paired" if run.paired else "unpaired"),
        ("reference", lambda run: run.reference),
    ):
        values = {value(run) for run in runs}
        if len(values) > 1:
            listed = ", ".join(f"{run.name}: {value(run)}" for run in runs)
            notes.append(f"the runs differ in {label} ({listed}); their figures do not compare")
    same = [run for run in runs if run.group[:4] == first.group[:4]]
    if len({run.group for run in same}) > 1:
        notes.append("the runs show different pairs; their figures do not compare")
    for stage in sorted({stage for run in runs for stage in run.info.weights}):
        if len({run.info.weights.get(stage) for run in runs}) > 1:
            listed = ", ".join(f"{run.name}: {(run.info.weights.get(stage) or 'none')[:12]}" for run in runs)
            notes.append(f"the runs used different {stage} weights ({listed})")
    small = {len(s.rows) for s in scores if s.values.get("fid") is not None and len(s.rows) < FID_SAMPLES}
    if small:
        notes.append(
            f"FID over {', '.join(str(n) for n in sorted(small))} pictures (fewer than {FID_SAMPLES:,}) is "
            "biased upwards: compare it only with FID over as many; KID is unbiased"
        )
    for run in runs:
        if len(run) < 2:
            notes.append(f"{run.name}: one picture only; there are no distribution distances")
    return notes
