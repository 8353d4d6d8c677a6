"""The even curve of a neckline through what a network takes for the inside of a collar: a network's outline is torn where the
garment is of one colour, and a neckline is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ROUNDNESS = np.array((1.0, 1.4, 2.0, 3.0, 4.5))
"""Exponents of the curve: a V has 1, a parabola 2, a boat's or a square neckline more."""
SURE = 5.0
"""Logits further from the threshold count as this: one sure pixel is worth no more than a few doubtful ones."""
EXPLAINED, ALIKE = 0.8, 0.7
"""Share of the likelihood that the curve holds, and its overlap (IoU) with the network's outline, from which it is a neckline;
less is a print or a fold. Set by eye on 36 shop photos, where necklines have 0.9 and 0.77 or more, prints 0.7 and 0.6."""
SHALLOW = 5
"""Rows up to which an inside may have any outline; it is twice as wide at least."""


@dataclass(frozen=True)
class _Curve:
    """A neckline: `depth` (pixels) below the line between the garment's upper edge at `middle` ± `half`."""

    middle: float
    half: float
    depth: float
    roundness: float
    value: float = 0.0
    """Of the likelihood above it."""


def under_neckline(logits: np.ndarray, seen: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What lies in the opening of the neckline that fits `logits` (h, w) best, positive where the inside of a collar is likely,
    near the part of them that is `seen`, (h, w) bool, on the garment `mask` (h, w) bool: bool (h, w), all False where no
    neckline fits."""
    none = np.zeros(mask.shape, bool)
    if not seen.any():
        return none
    found, gain = _best_under(logits, seen, mask), _gain(logits, mask)
    if gain[found].sum() >= EXPLAINED * gain[seen].sum() and _overlap(found, seen) >= ALIKE:
        return found
    # Too shallow for a curve: a rim with a label in it.
    columns = np.nonzero(seen.any(0))[0]
    across = np.arange(columns[0], columns[-1] + 1)
    lowest = np.interp(across, columns, mask.shape[0] - 1 - seen[::-1, columns].argmax(0))
    above = none.copy()
    above[:, across] = mask[:, across] & (np.arange(mask.shape[0])[:, None] <= lowest[None])
    return above if above.sum(0).max() <= SHALLOW and len(across) >= 2 * SHALLOW else none


def evenness(inside: np.ndarray, mask: np.ndarray) -> float:
    """How even the outline of an `inside` is, (h, w) bool on the garment `mask` (h, w) bool: its overlap (IoU) with the opening
    of the neckline that fits it best."""
    found = _best_under(np.where(inside, SURE, -SURE), inside, mask)
    return _overlap(found, inside)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _gain(logits: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask, np.clip(logits, -SURE, SURE), 0.0)


def _best_under(logits: np.ndarray, seen: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """What lies in the opening of the best curve near `seen`, (h, w) bool."""
    above = np.vstack([np.zeros((1, mask.shape[1])), np.cumsum(_gain(logits, mask), 0)])
    top = np.where(mask.any(0), mask.argmax(0), mask.shape[0]).astype(np.float64)
    across, down = np.nonzero(seen.any(0))[0], np.nonzero(seen.any(1))[0]
    middle, half = (across[0] + across[-1]) / 2, max(3.0, (across[-1] - across[0]) / 2)
    deep = down[-1] - down[0] + 3.0
    curve = _best(
        above, top, middle + half * np.array((-0.3, -0.15, 0.0, 0.15, 0.3)),
        half * np.array((0.65, 0.8, 0.95, 1.1, 1.25)), deep * np.array((0.5, 0.7, 0.85, 1.0, 1.2)), ROUNDNESS,
    )  # fmt: skip
    found = np.zeros(mask.shape, bool)
    if curve is None:
        return found
    curve = _best(
        above, top, curve.middle + half * np.array((-0.07, 0.0, 0.07)), curve.half + half * np.array((-0.07, 0.0, 0.07)),
        curve.depth + deep * np.array((-0.12, -0.06, 0.0, 0.06, 0.12)), np.array((curve.roundness,)),
    ) or curve  # fmt: skip
    columns, line, fall = _course(top, curve.middle, curve.half, np.array((curve.roundness,)))
    found[:, columns] = np.arange(mask.shape[0])[:, None] < (line + curve.depth * fall[0])[None]
    return found & mask


def _course(
    top: np.ndarray, middle: float, half: float, roundness: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Columns that a curve spans (n,), the line between its ends (n,), and how far it falls below it for each `roundness` (p,),
    as a share of its depth (p, n)."""
    columns = np.arange(max(0, round(middle - half)), min(len(top), round(middle + half) + 1))
    ends = np.array([columns[0], columns[-1]])
    line = np.interp(columns, ends, top[ends])
    away = np.minimum(np.abs(columns - middle) / half, 1.0)
    return columns, line, 1.0 - away[None] ** roundness[:, None]


def _best(
    above: np.ndarray, top: np.ndarray, middles: np.ndarray, halves: np.ndarray, depths: np.ndarray,
    roundness: np.ndarray,
) -> _Curve | None:  # fmt: skip
    """The curve above which most likelihood lies; `above` (h + 1, w) sums it from the top, `top` (w,) is the garment's upper
    edge. None where none lies on the garment."""
    best: _Curve | None = None
    height = len(above) - 1
    for middle in middles:
        for half in halves:
            first, last = round(middle - half), round(middle + half)
            if first < 1 or last > len(top) - 2 or last <= first or max(top[first], top[last]) >= height:
                continue
            columns, line, fall = _course(top, middle, half, roundness)
            rows = line + depths[:, None, None] * fall[None]
            values = above[np.clip(np.ceil(rows), 0, height).astype(int), columns].sum(-1)
            depth, bend = np.unravel_index(int(values.argmax()), values.shape)
            if (value := float(values[depth, bend])) > (best.value if best is not None else 0.0):
                best = _Curve(middle, half, float(depths[depth]), float(roundness[bend]), value)
    return best
