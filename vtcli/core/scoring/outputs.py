"""Scores as JSON objects and as a table of pictures."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from vtcli.core.scoring import metrics
from vtcli.core.scoring.scores import Evaluation
from vtcli.core.system.errors import UsageProblem
from vtcli.core.system.files import write_atomically, write_json


def to_json(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One object per run and subset.

    `run, kind, keep, pairs` (the pairing), `paired, images, seen` ("all": every pair; "unseen": those whose
    photo is not in the training split), every metric (null with a word in `reasons`), `figures` (the run's
    own metrics, as in its `results.json`), `m_exp_classes`, `difference_to_first` (metric → difference, low, high), and what was run.
    """
    options = evaluation.options
    shared = {
        "definitions": metrics.definitions(),
        "versions": metrics.versions(),
        "scoring": {
            "reference": None if options.reference is None else str(options.reference),
            "weights": evaluation.weights,
            "bootstrap": options.bootstrap,
            "seed": options.seed,
            "jobs": options.jobs,
            "device": evaluation.device,
            "seconds": round(evaluation.seconds, 3),
        },
        "notes": evaluation.notes,
    }
    rows = []
    for score in evaluation.scores:
        run, info = score.run, score.run.info
        rows.append(
            {
                "run": run.name,
                "kind": info.kind,
                "keep": info.keep,
                "pairs": info.pairing,
                "paired": run.paired,
                "images": len(score.rows),
                "seen": score.subset,
                "seen_images": int(run.seen[score.rows].sum()),
                **score.values,
                "figures": score.own,
                "m_exp_classes": score.iou,
                "difference_to_first": {
                    key: {"difference": d.value, "low": d.low, "high": d.high}
                    for key, d in score.differences.items()
                },
                "compared_with": evaluation.runs[0].name if score.differences else None,
                "reasons": score.reasons,
                "results": {
                    "folder": str(run.folder),
                    "split": info.split,
                    "store": info.store,
                    "reference": run.reference,
                    "size": list(info.size),
                    "weights": info.weights,
                    "options": info.options,
                    "versions": info.versions,
                    "device": info.device,
                    "seconds": info.seconds,
                },
                **shared,
            }
        )
    return rows


def write_scores(evaluation: Evaluation, path: Path) -> None:
    """Write `to_json` to `path`, whole or not at all."""
    write_json(path, to_json(evaluation))


def check_per_picture(evaluation: Evaluation) -> None:
    """UsageProblem when no run has a metric per picture."""
    if not any(columns.values for columns in evaluation.columns):
        raise UsageProblem(
            "--per-image: no run has metrics per picture; SSIM and its like need paired runs, "
            f"{evaluation.runs[0].name} is {evaluation.runs[0].info.pairing}"
        )


def write_per_picture(evaluation: Evaluation, path: Path) -> None:
    """CSV: run, name, person, cloth, seen, then a column per metric (empty where a picture has none)."""
    check_per_picture(evaluation)
    keys = list(dict.fromkeys(key for columns in evaluation.columns for key in columns.values))
    keys.sort(key=lambda key: evaluation.metric_keys().index(key))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "name", "person", "cloth", "seen", *keys])
    for run, columns in zip(evaluation.runs, evaluation.columns, strict=True):
        for i, pair in enumerate(run.info.pairs):
            values = (columns.values.get(key) for key in keys)
            cells = [
                "" if column is None or np.isnan(column[i]) else repr(float(column[i])) for column in values
            ]
            writer.writerow([run.name, pair.name, pair.person, pair.cloth, int(run.seen[i]), *cells])
    write_atomically(path, lambda stream: stream.write(text.getvalue().encode()))
