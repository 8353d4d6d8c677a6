"""What a reader of the scores has to know: which runs do not compare, and which distances are of too few pictures."""

from __future__ import annotations

from collections.abc import Sequence

from vtcli.core.scoring import metrics
from vtcli.core.scoring.runs import Run
from vtcli.core.scoring.scores import Score


def warnings(runs: Sequence[Run], scores: Sequence[Score]) -> list[str]:
    """Sentences to be printed beside the table."""
    return [*_protocols(runs), *_few_pictures(runs, scores)]


def _protocols(runs: Sequence[Run]) -> list[str]:
    notes = []
    for label, value in (
        ("kind", lambda run: run.info.kind),
        ("--keep", lambda run: run.info.keep),
        ("pairing", lambda run: "paired" if run.paired else "unpaired"),
        ("reference", lambda run: run.reference),
    ):
        if len({value(run) for run in runs}) > 1:
            listed = ", ".join(f"{run.name}: {value(run)}" for run in runs)
            notes.append(f"the runs differ in {label} ({listed}); their metrics do not compare")
    same = [run for run in runs if run.group[:4] == runs[0].group[:4]]
    if len({run.group for run in same}) > 1:
        notes.append("the runs show different pairs; their metrics do not compare")
    for stage in sorted({stage for run in runs for stage in run.info.weights}):
        if len({run.info.weights.get(stage) for run in runs}) > 1:
            listed = ", ".join(f"{run.name}: {(run.info.weights.get(stage) or 'none')[:12]}" for run in runs)
            notes.append(f"the runs used different {stage} weights ({listed})")
    return notes


def _few_pictures(runs: Sequence[Run], scores: Sequence[Score]) -> list[str]:
    notes = []
    for family in metrics.DISTANCES:
        few = {
            len(score.rows)
            for score in scores
            if score.values.get(family.frechet) is not None and len(score.rows) < family.length
        }
        if few:
            frechet, kernel = (metrics.metric(key).label for key in (family.frechet, family.kernel))
            notes.append(
                f"{frechet} over {', '.join(map(str, sorted(few)))} pictures (fewer than {family.length:,}) is "
                f"biased upwards: compare it only with {frechet} over as many; {kernel} is unbiased, but the fewer the "
                "pictures, the more it scatters"
            )
    notes += [
        f"{run.name}: one picture only; there are no distribution distances" for run in runs if len(run) < 2
    ]
    return notes
