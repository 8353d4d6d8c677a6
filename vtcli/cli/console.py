"""How vtcli talks: progress bars and tables on a terminal, plain lines elsewhere, nothing with --quiet.

No work is lost to where the words go: symbols that a terminal's encoding lacks are written in its own (`↑` as `^`), a
reader that has gone is no error, and messages that cannot be written are left out.
"""

from __future__ import annotations

import codecs
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Protocol

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

from vtcli.core.system.errors import VtcliError

_PLAIN = {
    "↑": "^", "↓": "v", "–": "-", "—": "-", "−": "-", "…": "...", "×": "x", "·": "*", "±": "+-", "≤": "<=", "≥": ">=",
    "→": "->", "θ": "theta", "σ": "sigma", "’": "'", "‘": "'", "“": '"', "”": '"',
}  # fmt: skip
"""What stands for a symbol that an encoding lacks; everything else becomes a question mark."""


def _plainly(problem: UnicodeError) -> tuple[str, int]:
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    lacking = problem.object[problem.start : problem.end]
    return "".join(_PLAIN.get(c, "?") for c in lacking), problem.end


codecs.register_error("vtcli.plain", _plainly)


def make_streams_safe() -> None:
    """Let standard output and standard error write what their encoding lacks in plain symbols."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="vtcli.plain")


class _Console(Console):
    """A console whose reader may leave: what is printed afterwards is dropped."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        _drop(self.file)


def _drop(stream: IO[str]) -> None:
    """Send the rest of `stream`, and what is still in its buffer, nowhere: else Python's exit would stumble on it."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


out = _Console(highlight=False, emoji=False)  # `:x:` in a file's name is no emoji
err = _Console(stderr=True, highlight=False, emoji=False)
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


def on_terminal() -> bool:
    """Whether progress bars can be drawn: FORCE_COLOR makes rich take a file for a terminal, and a log full of cursor codes."""
    return err.is_terminal and err.file.isatty()


def fail(message: str) -> None:
    """A line on what could not be done, shown even with --quiet."""
    _tell(message, style="red")


def say(message: str) -> None:
    """One message on standard error; square brackets are text, not markup."""
    if not _quiet:
        _tell(message)


def warn(message: str) -> None:
    """One line of warning on standard error."""
    if not _quiet:
        _tell(f"warning: {message}", style="yellow")


def _tell(message: str, style: str | None = None) -> None:
    try:
        err.print(message, markup=False, soft_wrap=True, style=style)
    except OSError:  # a full disk behind standard error must not end the work
        _drop(err.file)


def show(result: Table | str) -> None:
    """A table or a line of results on standard output, shown even with --quiet.

    VtcliError when it cannot be written (a full disk); a reader that has gone away is no error.
    """
    if _mute:
        return
    try:
        _unbounded(result).print(result, markup=False, soft_wrap=isinstance(result, str))
        out.file.flush()
    except BrokenPipeError:
        out.on_broken_pipe()
    except OSError as problem:
        _drop(out.file)
        raise VtcliError(f"standard output: cannot be written ({problem.strerror or problem})") from problem


def _unbounded(result: Table | str) -> Console:
    """Where to print `result`: a file has no edge at which cells would have to be cut."""
    if isinstance(result, str) or out.file.isatty() or width_of(result) <= out.width:
        return out
    return _Console(file=out.file, width=width_of(result), highlight=False, emoji=False)


def width() -> int:
    """Columns of standard output."""
    return out.width


def width_of(table: Table) -> int:
    """Columns that `table` takes where nothing is wrapped."""
    return out.measure(table, options=out.options.update(max_width=10_000)).maximum


class Advance(Protocol):
    """Tell a progress bar that `done` of its steps are done, with an optional note on its right."""

    def __call__(self, done: int, note: str = "") -> None: ...


@contextmanager
def progress(label: str, total: int | None, unit: str = "") -> Iterator[Advance]:
    """A bar with count, rate and ETA on a terminal; a plain line every 15 seconds elsewhere."""
    if _quiet:
        yield lambda done, note="": None
    elif on_terminal():
        with _bar(label, total, unit) as advance:
            yield advance
    else:
        yield _lines(label, total, unit)


@contextmanager
def _bar(label: str, total: int | None, unit: str) -> Iterator[Advance]:
    columns = (
        SpinnerColumn("dots" if err.encoding.startswith("utf") else "line"),
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
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
        _tell(f"{label}: {done}{of} {unit}, {rate:.1f}/s{left}{'  ' + note if note else ''}")

    return advance
