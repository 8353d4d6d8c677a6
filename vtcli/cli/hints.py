"""What the command line adds to an error: the options that would help, and the exit code."""

from __future__ import annotations

from vtcli.core.system.errors import Interrupted, UsageProblem, VtcliError
from vtcli.core.tryon.problems import RefusedPhoto

_OPTIONS = {"force": "--force", "cloth_mask": "--cloth-mask"}
"""An argument of `TryOn.run`: the option that is it."""


def spelled(problem: VtcliError) -> str:
    """The message, with the options that would help."""
    if not isinstance(problem, RefusedPhoto):
        return str(problem)
    options = [_OPTIONS[name] for name in problem.helps]
    better = f": try {labels_option(problem.labels)}" if problem.labels else ""
    return f"{problem}{better}" + (f"; {' or '.join(options)} goes on all the same" if options else "")


def labels_option(labels: str) -> str:
    """The option that reads parse maps in a label set."""
    return f"--labels {labels}"


def exit_code(problem: VtcliError) -> int:
    """2 for a call that is off, 130 for a run that was interrupted, 1 for work that failed."""
    return 2 if isinstance(problem, UsageProblem) else 130 if isinstance(problem, Interrupted) else 1
