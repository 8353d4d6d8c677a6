"""`vtcli weights`: what weights there are, and foreign ones made usable."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtcli.cli import console
from vtcli.cli.options import Quiet, no_stream
from vtcli.core.system.errors import VtcliError

if TYPE_CHECKING:
    from rich.table import Table

app = typer.Typer(help="List weights files; import CP-VTON's.", no_args_is_help=True)

KEY_METRICS = {
    "parser": ("mean_iou", "pck"),
    "gmm": ("warp_iou", "l1"),
    "tom": ("ssim_head", "ssim_outside", "l1_head"),
}
"""The metrics that a one-line description shows."""


class Stage(StrEnum):
    """Networks whose foreign weights can be imported."""

    GMM = "gmm"
    TOM = "tom"


@app.command("import")
def import_files(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="CP-VTON's gmm_final.pth, tom_final.pth, or both.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            callback=no_stream,
            help="Folder for gmm.safetensors and tom.safetensors; required.",
        ),
    ],
    stage: Annotated[
        Stage | None,
        typer.Option(
            "--stage", help="Refuse files of another network; default: found out from each file's keys."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace weights that are there; default: refuse.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Turn CP-VTON's .pth files into weights of the `paper` preset.

    The files are read without running any code that they may hold.

    Example: vtcli weights import gmm_final.pth tom_final.pth --out cp-vton

    Then: vtcli tryon person.jpg cloth.jpg --weights cp-vton --keep head
    """
    console.set_quiet(quiet)
    from vtcli.core.models.importing import import_weights

    for imported in import_weights(files, out, None if stage is None else stage.value, force):
        console.say(
            f"{imported.source}: {imported.stage}, {imported.parameters:,} parameters -> {imported.path}"
        )


@app.command("list")
def list_weights(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="Folder of weights, a run's folder, or one file; default: those that come with vtcli.",
        ),
    ] = None,
) -> None:
    """Show weights files: what they are, how long they were trained, their metrics.

    Example: vtcli weights list runs
    """
    from vtcli.core.models.weights import DEFAULT_FOLDER

    root = DEFAULT_FOLDER if folder is None else folder
    files = _files(root)
    if not files:
        raise VtcliError(f"{root}: no weights files here; train some with `vtcli train`")
    console.show(_table(root, files))


def describe_installed() -> list[str]:
    """One line for each weights file that comes with vtcli; a broken or absent one becomes a line, never an error."""
    from vtcli.core.models.weights import DEFAULT_FOLDER

    files = _files(DEFAULT_FOLDER)
    if not files:
        return ["no weights installed; train some with `vtcli train`"]
    lines = []
    for file in files:
        metadata, problem = _metadata(file)
        words = [
            metadata["stage"],
            metadata["preset"],
            metadata["aux"],
            metadata["steps"],
            metadata["metrics"],
            metadata["hash"],
        ]
        lines.append(problem or "  ".join(word for word in words if word))
    return lines


def _files(root: Path) -> list[Path]:
    """Weights files in `root`: its own, or those of the runs below it. Checkpoints are not among them."""
    if root.is_file():
        return [root]
    found = sorted(root.glob("*.safetensors")) + sorted(root.glob("*/*.safetensors"))
    return [file for file in found if file.name != "last.safetensors"]


def _metadata(file: Path) -> tuple[dict[str, str], str | None]:
    """A file's metadata as words, and the problem when it cannot be read."""
    from vtcli.core.models.weights import read_metadata, sha256

    try:
        metadata = read_metadata(file)
        digest = sha256(file)[:8]
    except (VtcliError, OSError) as problem:
        return dict.fromkeys(("stage", "preset", "aux", "steps", "metrics", "hash"), ""), str(problem)
    steps = metadata.get("steps")
    return {
        "stage": str(metadata.get("stage", "?")),
        "preset": str(metadata.get("preset", "?")),
        "aux": "aux" if metadata.get("aux") is True else "no aux" if metadata.get("aux") is False else "",
        "steps": f"{steps:,} steps" if isinstance(steps, int) else "imported" if "source" in metadata else "",
        "metrics": _metrics(metadata),
        "hash": digest,
    }, None


def _metrics(metadata: dict[str, Any]) -> str:
    metrics = metadata.get("figures")
    if not isinstance(metrics, dict):
        return ""
    names = KEY_METRICS.get(str(metadata.get("stage")), ())
    return ", ".join(f"{n} {metrics[n]:.3f}" for n in names if isinstance(metrics.get(n), int | float))


def _table(root: Path, files: list[Path]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table("file", "stage", "preset", "aux", "steps", "metrics", "sha256", "MB")
    table.columns[0].no_wrap = True
    for file in files:
        metadata, problem = _metadata(file)
        name = file.name if file == root else str(file.relative_to(root))
        if problem:
            table.add_row(Text(name), *[""] * 4, Text("cannot be read", style="red"), "", "")
            console.warn(problem)
            continue
        words = [metadata[k] for k in ("stage", "preset", "aux", "steps", "metrics", "hash")]
        table.add_row(*map(Text, (name, *words, f"{file.stat().st_size / 1e6:.1f}")))
    return table
