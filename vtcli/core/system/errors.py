"""The ways in which work ends badly, each told in one line. What becomes of them (exit codes, options that help) is the
command line's business."""

from __future__ import annotations


class VtcliError(Exception):
    """Work failed. The message says in one line what was seen, and names the file where there is one."""


class UsageProblem(VtcliError):
    """The call itself is off: an absent device, an argument of a wrong kind, arguments that exclude each other."""


class Interrupted(VtcliError):
    """A run was asked to stop; it can be resumed from its checkpoint."""
