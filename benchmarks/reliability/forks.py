"""Runs of vtcli in forked processes: torch is imported once, and a run can be killed, hard, at any moment."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent


def warm() -> None:
    """Import what vtcli will need, once, before anything is forked. One thread: forks inherit no others."""
    os.environ.update(OMP_NUM_THREADS="1", COLUMNS="200", TERM="dumb")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    import torch
    import torch.utils.tensorboard

    import vtcli.cli.app
    import vtcli.core.data.prepare
    import vtcli.core.scoring.evaluate
    import vtcli.core.scoring.report
    import vtcli.core.training.gmm
    import vtcli.core.training.run
    import vtcli.core.tryon.pipeline
    import vtcli.core.tryon.split  # noqa: F401

    torch.set_num_threads(1)


def shrink() -> None:
    """Small networks and small shards, so that a run takes a second and still has many moments to die in."""
    from vtcli.core.data.prepare import plan

    for kinds, settings in small_presets():
        kinds["lite"] = settings
    plan.SHARD_SIZE = 8


def keep_annotator(weights: Path | None, device: str) -> None:
    """Load the networks by which `prepare` checks a data set with these arguments once; forks inherit them. With others it
    loads its own."""
    from vtcli.core.tryon.photos.data_annotator import DataAnnotator

    if not hasattr(DataAnnotator.load, "cache_info"):
        DataAnnotator.load = cache(DataAnnotator.load)  # type: ignore[method-assign, assignment]
    DataAnnotator.load(weights, device)


def small_presets() -> list[tuple[dict[str, Any], Any]]:
    """The presets of GMM and TOM, and small settings for each."""
    from vtcli.core.models import presets
    from vtcli.core.models.lite_gmm import LiteGMMSettings
    from vtcli.core.models.lite_tom import LiteTOMSettings

    return [
        (presets.GMM_PRESETS, LiteGMMSettings(widths=(8, 8, 16, 16), decoder_widths=(8, 8, 8, 8))),
        (presets.TOM_PRESETS, LiteTOMSettings(widths=(8, 8, 16, 16, 16), parse_widths=(8, 8, 8, 8))),
    ]


@dataclass
class Ended:
    """How a run ended: exit code (negative: the signal that killed it), seconds, and what it printed."""

    code: int
    seconds: float
    out: str
    err: str

    @property
    def problem(self) -> str | None:
        """What is wrong with how it ended, if it did not end well: it must say why, in one line."""
        lines = self.err.strip().splitlines()
        if "Traceback" in self.err:
            return f"a traceback: {lines[-1]}"
        if self.code not in (0, 1, 2, 130):
            return f"exit code {self.code}"
        if self.code and (not lines or not lines[-1].startswith("vtcli: ")):
            return f"exit code {self.code} without a word" if not lines else f"unclear: {lines[-1]}"
        return None


class Run:
    """`vtcli ARGUMENTS` in a forked process group of its own."""

    def __init__(
        self, arguments: list[object], logs: Path, before: Callable[[], object] | None = None
    ) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._out, self._err = logs / "out.txt", logs / "err.txt"
        self._began = time.monotonic()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            self._become([str(a) for a in arguments], before)
        with contextlib.suppress(OSError):  # the child may have been first
            os.setpgid(self.pid, self.pid)
        self._handle = os.pidfd_open(self.pid)

    def _become(self, arguments: list[str], before: Callable[[], object] | None) -> None:
        code = 1
        try:
            os.setpgid(0, 0)
            for number, path in ((1, self._out), (2, self._err)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            if before is not None:
                before()
            from vtcli.cli.app import main

            sys.argv = ["vtcli", *arguments]
            main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def ends_within(self, seconds: float) -> bool:
        """Wait so long at most; whether it has ended."""
        return bool(select.select([self._handle], [], [], max(0.0, seconds))[0])

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and whatever it has started."""
        os.killpg(self.pid, number)

    def wait(self, limit: float = 600.0) -> Ended:
        """Its end; a run that does not end within the limit is killed (exit code -9)."""
        if not self.ends_within(limit):
            self.send(signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self._handle)
        seconds = time.monotonic() - self._began
        return Ended(
            os.waitstatus_to_exitcode(status), seconds,
            self._out.read_text(errors="replace"), self._err.read_text(errors="replace"),
        )  # fmt: skip


def run(arguments: list[object], logs: Path, before: Callable[[], object] | None = None) -> Ended:
    """Run to the end."""
    return Run(arguments, logs, before).wait()


def run_and_signal(
    arguments: list[object], logs: Path, after: float, number: signal.Signals = signal.SIGKILL
) -> tuple[Ended, float | None]:
    """Run, and send a signal after so many seconds; how it ended, and how long after the signal (None: it had
    ended before)."""
    started = Run(arguments, logs)
    if started.ends_within(after):
        return started.wait(), None
    sent = time.monotonic()
    started.send(number)
    ended = started.wait()
    return ended, time.monotonic() - sent


def moments(seed: int, longest: float) -> Callable[[], float]:
    """Seeded random delays up to `longest` seconds."""
    rng = random.Random(seed)
    return lambda: rng.uniform(0.0, longest)
