"""The `vtcli` command: subcommands, version, and the one place where errors become lines and exit codes."""

from __future__ import annotations

import os
import sys
import warnings
from typing import Annotated

import typer

from vtcli import __version__
from vtcli.cli import console, hints, prepare, score, train, tryon, warp, web, weights
from vtcli.core.system.cores import share_the_machine
from vtcli.core.system.errors import VtcliError

app = typer.Typer(
    name="vtcli",
    help="Image-based virtual try-on: two photos in, one picture out.\n\n"
    "Example: vtcli tryon person.jpg cloth.jpg -o out.png",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("prepare")(prepare.prepare)
app.add_typer(train.app, name="train")
app.command("warp")(warp.warp)
app.command("tryon")(tryon.tryon)
app.command("web")(web.web)
app.command("score")(score.score)
app.add_typer(weights.app, name="weights")


def _print_version(requested: bool, verbose: bool) -> None:
    if requested:
        typer.echo(f"vtcli {__version__}")
        if verbose:
            for line in weights.describe_installed():
                typer.echo(line)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="With --version: the installed weights as well.")
    ] = False,
) -> None:
    _print_version(version, verbose)


def _ranks() -> tuple[int, int]:
    """(number, count) of torchrun's processes; torch itself takes seconds to import, and --help must not wait."""
    number, count = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    return (int(number), int(count)) if number.isdigit() and count.isdigit() else (0, 1)


def main() -> None:
    """Run the command line; VtcliError becomes one line on standard error and its exit code."""
    console.make_streams_safe()
    warnings.filterwarnings("ignore", module=r"PIL\b")  # EXIF oddities: what matters is said in our own words
    share_the_machine()
    rank, ranks = _ranks()
    console.set_mute(rank > 0)
    name = f"vtcli (process {rank} of {ranks})" if ranks > 1 else "vtcli"
    try:
        app()
    except VtcliError as problem:
        console.err.print(f"{name}: {hints.spelled(problem)}", markup=False, soft_wrap=True, style="red")
        sys.exit(hints.exit_code(problem))
    except ImportError as problem:
        console.err.print(f"{name}: {hints.repair(problem)}", markup=False, soft_wrap=True, style="red")
        sys.exit(1)
    except OSError as problem:  # what no part of vtcli expected: the disk, the system
        where = f"{problem.filename}: " if problem.filename else ""
        console.err.print(
            f"{name}: {where}{problem.strerror or problem}", markup=False, soft_wrap=True, style="red"
        )
        sys.exit(1)
    except KeyboardInterrupt:
        console.err.print("vtcli: interrupted", markup=False)
        sys.exit(130)
