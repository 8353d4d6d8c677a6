"""What the command line adds to an error: the options that would help, and the exit code."""

from __future__ import annotations

import traceback

from vtcli.core.system.errors import Interrupted, UsageProblem, VtcliError
from vtcli.core.tryon.photos.problems import RefusedPhoto

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


_PACKAGES = {
    "cv2": "opencv-python-headless", "PIL": "pillow", "skimage": "scikit-image", "pytorch_fid": "pytorch-fid",
    "pytorch_msssim": "pytorch-msssim",
}  # fmt: skip
"""Modules whose packages have other names."""


def repair(problem: ImportError) -> str:
    """A line on a library that is missing or does not load, with the command that repairs it."""
    module = (problem.name or "").partition(".")[0]
    frames = [frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(problem.__traceback__)]
    loading = [
        name.partition(".")[0]
        for name in frames
        if not name.startswith(("vtcli", "importlib", "typer", "click", "__"))
    ]
    # A library that is there but does not load fails below its own name, in a library or a file of the system.
    broken = next((name for name in loading if name), module)
    package = _PACKAGES.get(broken or module, broken or module)
    state = (
        "is not installed"
        if isinstance(problem, ModuleNotFoundError) and broken == module
        else f"does not load ({problem})"
    )
    other = ", after `pip uninstall opencv-python opencv-contrib-python`" if broken == "cv2" else ""
    return f"{package} {state}; `pip install --force-reinstall {package}` repairs it{other}"


def exit_code(problem: VtcliError) -> int:
    """2 for a call that is off, 130 for a run that was interrupted, 1 for work that failed."""
    return 2 if isinstance(problem, UsageProblem) else 130 if isinstance(problem, Interrupted) else 1
