"""Masks that a user gives for a photo: what must stay as it is, and what must be redrawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.tryon.photos.pictures import Picture, fitted, mask_of
from vtcli.core.tryon.photos.problems import UnfitPhoto
from vtcli.core.tryon.photos.window import Window

NOTHING_LEFT = 0.95
"""Share of the worn garment from which a mask of what stays leaves nothing to do."""
NEARLY_ALL, HALF = 0.9, 0.5
"""A mask of what is redrawn counts as inverted where it covers that share of the window, or half of it and half of
the head with it."""


@dataclass(frozen=True)
class UserMasks:
    """`protect`: what stays the photo's, bit for bit; `redraw`: what counts as old garment. Each (H, W) bool, of the
    photo's or a window's size, or None. Where both are set, `protect` counts."""

    protect: np.ndarray | None = None
    redraw: np.ndarray | None = None

    @classmethod
    def of(cls, protect: Picture | None, redraw: Picture | None, size: tuple[int, int]) -> UserMasks:
        """Masks of any size of the photo's proportions, at the photo's `size` (height, width)."""
        named = ((protect, "mask of what stays"), (redraw, "mask of what is redrawn"))
        read = [None if mask is None else fitted(mask_of(mask, name), size, name) for mask, name in named]
        return cls(*read)

    def seen_in(self, window: Window) -> UserMasks:
        """The masks in a window of the photo, at its own resolution."""
        masks = (self.protect, self.redraw)
        return UserMasks(*(None if m is None else window.cut(m.astype(np.uint8)) > 0 for m in masks))


def refuse_unfit(masks: UserMasks, window: Window, parse: np.ndarray) -> None:
    """UnfitPhoto for a mask that is empty or looks inverted. `parse` (256, 192): the labels in the person's `window`,
    before the masks count."""
    for mask, name, given in (
        (masks.protect, "stays", "protect"),
        (masks.redraw, "is redrawn", "redraw"),
    ):
        if mask is not None and not mask.any():
            raise UnfitPhoto(f"the mask of what {name} is empty: nothing in it is white", "mask", given=given)
    if masks.protect is not None:
        kept = window.labels(masks.protect.astype(np.uint8)) > 0
        covered = _share(kept, np.isin(parse, L.TOP_LABELS))
        if covered >= NOTHING_LEFT:
            raise UnfitPhoto(
                f"the mask of what stays covers {covered:.0%} of the garment that is worn and "
                f"{masks.protect.mean():.0%} of the photo: nothing is left to change; is it inverted?", "mask", given="protect",
            )  # fmt: skip
    if masks.redraw is not None:
        gone = window.labels(masks.redraw.astype(np.uint8)) > 0
        here, head = float(gone.mean()), _share(gone, np.isin(parse, L.HEAD_LABELS))
        if here >= NEARLY_ALL or (here >= HALF and head >= HALF):
            raise UnfitPhoto(
                f"the mask of what is redrawn covers {here:.0%} of the person's surroundings and {head:.0%} of the "
                "head; is it inverted?", "mask", given="redraw",
            )  # fmt: skip
        if not window.cut(masks.redraw.astype(np.uint8)).any():
            raise UnfitPhoto(
                "the mask of what is redrawn lies beside the person, where nothing is drawn",
                "mask",
                given="redraw",
            )


def _share(mask: np.ndarray, part: np.ndarray) -> float:
    """The share of `part` that `mask` covers; 0 where there is no part."""
    return float((mask & part).sum() / max(1, part.sum()))
