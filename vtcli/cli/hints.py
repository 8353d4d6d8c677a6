"""What the command line adds to an error: the options that would help, and the exit code."""

from __future__ import annotations

from vtcli.core.system.errors import Interrupted, UsageProblem, VtcliError
from vtcli.core.tryon.problems import RefusedPhoto

_OPTIONS = {"force": "--force", "cloth_mask": "--cloth-mask"}
"""An argument of `TryOn.run`: the option that is it."""


def spelled(problem: VtcliError) -> str:
    """The message, with the options that would help."""
    options = [_OPTIONS[name] for name in problem.helps] if isinstance(problem, RefusedPhoto) else []
    return f"{problem}; {' or '.join(options)} goes on all the same" if options else str(problem)


def exit_code(problem: VtcliError) -> int:
    """2 for a call that is off, 130 for a run that was interrupted, 1 for work that failed."""
    return 2 if isinstance(problem, UsageProblem) else 130 if isinstance(problem, Interrupted) else 1
