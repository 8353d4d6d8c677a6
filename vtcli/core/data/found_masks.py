"""The garment masks that an older store lacks: found when they are asked for, and remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vtcli.core.system.workers import side_by_side

_REMEMBERED = 10_000  # garments: 120 MB at 256×192 if both masks of each differ from the given one

Bits = np.ndarray | None


class FoundMasks:
    """`garment_mask` and `front_mask` of a store's rows; `read` reads the fields that it has (`PreparedStore.read`)."""

    def __init__(self, read: Callable[[str, Sequence[int]], np.ndarray]) -> None:
        self._read = read
        self._remembered: dict[int, tuple[Bits, Bits]] = {}

    def read(self, name: str, rows: Sequence[int]) -> np.ndarray:
        """Field `name` of the garments at `rows`: (n, H, W) uint8, 255 on the garment, 0 elsewhere."""
        given = self._read("cloth_mask", rows)
        found = {row: self._remembered[row] for row in rows if row in self._remembered}
        unknown = [row for row in dict.fromkeys(rows) if row not in found]
        if unknown:
            masks = [given[rows.index(row)] for row in unknown]
            bits_of = side_by_side(_find, list(self._read("cloth", unknown)), masks)
            found |= dict(zip(unknown, bits_of, strict=True))
            if len(self._remembered) < _REMEMBERED:
                self._remembered |= dict(zip(unknown, bits_of, strict=True))
        for mask, row in zip(given, rows, strict=True):
            whole, front = found[row]
            bits = front if name == "front_mask" and front is not None else whole
            if bits is not None:
                mask[:] = 255 * np.unpackbits(bits, count=mask.size).reshape(mask.shape)
        return given


def _find(cloth: np.ndarray, mask: np.ndarray) -> tuple[Bits, Bits]:
    """Bits of the whole mask, None where it is the given one, and of the front, None where it is the whole mask."""
    from vtcli.core.garments.masks import find_masks  # whole stores are read without it, and without OpenCV

    given = mask > 127
    found = find_masks(cloth, given)
    return (
        None if found.whole is given else np.packbits(found.whole),
        None if found.front is found.whole else np.packbits(found.front),
    )
