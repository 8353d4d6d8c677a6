"""`vtcli score`: how good are results, in figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vtcli.cli import console
from vtcli.cli.options import Device, Quiet

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from vtcli.core.scoring.evaluate import Evaluation, Score


def score(
    results: Annotated[
        list[Path], typer.Argument(help="Results folders (of `vtcli tryon --data` or `vtcli warp --data`).")
    ],
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference",
            help="The photos: a folder of pictures named like the persons or the results, or a prepared "
            "split; or a .npz of pytorch-fid for FID. Default: the store the results were made from.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the figures as JSON to this file.")
    ] = None,
    per_image: Annotated[
        Path | None,
        typer.Option("--per-image", help="Write the figures of every picture as CSV to this file."),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a self-contained HTML report to this file.")
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
    save_stats: Annotated[
        Path | None,
        typer.Option("--save-stats", help="Write the reference's FID statistics (.npz as of pytorch-fid)."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes; default: one per processor.")
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            "--bootstrap",
            min=0,
            help="Rounds for the 95 % intervals of differences to the first run; 0: none.",
        ),
    ] = 1000,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Seed of the bootstrap and of the report's pairs.")
    ] = 0,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Measure results against the photos: SSIM, MS-SSIM, PSNR, FID and more.

    The first run is the one that the others are compared with.

    Example: vtcli score results/plain results/auxiliary --json scores.json
    """
    console.set_quiet(quiet)
    from vtcli.core.system.errors import UsageProblem

    for option, path in (("--json", json), ("--per-image", per_image), ("--report", report)):
        if path is not None and path.is_dir():
            raise UsageProblem(f"{option} {path}: is a folder, a file is needed")
    if save_stats is not None and save_stats.suffix != ".npz":
        raise UsageProblem(f"--save-stats {save_stats}: the name must end in .npz")
    if save_stats is not None and reference is not None and reference.suffix == ".npz":
        raise UsageProblem("--save-stats: --reference already is a file of statistics")

    from vtcli.core.scoring import outputs
    from vtcli.core.scoring.evaluate import Options, evaluate
    from vtcli.core.scoring.report import check_report, write_report
    from vtcli.core.system import runtime
    from vtcli.core.system.workers import default_jobs

    if report is not None:
        check_report()
    runtime.keep_memory()
    options = Options(
        reference=reference, inception_weights=inception_weights, lpips_weights=lpips_weights,
        jobs=jobs or default_jobs(), bootstrap=bootstrap, seed=seed, need_statistics=save_stats is not None,
    )  # fmt: skip
    evaluation = evaluate(results, options, runtime.choose_device(device), console.progress)
    if per_image is not None:
        outputs.check_per_picture(evaluation)
    for title, subset in (("all pairs", "all"), ("unseen pairs", "unseen")):
        if any(s.subset == subset for s in evaluation.scores):
            console.show(_table(evaluation, title, subset))
    for note in evaluation.notes:
        console.warn(note)
    if json is not None:
        outputs.write_scores(evaluation, json)
    if per_image is not None:
        outputs.write_per_picture(evaluation, per_image)
    if report is not None:
        write_report(evaluation, report)
    if save_stats is not None and evaluation.statistics is not None:
        evaluation.statistics.save(save_stats)


def _table(evaluation: Evaluation, title: str, subset: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    from vtcli.core.scoring.metrics import ALWAYS, metric

    table = Table(title=title, title_justify="left")
    table.add_column("")
    scores = [evaluation.of(run, subset) for run in evaluation.runs]
    for run in evaluation.runs:
        table.add_column(Text(run.name), justify="right")
    for label, value in (
        ("keep", lambda s: s.run.info.keep),
        ("pairs", lambda s: s.run.info.pairing),
        ("images", lambda s: str(len(s.rows))),
    ):
        table.add_row(label, *(Text(value(s) if s else "–", style="dim") for s in scores))
    table.add_section()
    for key in evaluation.metric_keys():
        if key not in ALWAYS and all(s is None or s.value(key) is None for s in scores):
            continue
        shown = metric(key)
        best = evaluation.best(scores, key)
        table.add_row(
            Text(f"{shown.label} {shown.arrow}".strip()), *(_cell(s, key, s in best) for s in scores)
        )
    return table


def _cell(score: Score | None, key: str, best: bool) -> Text:
    from rich.text import Text

    from vtcli.core.scoring.metrics import metric

    shown = metric(key)
    cell = Text(shown.text(None if score is None else score.value(key)), style="bold" if best else "")
    difference = score.differences.get(key) if score else None
    if difference is not None:
        low, high = shown.text(difference.low, sign=True), shown.text(difference.high, sign=True)
        cell.append(f"\n{shown.text(difference.value, sign=True)} [{low}, {high}]", style="not bold dim")
    return cell
