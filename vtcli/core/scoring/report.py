"""The report: one HTML file that needs no network, for a screen, a phone or paper."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vtcli import __version__
from vtcli.core.scoring import metrics
from vtcli.core.scoring.album import Album, LabelPicture, Shown
from vtcli.core.scoring.pictures import FilePicture
from vtcli.core.scoring.runs import Run
from vtcli.core.scoring.scores import Columns, Evaluation, Score
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import write_atomically

SIDE_BY_SIDE = 12
"""Pairs that are shown with a column per run."""
_PANELS = 4
_STAGES = (("warp", "warp"), ("mask", "mask"), ("rendering", "rendering"))
"""(folder in the results folder, caption) of what a run may have kept besides its results."""


@dataclass(frozen=True)
class Tile:
    """A picture of the page: its number in the album, its caption, and what a touch shows instead."""

    number: int
    caption: str
    over: int | None = None
    over_caption: str = ""


def check_report() -> None:
    """VtcliError with the pip command when a library that the report needs is absent."""
    try:
        import jinja2
        import matplotlib

        del jinja2, matplotlib
    except ImportError as problem:
        raise VtcliError(
            f"--report needs {problem.name or problem}; run `pip install -e '.[report]'` in vtcli's folder"
        ) from problem


def write_report(evaluation: Evaluation, path: Path) -> None:
    """Write the report of `evaluation` to `path`, whole or not at all."""
    check_report()
    text = render(evaluation)
    write_atomically(path, lambda stream: stream.write(text.encode()))


def render(evaluation: Evaluation) -> str:
    """The report's HTML. Every name in it is escaped by the template engine."""
    import jinja2

    album = Album()
    context: dict[str, Any] = {
        "title": "vtcli score: " + ", ".join(run.name for run in evaluation.runs),
        "tables": _tables(evaluation),
        "notes": evaluation.notes,
        "reasons": _reasons(evaluation),
        "plots": _plots(evaluation),
        "groups": _groups(evaluation, album),
        "extremes": _extremes(evaluation, album),
        "runs": [_provenance(run) for run in evaluation.runs],
        "scoring": _scoring(evaluation),
        "definitions": [(metrics.metric(k).label, text) for k, text in metrics.definitions().items()],
        "size": evaluation.runs[0].info.size,
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(context, pictures=album.data_urls())


def _tables(evaluation: Evaluation) -> list[dict[str, Any]]:
    tables = []
    for title, subset in (("All pairs", "all"), ("Unseen pairs", "unseen")):
        scores = [evaluation.of(run, subset) for run in evaluation.runs]
        if not any(scores):
            continue
        rows = []
        for key in evaluation.shown_keys(scores):
            shown, best = metrics.metric(key), evaluation.best(scores, key)
            cells = [_cell(s, shown, s is not None and s in best) for s in scores]
            rows.append({"label": shown.label, "arrow": shown.arrow, "cells": cells})
        tables.append({"title": title, "subset": subset, "scores": scores, "rows": rows})
    return tables


def _cell(score: Score | None, shown: metrics.Metric, best: bool) -> dict[str, Any]:
    difference = score.differences.get(shown.key) if score else None
    return {
        "text": shown.text(None if score is None else score.value(shown.key)),
        "best": best,
        "difference": None
        if difference is None
        else f"{shown.text(difference.value, sign=True)} "
        f"[{shown.text(difference.low, sign=True)}, {shown.text(difference.high, sign=True)}]",
    }


def _reasons(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """(metric, reason, runs), each reason once."""
    found: dict[tuple[str, str], list[str]] = {}
    for score in evaluation.scores:
        for key, reason in score.reasons.items():
            label = "difference" if key == "difference" else metrics.metric(key).label
            names = found.setdefault((label, reason), [])
            if score.run.name not in names:
                names.append(score.run.name)
    return [(label, reason, ", ".join(names)) for (label, reason), names in found.items()]


def _plots(evaluation: Evaluation) -> list[dict[str, str]]:
    from vtcli.core.scoring.plots import distribution

    plots = []
    for key in _per_picture_keys(evaluation):
        columns = []
        for position, (run, own) in enumerate(zip(evaluation.runs, evaluation.columns, strict=True)):
            values = own.values.get(key, np.empty(0))
            values = values[np.isfinite(values)]
            if len(values):
                columns.append((position, run.name, values))
        if columns:
            shown = metrics.metric(key)
            plots.append({"label": f"{shown.label} {shown.arrow}".strip(), "svg": distribution(columns, key)})
    return plots


def _per_picture_keys(evaluation: Evaluation) -> list[str]:
    have = {key for columns in evaluation.columns for key in columns.values}
    return [key for key in evaluation.metric_keys() if key in have]


def _extremes(evaluation: Evaluation, album: Album) -> list[dict[str, Any]]:
    """Worst, median and best pairs of every run by every metric that vtcli knows the direction of."""
    runs = [(run, own) for run, own in zip(evaluation.runs, evaluation.columns, strict=True) if own.values]
    count = max(1, _PANELS - max(0, len(runs) - 1) // 2)
    found = []
    for key in _per_picture_keys(evaluation):
        shown = metrics.metric(key)
        if not shown.better or key in metrics.REDRAWN:  # the whole picture's metric has its panels already
            continue
        by_run = []
        for run, own in runs:
            if key in own.values:
                chosen = choose_extremes(own.values[key], shown.better, count)
                bands = [
                    {"label": label, "panels": [_panel(run, own, row, album) for row in rows]}
                    for label, rows in chosen
                    if rows
                ]
                by_run.append({"run": run.name, "bands": bands})
        found.append({"label": f"{shown.label} {shown.arrow}", "runs": by_run})
    return found


def choose_extremes(values: np.ndarray, better: str, count: int) -> list[tuple[str, list[int]]]:
    """Rows of the `count` worst, median and best of `values` (n,), worst first; NaN is left out.

    With fewer than 3·count values the three bands share them without overlap.
    """
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known] if better == "higher" else -values[known], kind="stable")]
    count = min(count, len(order) // 3) if len(order) >= 3 else len(order)
    if len(order) < 3:
        return [("worst", [int(row) for row in order])]
    start = (len(order) - count) // 2
    bands = (("worst", order[:count]), ("median", order[start : start + count]), ("best", order[-count:]))
    return [(label, [int(row) for row in rows]) for label, rows in bands]


def _panel(run: Run, own: Columns, row: int, album: Album) -> dict[str, Any]:
    pair = run.info.pairs[row]
    reference = run.references[row] if run.references is not None else None
    photo = run.photos[row] if run.photos is not None else None
    tiles = []
    if photo is not None and (photo != reference or not run.paired):
        tiles.append(Tile(album.add(photo), "person"))
    if run.cloths is not None:
        tiles.append(Tile(album.add(run.cloths[row]), "cloth"))
    tiles += [Tile(album.add(picture), caption) for picture, caption in _stages(run, row)]
    result = album.add(run.pictures[row])
    if run.paired and reference is not None:
        caption = "garment in photo" if run.info.kind == "warp" else "photo"
        number = album.add(reference)
        tiles.append(Tile(result, "result", number, caption))
        tiles.append(Tile(number, "person = reference" if photo == reference else "reference"))
    else:
        tiles.append(Tile(result, "result"))
    return {
        "name": pair.name,
        "person": pair.person,
        "cloth": pair.cloth,
        "seen": bool(run.seen[row]),
        "tiles": tiles,
        "metrics": [
            (metrics.metric(key).label, metrics.metric(key).text(float(own.values[key][row])))
            for key in own.values
            if np.isfinite(own.values[key][row])
        ],
    }


def _stages(run: Run, row: int) -> Iterable[tuple[Shown, str]]:
    """What the run kept of the way to result `row`."""
    name = run.info.pairs[row].name
    for folder, caption in _STAGES:
        path = run.folder / folder / f"{name}.png"
        if path.is_file():
            yield FilePicture(path), caption
    if run.parses is not None:
        yield LabelPicture(run.parses[row]), "M_exp"
        if run.paired and run.truths is not None:
            yield LabelPicture(run.truths[row]), "parse"


def _groups(evaluation: Evaluation, album: Album) -> list[dict[str, Any]]:
    """Runs that show the same persons in the same garments, the same pairs side by side."""
    groups: dict[tuple[object, ...], list[Run]] = {}
    for run in evaluation.runs:
        pairs = frozenset((pair.person, pair.cloth) for pair in run.info.pairs)
        groups.setdefault((run.info.kind, run.paired, pairs), []).append(run)
    return [_group(runs, evaluation.options.seed, album) for runs in groups.values()]


def _group(runs: Sequence[Run], seed: int, album: Album) -> dict[str, Any]:
    first = runs[0]
    rows = np.random.default_rng(seed).permutation(len(first))[:SIDE_BY_SIDE]
    positions = [{(p.person, p.cloth): i for i, p in enumerate(run.info.pairs)} for run in runs]
    lines = []
    for row in sorted(int(r) for r in rows):
        pair = first.info.pairs[row]
        tiles = []
        photo = first.photos[row] if first.photos is not None else None
        over = None
        if photo is not None:
            tiles.append(Tile(album.add(photo), "person"))
        if first.cloths is not None:
            tiles.append(Tile(album.add(first.cloths[row]), "cloth"))
        if first.paired and first.references is not None:
            over = album.add(first.references[row])
        for run, position in zip(runs, positions, strict=True):
            picture = run.pictures[position[pair.person, pair.cloth]]
            tiles.append(Tile(album.add(picture), run.name, over, "photo"))
        lines.append({"person": pair.person, "cloth": pair.cloth, "tiles": tiles})
    return {
        "title": f"{'Paired' if first.paired else 'Unpaired'} ({first.info.kind})",
        "names": [run.name for run in runs],
        "lines": lines,
        "of": len(first),
    }


def _provenance(run: Run) -> dict[str, Any]:
    info = run.info
    return {
        "name": run.name,
        "lines": [
            ("folder", str(run.folder)),
            ("kind", info.kind),
            ("keep", info.keep),
            ("pairing", f"{info.pairing} ({'scored as paired' if run.paired else 'scored as unpaired'})"),
            ("pairs", f"{len(run)}, of them {int(run.seen.sum())} with a photo that training has seen"),
            (
                "split and store",
                f"{info.split}, {info.store}" if info.store else "none: another tool's pictures",
            ),
            ("reference photos", run.reference or "none"),
            ("size", f"{info.size[1]}×{info.size[0]} pixels"),
            *((f"{stage} weights (SHA-256)", digest) for stage, digest in info.weights.items()),
            *((f"option {key}", str(value)) for key, value in info.options.items()),
            *((f"version of {key}", value) for key, value in info.versions.items()),
            *((("device", info.device), ("time", f"{info.seconds:.1f} s")) if info.device else ()),
        ],
    }


def _scoring(evaluation: Evaluation) -> list[tuple[str, str]]:
    options = evaluation.options
    return [
        ("vtcli", __version__),
        ("written", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("--reference", str(options.reference) if options.reference else "the results' own store"),
        *((f"{name} weights (SHA-256)", digest) for name, digest in evaluation.weights.items()),
        ("bootstrap", f"{options.bootstrap} rounds, seed {options.seed}"),
        ("processes", str(options.jobs)),
        ("device", evaluation.device),
        ("time", f"{evaluation.seconds:.1f} s"),
        *((f"version of {name}", version) for name, version in metrics.versions().items()),
    ]
