"""The two ways in which a command ends badly, each told in one line."""

from __future__ import annotations


class VtcliError(Exception):
    """Work failed: the message names the file and says what to do. Exit code 1."""

    exit_code = 1


class UsageProblem(VtcliError):
    """The call itself is off (an absent device, options that exclude each other). Exit code 2."""

    exit_code = 2
