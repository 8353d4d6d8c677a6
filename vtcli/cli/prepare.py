"""`vtcli prepare`: a data folder → the prepared store."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vtcli.cli import console
from vtcli.cli.hints import labels_option
from vtcli.cli.options import Device, Labels, Quiet, Weights, no_stream
from vtcli.core.system.errors import UsageProblem, VtcliError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from vtcli.core.data.prepare import Advanced, Annotate, Event, SplitDone


class Split(StrEnum):
    """Which splits to prepare."""

    TRAIN = "train"
    TEST = "test"
    ALL = "all"


def prepare(
    data_dir: Annotated[
        Path, typer.Argument(help="Folder with train/ and test/, or with image/ and cloth/.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", callback=no_stream, help="Folder for the store.")
    ] = Path("prepared"),
    split: Annotated[Split, typer.Option("--split", help="Which splits to prepare.")] = Split.ALL,
    size: Annotated[
        str, typer.Option("--size", metavar="HEIGHTxWIDTH", help="Size of the pictures in the store.")
    ] = "256x192",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, help="Processes that read pictures; 0: one for each core.")
    ] = 0,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit 1 when anything had to be skipped, or given annotations do not fit."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Rewrite everything, whatever the folder holds.")
    ] = False,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Keep training pairs whose content repeats another's.")
    ] = False,
    labels: Annotated[
        Labels | None,
        typer.Option("--labels", help="Labels of the parse maps; default: those of the layout."),
    ] = None,
    weights: Weights = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Check a data set and pack it for quick reading.

    Reads VITON, VITON-HD, DressCode (tops), the forms of CP-VTON+ and GP-VTON, and plain folders image/ and cloth/ whose
    files have equal names; says what it finds and does not use. Leaves out
    training pairs whose content repeats another's, marks test photos that are also training photos, and
    makes what is missing: garment masks from the shop photos, parse maps and joints with vtcli's own parser.
    Repairs garment masks that do not fit their photo, and stores them beside the given ones.
    A run that was stopped goes on where it was; run again, it does nothing.

    Example: vtcli prepare ~/viton --out prepared

    Then: vtcli train gmm --data prepared
    """
    from vtcli.core.data.prepare import PrepareOptions
    from vtcli.core.data.prepare import prepare as run
    from vtcli.core.system import distributed

    console.set_quiet(quiet)
    options = PrepareOptions(
        size=_size(size),
        split="train" if split is Split.TRAIN else "test" if split is Split.TEST else None,
        jobs=jobs,
        force=force,
        keep_duplicates=keep_duplicates,
        labels=None if labels is None else labels.value,
    )

    def load() -> Annotate:
        from vtcli.core.tryon.photos.data_annotator import DataAnnotator

        console.say("loading the parser, which checks parse maps and joints and makes those that are missing")
        return DataAnnotator.load(weights, distributed.local_device(device))

    with distributed.joined():
        reports = _follow(run(data_dir, out, options, load), strict)
    console.show(_table(reports))
    for report in reports:
        _summarise(report)
    empty = [report for report in reports if not report.written]
    if empty:
        folders = " and ".join(str(r.folder) for r in empty)
        raise VtcliError(
            f"{data_dir}: no {empty[0].split} pair could be used ({_most(empty[0])}); see skipped.csv in {folders}"
        )
    skipped = sum(len(report.skipped) for report in reports)
    if strict and skipped:
        raise VtcliError(f"{data_dir}: {skipped:,} skipped (--strict); skipped.csv says why")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d{1,5})\s*[xX×]\s*(\d{1,5})\s*", text)
    if not match:
        raise UsageProblem(f"--size {text}: expected HEIGHTxWIDTH, such as 256x192")
    height, width = int(match[1]), int(match[2])
    if not (32 <= height <= 4096 and 32 <= width <= 4096):
        raise UsageProblem(f"--size {text}: each side must be from 32 to 4096")
    return height, width


def _follow(events: Iterator[Event], strict: bool) -> list[SplitDone]:
    """Turn events into lines and progress bars; returns what each split came to. VtcliError where given annotations do not
    fit and nothing may be `strict`ly wrong."""
    from vtcli.core.data.prepare import Advanced, Doubt, LayoutFound, SplitDone, SplitStarted

    reports: list[SplitDone] = []
    current: tuple[str, str] | None = None
    advance: console.Advance | None = None
    with ExitStack() as bar:
        for event in events:
            if isinstance(event, LayoutFound):
                counts = ", ".join(f"{s} {n:,} pairs" for s, n in event.splits.items())
                parsed = f", parse maps in {event.labels.upper()} labels" if event.labels else ""
                console.say(f"{event.layout} layout{parsed}: {counts}")
                if event.unused:
                    console.say(f"found and not used: {', '.join(event.unused)}")
            elif isinstance(event, SplitStarted):
                if event.kept > 0 and event.read < event.total:
                    console.say(
                        f"{event.split}: {event.kept:,} pairs are there already; continuing from there"
                    )
            elif isinstance(event, Doubt):
                doubt = event.told()
                if event.labels is not None:
                    doubt += f": try {labels_option(event.labels)}"
                if strict:
                    raise VtcliError(f"{doubt} (--strict)")
                console.warn(doubt)
            elif isinstance(event, Advanced):
                if current != (event.split, event.task):
                    bar.close()
                    current = (event.split, event.task)
                    label = "comparing with train" if event.task == "compare" else event.split
                    advance = bar.enter_context(console.progress(label, event.total, "pairs"))
                if advance is not None:
                    advance(event.done, _note(event))
            elif isinstance(event, SplitDone):
                bar.close()
                current = None
                reports.append(event)
    return reports


def _note(event: Advanced) -> str:
    notes = []
    if event.duplicates:
        notes.append(f"{event.duplicates:,} duplicate")
    if event.skipped:
        notes.append(f"{event.skipped:,} skipped")
    return ", ".join(notes)


def _summarise(report: SplitDone) -> None:
    """The split's findings, a line each."""
    pairs = report.written + report.duplicates
    line = f"{report.split}: {pairs:,} pairs"
    if report.seen is None:
        line += f", {report.different:,} different"
    else:
        line += f", {report.seen:,} seen in training, {report.unseen:,} different pairs unseen"
    console.say(line)
    if report.derived:
        derived = ", ".join(f"{n:,} {name.replace('_', ' ')}" for name, n in report.derived.items())
        console.say(f"{report.split}: made by vtcli: {derived}")
    if report.skipped:
        console.warn(
            f"{report.split}: {len(report.skipped):,} skipped ({_most(report)}); see {report.folder / 'skipped.csv'}"
        )
    if report.unchanged and report.written:
        console.say(f"{report.split}: {report.folder} is up to date; nothing to do (--force rewrites it)")


def _most(report: SplitDone) -> str:
    """The most frequent reason for which files were left out."""
    reasons = Counter(skip.reason for skip in report.skipped)
    reason, times = reasons.most_common(1)[0] if reasons else ("no pairs", 0)
    return reason if len(reasons) < 2 else f"{times:,} of them: {reason}"


def _table(reports: list[SplitDone]) -> Table:
    from rich.table import Table

    table = Table("split", *("pairs", "written", "duplicate", "seen", "skipped"), title=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for report in reports:
        counts = (report.listed, report.written, report.duplicates, report.seen, len(report.skipped))
        table.add_row(report.split, *("-" if n is None else f"{n:,}" for n in counts))
    return table
