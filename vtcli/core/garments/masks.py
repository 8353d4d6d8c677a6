"""What is found once of a garment on its shop photo: its repaired mask, and the front that is seen on a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vtcli.core.garments.collar import without_collar
from vtcli.core.garments.mask_repair import repair_mask

VERSION = 6
"""Goes up when cut-outs, repairs or fronts change, so that a prepared store knows that its masks are old."""


@dataclass(frozen=True)
class GarmentMasks:
    """Bool (H, W) each: `whole`, the garment; `front`, the garment without the inside of its back collar. An array is
    the same object as the one that it was found from where nothing had to change."""

    whole: np.ndarray
    front: np.ndarray


def find_masks(cloth: np.ndarray, given: np.ndarray) -> GarmentMasks:
    """The masks of the garment on the shop photo `cloth` (H, W, 3) uint8, of which the mask `given` (H, W) bool is
    known, from a data set or by `garment_mask`."""
    whole = repair_mask(cloth, given)
    return GarmentMasks(whole, without_collar(cloth, whole))
