"""What `vtcli train` shows: progress while it runs, the metrics at the end, and what to do next."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtcli.cli import console

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID
    from rich.table import Table

    from vtcli.core.training.trainer import ProgressEvent

PLAIN_SECONDS = 15.0
"""Where there is no terminal, a line of progress appears no more often than this."""


class Report:
    """Shows progress events: a bar on a terminal, a line now and then elsewhere, a line for each validation."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.metrics: dict[str, float] = {}
        """Those of the last validation."""
        self._batch = 0
        self._start = self._shown = self._last = time.monotonic()
        self._first = 0.0
        self._step = 0
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Report:
        if console.on_terminal() and not console.is_quiet():
            from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

            columns = [
                TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("rate", "left", "note")
            ]
            self._bar = Progress(
                SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
                TaskProgressColumn(), *columns, console=console.err,
            )  # fmt: skip
            self._task = self._bar.add_task(self.stage, total=1.0, rate="", left="", note="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, event: ProgressEvent) -> None:
        if event.kind == "started":
            self._started(event)
        elif event.kind == "step":
            self._stepped(event)
        elif event.kind == "validated":
            self.metrics = event.values
            console.say(f"{self.stage}: step {event.step:,}: {_listed(event.values)}")
            self._last = time.monotonic()  # the time of a validation is not that of steps
        elif event.kind == "changed":
            console.warn(f"{self.stage}: goes on with {event.words}")
        elif event.kind == "skipped":
            console.warn(
                f"step {event.step:,} skipped, its loss was not finite ({event.values['skipped']:.0f} so far)"
            )

    def _started(self, event: ProgressEvent) -> None:
        self._batch, self._step, self._first = int(event.values["batch_size"]), event.step, event.progress
        self._start = self._shown = self._last = time.monotonic()
        start = f", from step {event.step:,} on" if event.step else ""
        bound = f", {event.steps:,} steps" if event.steps else ""
        console.say(
            f"{self.stage}: {int(event.values['samples']):,} pairs, {self._batch} to a batch{bound}{start}"
        )

    def _stepped(self, event: ProgressEvent) -> None:
        now = time.monotonic()
        rate = (event.step - self._step) * self._batch / max(now - self._last, 1e-9)
        self._step, self._last = event.step, now
        done = event.progress - self._first
        left = (now - self._start) * (1.0 - event.progress) / done if done > 0 else math.nan
        count = f"step {event.step:,}" + (f"/{event.steps:,}" if event.steps else "")
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=event.progress, description=f"{self.stage} {count}",
                rate=f"{rate:.1f} samples/s", left=_duration(left), note=_listed(event.values),
            )  # fmt: skip
        elif now - self._shown >= PLAIN_SECONDS or event.progress >= 1.0:
            self._shown = now
            console.say(
                f"{self.stage}: {count}, {event.progress:.1%}, {rate:.1f} samples/s, {_duration(left)}: "
                f"{_listed(event.values)}"
            )


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left" if hours else f"{minutes}:{rest:02d} left"


def metrics_table(folder: Path, last: dict[str, float]) -> Table:
    """The metrics of the last and of the best validation side by side."""
    from rich.table import Table

    from vtcli.core.models.weights import read_metadata

    metadata: dict[str, Any] = read_metadata(folder / "best.safetensors")
    best = metadata["figures"]
    table = Table(
        "metric", "last", f"best (step {metadata['steps']:,})", title=str(folder), title_justify="left"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name in last | best:
        table.add_row(name, *(f"{v[name]:.4f}" if name in v else "-" for v in (last, best)))
    return table


def next_steps(stage: str, folder: Path, out: Path, data: Path) -> list[str]:
    """Where the weights are and what to do with them."""
    lines = [f"weights: {folder / 'best.safetensors'}; curves: tensorboard --logdir {out}"]
    if stage == "parser":
        lines.append(f"use them: vtcli prepare DATA_DIR --weights {out}")
    elif stage == "gmm":
        lines.append(f"next: vtcli train tom --data {data} --out {out}")
        lines.append(f"use them: vtcli warp person.jpg cloth.jpg -o warped.png --weights {out}")
    else:
        if not (out / "gmm" / "best.safetensors").is_file():
            lines.append(
                f"these weights belong with the GMM they were trained with: copy it to {out / 'gmm.safetensors'}"
            )
        lines.append(f"use them: vtcli tryon person.jpg cloth.jpg -o out.png --weights {out}")
    return lines
