"""Photos that cannot be used, in one line each; `force=True` goes on with them."""

from __future__ import annotations

from vtcli.core.system.errors import VtcliError


class NobodyFound(VtcliError):
    """The photo shows no person that the parser knows."""


class UnfitPhoto(VtcliError):
    """The photo shows something else than it should."""
