"""How vtcli talks: progress bars and tables on a terminal, plain lines elsewhere, nothing with --quiet."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)
_quiet = False
_mute = False


def set_quiet(quiet: bool) -> None:
    """With `quiet`, only errors (and what was asked for on standard output) are printed."""
    global _quiet
    _quiet = quiet or _mute


def set_mute(mute: bool) -> None:
    """With `mute`, only errors: of several processes that work on one run, one speaks."""
    global _mute, _quiet
    _mute = mute
    _quiet = _quiet or mute


def is_mute() -> bool:
    """Whether another process speaks for this one."""
    return _mute


def is_quiet() -> bool:
    """Whether --quiet is on."""
    return _quiet


def say(message: str) -> None:
    """One line of news on standard error; square brackets are text, not markup."""
    if not _quiet:
        err.print(message, markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """One line of warning on standard error."""
    if not _quiet:
        err.print(f"warning: {message}", markup=False, soft_wrap=True, style="yellow")


def show(table: Table) -> None:
    """A table of results on standard output, shown even with --quiet."""
    if not _mute:
        out.print(table)


class Advance(Protocol):
    """Tell a progress bar that `done` of its steps are done, with an optional note on its right."""

    def __call__(self, done: int, note: str = "") -> None: ...


@contextmanager
def progress(label: str, total: int | None, unit: str = "") -> Iterator[Advance]:
    """A bar with count, rate and ETA on a terminal; a plain line every 15 seconds elsewhere."""
    if _quiet:
        yield lambda done, note="": None
    elif err.is_terminal:
        with _bar(label, total, unit) as advance:
            yield advance
    else:
        yield _lines(label, total, unit)


@contextmanager
def _bar(label: str, total: int | None, unit: str) -> Iterator[Advance]:
    columns = (
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )  # fmt: skip
    with Progress(*columns, console=err) as bar:
        task = bar.add_task(label, total=total, rate="", note="")

        def advance(done: int, note: str = "") -> None:
            speed = bar.tasks[task].speed
            rate = f"{speed:.1f} {unit}/s" if speed else ""
            bar.update(task, completed=done, rate=rate, note=note)

        yield advance


def _lines(label: str, total: int | None, unit: str, every: float = 15.0) -> Advance:
    start = last = time.monotonic()
    first: int | None = None

    def advance(done: int, note: str = "") -> None:
        nonlocal last, first
        now = time.monotonic()
        if first is None:
            first = done
        if now - last < every and done != total:
            return
        last = now
        rate = (done - first) / max(now - start, 1e-9)
        left = f", {max(total - done, 0) / rate:.0f} s left" if total and rate > 0 else ""
        of = f"/{total}" if total else ""
        print(
            f"{label}: {done}{of} {unit}, {rate:.1f}/s{left}{'  ' + note if note else ''}",
            file=sys.stderr, flush=True,
        )  # fmt: skip

    return advance
