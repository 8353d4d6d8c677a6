"""Every metric of every run, over all pairs and over the unseen ones, or the reason why it is not there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch

from vtcli.core.data.label_metrics import CLASSES, mean_iou
from vtcli.core.scoring import metrics
from vtcli.core.scoring.differences import fill_differences
from vtcli.core.scoring.distances import Statistics
from vtcli.core.scoring.features import INCEPTION_DIMS, Extractor, extract
from vtcli.core.scoring.image_metrics import MS_SSIM_SIDE, SSIM_SIDE
from vtcli.core.scoring.notes import warnings
from vtcli.core.scoring.pairwise import PairMetrics, PairTask, measure_all
from vtcli.core.scoring.perceptual import Lpips, PairDistance, StLpips, distances_of
from vtcli.core.scoring.pictures import Picture
from vtcli.core.scoring.runs import Run, load_runs
from vtcli.core.scoring.scores import Columns, Evaluation, Options, Score
from vtcli.core.scoring.sleeve_scores import LEAST_ARMS, NOT_ASKED, arms_of, report, why_no_sleeves
from vtcli.core.scoring.spaces import Distances, Spaces

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[int], object]]]
"""`with progress(label, total, unit) as advance:` where `advance(done)` moves it on."""

_MEASURED = ("given", "ssim", "ssim_redrawn", "ms_ssim", "psnr", "psnr_redrawn")
"""Fields of `PairMetrics` that are columns."""
_WHY_NOT_LEARNED = {
    "lpips": "LPIPS needs a trunk: give torchvision's AlexNet or VGG-16 state dict with --lpips-weights FILE",
    "st_lpips": "ST-LPIPS was not asked for: give --st-lpips",
}


def silent(label: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], object]]:
    """Progress that says nothing."""
    return nullcontext(lambda done: None)


def evaluate(
    folders: Sequence[Path], options: Options, device: torch.device, progress: Progress = silent
) -> Evaluation:
    """Score `folders`. VtcliError names the first thing that makes a metric wrong; what merely cannot be had
    becomes a reason, and what the reader has to know a note.
    """
    start = time.monotonic()
    spaces = Spaces(options, device)
    learned = _learned(options, device)
    fixed = _fixed_statistics(options)
    runs = load_runs(folders, options.reference, options.unpaired)
    columns = _columns(runs, options, learned, device, progress)
    vectors = {key: _vectors(runs, space, progress) for key, space in spaces.have.items()}
    distances = Distances(vectors, spaces.absent, fixed)
    scores = []
    for run, own in zip(runs, columns, strict=True):
        for subset, rows in _subsets(run):
            score = Score(run, subset, rows)
            _values_per_picture(score, own, learned)
            _sleeves(score, own, options)
            distances.fill(score)
            _own_metrics(score)
            scores.append(score)
    notes = [note for run in runs for note in run.notes]
    notes += [reason for key, reason in spaces.absent.items() if key != "lite0" or len(runs[0]) > 1]
    notes += spaces.notes + warnings(runs, scores)
    if "lpips" not in learned and any(run.paired for run in runs):
        notes.append(_WHY_NOT_LEARNED["lpips"])
    weights = {**spaces.digests(), **{key: measure.digest for key, measure in learned.items()}}
    evaluation = Evaluation(runs, columns, scores, notes, options, weights, str(device))
    if options.need_statistics:
        evaluation.statistics = distances.reference_statistics(runs)
    fill_differences(evaluation, distances.features)
    evaluation.seconds = time.monotonic() - start
    return evaluation


def _learned(options: Options, device: torch.device) -> dict[str, PairDistance]:
    """The learned distances that were asked for, by metric."""
    learned: dict[str, PairDistance] = {}
    if options.lpips_weights is not None:
        learned["lpips"] = Lpips(options.lpips_weights, device)
    if options.st_lpips:
        learned["st_lpips"] = StLpips(device)
    return learned


def _fixed_statistics(options: Options) -> Statistics | None:
    if options.reference is None or options.reference.suffix != ".npz":
        return None
    return Statistics.load(options.reference, INCEPTION_DIMS)


def _subsets(run: Run) -> list[tuple[str, np.ndarray]]:
    everything = np.arange(len(run))
    unseen = everything[~run.seen]
    return [("all", everything)] + ([("unseen", unseen)] if len(unseen) < len(run) else [])


# Metrics per picture


def _columns(
    runs: Sequence[Run], options: Options, learned: dict[str, PairDistance], device: torch.device,
    progress: Progress,
) -> list[Columns]:  # fmt: skip
    """Metrics per picture of every run: its own, and those against its photos."""
    tasks: list[PairTask] = []
    spans = []
    for run in runs:
        own = _tasks(run)
        spans.append(slice(len(tasks), len(tasks) + len(own)))
        tasks += own
    found: list[PairMetrics] = []
    if tasks:
        with progress("SSIM, MS-SSIM, PSNR", len(tasks), "pairs") as advance:
            found = measure_all(tasks, options.jobs, advance)
    all_columns = []
    for run, span in zip(runs, spans, strict=True):
        columns = Columns()
        if found[span]:
            _take_measured(columns, found[span])
        for name, values in run.info.figures.items():
            columns.values[name] = np.array([_number(values.get(pair.name)) for pair in run.info.pairs])
        all_columns.append(columns)
    for key, measure in learned.items():
        _add_learned(key, measure, runs, all_columns, progress)
    if options.sleeves:
        for run, columns in zip(runs, all_columns, strict=True):
            if why_no_sleeves(run) is None:
                with progress(f"sleeve ends: {run.name}", len(run), "pictures") as advance:
                    columns.arms = arms_of(run, device, advance)
    return all_columns


def _take_measured(columns: Columns, found: Sequence[PairMetrics]) -> None:
    for key in _MEASURED:
        column = np.array([getattr(pair, key) for pair in found])
        if not np.isnan(column).all():
            columns.values[key] = column
    overlaps = [pair.overlap for pair in found if pair.overlap is not None]
    if overlaps:
        columns.overlap = np.stack(overlaps)
        columns.values["m_exp_iou"] = mean_iou(columns.overlap)


def _add_learned(
    key: str, measure: PairDistance, runs: Sequence[Run], all_columns: Sequence[Columns], progress: Progress
) -> None:
    """Column `key` of every paired run."""
    paired = [
        (run, columns)
        for run, columns in zip(runs, all_columns, strict=True)
        if run.paired and run.references is not None
    ]
    total = sum(len(run) for run, _ in paired)
    if not total:
        return
    with progress(measure.label, total, "pairs") as advance:
        done = 0
        for run, columns in paired:
            heard = partial(_advance_from, advance, done)
            columns.values[key] = distances_of(run.pictures, run.references or (), measure, heard)
            done += len(run)


def _advance_from(advance: Callable[[int], object], start: int, done: int) -> None:
    advance(start + done)


def _tasks(run: Run) -> list[PairTask]:
    references = run.references if run.paired else None
    persons = run.photos if run.why_given_unknown is None else None
    if references is None and persons is None:
        return []
    parses = run.parses if references is not None and run.truths is not None else None
    return [
        PairTask(
            picture,
            references[i] if references else None,
            persons[i] if persons else None,
            parses[i] if parses else None,
            run.truths[i] if parses and run.truths else None,
        )
        for i, picture in enumerate(run.pictures)
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


# Metrics per run


def _values_per_picture(score: Score, columns: Columns, learned: dict[str, PairDistance]) -> None:
    """Means of the columns over the score's rows, or the reasons why there are none."""
    for key in ("given", *metrics.PAIRED):
        reason = _why_not(score, key, learned)
        column = columns.values.get(key)
        value = None
        if reason is None:
            rows = column[score.rows] if column is not None else np.full(len(score.rows), np.nan)
            value, reason = _mean(key, rows)
            if key == "m_exp_iou" and columns.overlap is not None:
                value = _pooled_iou(score, columns.overlap[score.rows].sum(axis=0))
        score.values[key] = value
        if value is None:
            score.reasons[key] = reason or "not measured"


def _sleeves(score: Score, columns: Columns, options: Options) -> None:
    """Where sleeves end, over the score's rows, or why that is not known."""
    reason = why_no_sleeves(score.run) if options.sleeves else NOT_ASKED
    found = None
    if columns.arms is not None:
        found = report(arm for row in score.rows for arm in columns.arms[row])
        reason = f"fewer than {LEAST_ARMS} arms are seen well enough"
    for key in metrics.SLEEVES:
        if found is None:
            score.values[key], score.reasons[key] = None, reason or "not measured"
    if found is not None:
        values = (found.error, found.on_garment, found.on_worn)
        score.values |= dict(zip(metrics.SLEEVES, values, strict=True))


def _mean(key: str, rows: np.ndarray) -> tuple[float | None, str | None]:
    missing = int(np.isnan(rows).sum())
    if missing and key in metrics.REDRAWN:
        return None, f"{missing} results have no redrawn pixel inside of the window's reach"
    if missing:
        side = MS_SSIM_SIDE if key == "ms_ssim" else SSIM_SIDE
        what = "five scales of an 11-pixel window need" if key == "ms_ssim" else "its window needs"
        return None, f"pictures too small: {what} {side} pixels a side"
    if np.isinf(rows).any():
        return None, f"infinite: {int(np.isinf(rows).sum())} results equal their photos byte for byte"
    return float(rows.mean()), None


def _pooled_iou(score: Score, sums: np.ndarray) -> float:
    """Mean IoU of M_exp with pixels summed over pictures; each class's goes to `score.iou`."""
    score.iou = {
        name: float(inter / union) for name, (inter, union) in zip(CLASSES, sums, strict=True) if union
    }
    return float(mean_iou(sums))


def _why_not(score: Score, key: str, learned: dict[str, PairDistance]) -> str | None:
    run = score.run
    if not len(score.rows):
        return "no pair is unseen"
    if key == "given":
        return run.why_given_unknown
    if not run.paired:
        return "the run is unpaired: no photo shows these persons in these garments"
    if run.references is None:
        return "no photos to compare with: the results' store is not here"
    if key in metrics.REDRAWN:
        return run.why_given_unknown
    if key in _WHY_NOT_LEARNED and key not in learned:
        return _WHY_NOT_LEARNED[key]
    if key == "m_exp_iou" and run.parses is None:
        return "the run keeps no M_exp (parse/) for every picture"
    if key == "m_exp_iou" and run.truths is None:
        return "no parse to compare with: the results' store is not here"
    return None


def _own_metrics(score: Score) -> None:
    for name, values in score.run.info.figures.items():
        pairs = [score.run.info.pairs[row] for row in score.rows]
        numbers = np.array([_number(values.get(pair.name)) for pair in pairs])
        known = numbers[np.isfinite(numbers)]
        score.own[name] = float(known.mean()) if len(known) else None
        if len(known) < len(numbers):
            score.reasons[name] = f"only {len(known)} of {len(numbers)} pictures have it"
