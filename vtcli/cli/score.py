"""`vtcli score`: metrics of results against the photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vtcli.cli import console
from vtcli.cli.options import Device, Quiet, no_stream

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from vtcli.core.scoring.runs import Run
    from vtcli.core.scoring.scores import Evaluation, Score


def score(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Results folders of `vtcli tryon --data` or `vtcli warp --data`; or, with --reference, folders of any "
            "tool's pictures, named like the photos or PHOTO_GARMENT."
        ),
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            help="The photos: a folder of pictures named like the persons or the results, or a prepared "
            "split; or a .npz of pytorch-fid for FID. Default: the store the results were made from.",
        ),
    ] = None,
    unpaired: Annotated[
        bool,
        typer.Option(
            "--unpaired",
            help="Other tools' pictures show other garments than the photos: distances between sets only.",
        ),
    ] = False,
    json: Annotated[
        Path | None,
        typer.Option("--json", callback=no_stream, help="Write the metrics as JSON to this file."),
    ] = None,
    per_image: Annotated[
        Path | None,
        typer.Option(
            "--per-image", callback=no_stream, help="Write the metrics of every picture as CSV to this file."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", callback=no_stream, help="Write a self-contained HTML report to this file."),
    ] = None,
    inception_weights: Annotated[
        Path | None,
        typer.Option(
            "--inception-weights",
            help="pytorch-fid's Inception weights, for FID and KID. Default: torch hub's cache.",
        ),
    ] = None,
    lpips_weights: Annotated[
        Path | None,
        typer.Option("--lpips-weights", help="torchvision's AlexNet or VGG-16 weights, for LPIPS."),
    ] = None,
    st_lpips: Annotated[
        bool,
        typer.Option(
            "--st-lpips",
            help="ST-LPIPS too, which tolerates small shifts; needs the extra metrics, no download.",
        ),
    ] = False,
    sleeves: Annotated[
        bool,
        typer.Option(
            "--sleeves",
            help="Where sleeves end, against the garment on its own model; vtcli's parser looks at every result.",
        ),
    ] = False,
    save_stats: Annotated[
        Path | None,
        typer.Option(
            "--save-stats",
            callback=no_stream,
            help="Write the reference's FID statistics (.npz as of pytorch-fid).",
        ),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; default: one per processor.")
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            "--bootstrap",
            min=0,
            help="Bootstrap rounds for the 95 % intervals of differences to the first run; 0: none.",
        ),
    ] = 1000,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the bootstrap and of the report's pairs.")
    ] = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure results against the photos: SSIM, MS-SSIM, PSNR, FID and more.

    The other runs are compared with the first one.

    Example: vtcli score results/plain results/auxiliary --json scores.json

    Another tool's pictures: vtcli score THEIR_RESULTS --reference PHOTOS
    """
    console.set_quiet(quiet)
    files = _Files(json, per_image, report, save_stats)
    files.check(reference)

    from vtcli.core.scoring.evaluate import evaluate
    from vtcli.core.scoring.scores import Options
    from vtcli.core.system import runtime
    from vtcli.core.system.workers import default_jobs

    runtime.keep_memory()
    options = Options(
        reference=reference, unpaired=unpaired, inception_weights=inception_weights, lpips_weights=lpips_weights,
        st_lpips=st_lpips, sleeves=sleeves, jobs=jobs or default_jobs(), bootstrap=bootstrap, seed=seed,
        need_statistics=save_stats is not None,
    )  # fmt: skip
    evaluation = evaluate(results, options, runtime.choose_device(device), console.progress)
    files.write(evaluation)
    for note in evaluation.notes:
        console.warn(note)
    for title, subset in (("all pairs", "all"), ("unseen pairs", "unseen")):
        footnotes = _Footnotes(evaluation.notes)
        for table in _tables(evaluation, title, subset, footnotes):
            console.show(table)
        for line in footnotes.lines():
            console.show(line)


@dataclass(frozen=True)
class _Files:
    """The files to be written; all of them before anything is printed, so that no terminal can cost the work."""

    json: Path | None
    per_image: Path | None
    report: Path | None
    save_stats: Path | None

    def check(self, reference: Path | None) -> None:
        """Refuse before the work what would fail after it."""
        from vtcli.core.system.errors import UsageProblem

        named = (("--json", self.json), ("--per-image", self.per_image), ("--report", self.report))
        for option, path in named:
            if path is not None and path.is_dir():
                raise UsageProblem(f"{option} {path}: is a folder, a file is needed")
        if self.save_stats is not None and self.save_stats.suffix != ".npz":
            raise UsageProblem(f"--save-stats {self.save_stats}: the name must end in .npz")
        if self.save_stats is not None and reference is not None and reference.suffix == ".npz":
            raise UsageProblem("--save-stats: --reference already is a file of statistics")
        if self.report is not None:
            from vtcli.core.scoring.report import check_report

            check_report()

    def write(self, evaluation: Evaluation) -> None:
        from vtcli.core.scoring import outputs
        from vtcli.core.scoring.report import write_report

        if self.per_image is not None:
            outputs.check_per_picture(evaluation)
        if self.json is not None:
            outputs.write_scores(evaluation, self.json)
        if self.per_image is not None:
            outputs.write_per_picture(evaluation, self.per_image)
        if self.report is not None:
            write_report(evaluation, self.report)
        if self.save_stats is not None and evaluation.statistics is not None:
            evaluation.statistics.save(self.save_stats)


def _tables(evaluation: Evaluation, title: str, subset: str, footnotes: _Footnotes) -> list[Table]:
    """All runs in one table where it fits the terminal, else as many as do in each of several."""
    runs = evaluation.runs
    if all(evaluation.of(run, subset) is None for run in runs):
        return []
    for columns in range(len(runs), 0, -1):
        parts = [runs[i : i + columns] for i in range(0, len(runs), columns)]
        tables = [_table(evaluation, title, subset, part, footnotes) for part in parts]
        if columns == 1 or all(console.width_of(table) <= console.width() for table in tables):
            break
    return tables


def _table(
    evaluation: Evaluation, title: str, subset: str, runs: Sequence[Run], footnotes: _Footnotes
) -> Table:
    from rich.table import Table
    from rich.text import Text

    from vtcli.core.scoring.metrics import metric

    if len(runs) < len(evaluation.runs):
        first = evaluation.runs.index(runs[0]) + 1
        number = f"run {first}" if len(runs) == 1 else f"runs {first} to {first + len(runs) - 1}"
        title += f", {number} of {len(evaluation.runs)}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    scores = [evaluation.of(run, subset) for run in runs]
    for run in runs:
        table.add_column(Text(run.name, overflow="fold"), justify="right")
    for label, value in (
        ("keep", lambda s: s.run.info.keep),
        ("pairs", lambda s: s.run.info.pairing),
        ("images", lambda s: str(len(s.rows))),
    ):
        table.add_row(label, *(Text(value(s) if s else "–", style="dim") for s in scores))
    table.add_section()
    everyone = [evaluation.of(run, subset) for run in evaluation.runs]
    for key in evaluation.shown_keys(everyone):
        shown, best = metric(key), evaluation.best(everyone, key)
        cells = [_cell(s, key, s in best, footnotes) for s in scores]
        table.add_row(Text(f"{shown.label} {shown.arrow}".strip()), *cells)
    return table


@dataclass
class _Footnotes:
    """Why metrics are missing, numbered; what is printed as a note anyway gets no number."""

    notes: Sequence[str]
    numbers: dict[str, int] = field(default_factory=dict)

    def mark(self, reason: str | None) -> str:
        """A bracketed number after the dash."""
        if reason is None or reason in self.notes:
            return ""
        return f" [{self.numbers.setdefault(reason, len(self.numbers) + 1)}]"

    def lines(self) -> list[str]:
        """The lines below the table."""
        return [f"[{number}] {reason}" for reason, number in self.numbers.items()]


def _cell(score: Score | None, key: str, best: bool, footnotes: _Footnotes) -> Text:
    from rich.text import Text

    from vtcli.core.scoring.metrics import metric

    shown = metric(key)
    value = None if score is None else score.value(key)
    mark = footnotes.mark(score.reasons.get(key)) if score is not None and value is None else ""
    cell = Text(shown.text(value) + mark, style="bold" if best else "")
    difference = score.differences.get(key) if score else None
    if difference is not None:
        low, high = shown.text(difference.low, sign=True), shown.text(difference.high, sign=True)
        cell.append(f"\n{shown.text(difference.value, sign=True)}\n[{low}, {high}]", style="not bold dim")
    return cell
