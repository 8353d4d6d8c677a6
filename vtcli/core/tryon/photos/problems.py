"""Photos that cannot be used: what was seen, in one line, and which arguments would help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vtcli.core.system.errors import VtcliError

if TYPE_CHECKING:
    from vtcli.core.data.labels import LabelSet


class RefusedPhoto(VtcliError):
    """A photo that cannot be used. `helps`: names of the arguments of `TryOn.run` with which it goes on all the same
    ("force", "cloth_mask"); `picture`: which picture is meant, "person", "cloth" or "mask"; `labels`: the label set in
    which a given parse map would fit (`vtcli.core.data.annotations.LABEL_SETS`), or None; `given`: the argument of
    `TryOn.run` that is at fault ("cloth_mask", "parse", "keypoints", "protect", "redraw"), or None for a photo itself."""

    def __init__(
        self,
        message: str,
        picture: str = "person",
        helps: tuple[str, ...] = ("force",),
        labels: LabelSet | None = None,
        given: str | None = None,
    ) -> None:
        super().__init__(message)
        self.picture = picture
        self.helps = helps
        self.labels = labels
        self.given = given


class NobodyFound(RefusedPhoto):
    """The photo shows no person that the parser knows, or not the one that is meant.

    `helps`: names of the arguments of `TryOn.run` with which it goes on all the same, "force" or none.
    """


class UnfitPhoto(RefusedPhoto):
    """The photo, or the mask, shows something else than it should.

    `picture`: which one is meant, "person", "cloth" or "mask"; `helps`: names of the arguments of `TryOn.run` with
    which it goes on all the same, "force" and "cloth_mask".
    """
