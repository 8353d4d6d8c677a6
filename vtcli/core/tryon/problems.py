"""Photos that cannot be used: what was seen, in one line, and which arguments would help."""

from __future__ import annotations

from vtcli.core.system.errors import VtcliError


class RefusedPhoto(VtcliError):
    """A photo that cannot be used. `helps`: names of the arguments of `TryOn.run` with which it goes on all the same
    ("force", "cloth_mask"); `picture`: which picture is meant, "person", "cloth" or "mask"."""

    def __init__(self, message: str, picture: str = "person", helps: tuple[str, ...] = ("force",)) -> None:
        super().__init__(message)
        self.picture = picture
        self.helps = helps


class NobodyFound(RefusedPhoto):
    """The photo shows no person that the parser knows, or not the one that is meant.

    `helps`: names of the arguments of `TryOn.run` with which it goes on all the same, "force" or none.
    """


class UnfitPhoto(RefusedPhoto):
    """The photo, or the mask, shows something else than it should.

    `picture`: which one is meant, "person", "cloth" or "mask"; `helps`: names of the arguments of `TryOn.run` with
    which it goes on all the same, "force" and "cloth_mask".
    """
