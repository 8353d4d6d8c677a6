"""The label at a garment's neck, which a shop photo shows at the upper edge of the front, and nobody sees on a person."""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.garments.colours import apart, lab, palette

# All are set by hand on 536 shop photos, of which eleven show one: nine labels and two openings at the back's button.
MIDDLE = 0.15
"""How far from the garment's middle a label lies at most, in widths of the garment."""
DEEP, BESIDE = 12, 40
"""Rows below the upper edge in which it lies; rows and columns around them that tell the garment's own colours."""
UNLIKE = 22.0
"""How far from those a label's colours are, in CIELAB."""
WIDE, HIGH = (7, 34), (2, 10)
"""Its width and height in pixels, at least and at most: what is wider is a collar in another colour."""
FILLED = 0.55
"""Share of its box that it fills at least."""
MARGIN = 2
"""How far around it cloth is put, in pixels: its edge is half cloth, and its writing the cloth's colour."""
AT_EDGE = 2
"""How far below the garment's upper edge it begins at most."""


def neck_label(rgb: np.ndarray, front: np.ndarray) -> np.ndarray:
    """Where the placed garment `front` (256, 192) bool on `rgb` (256, 192, 3) uint8 shows a label at its upper edge: (256, 192)
    bool, all False where it shows none."""
    none = np.zeros_like(front)
    columns = np.nonzero(front.any(0))[0]
    if not len(columns):
        return none
    middle, width = (columns[0] + columns[-1]) / 2, columns[-1] - columns[0] + 1
    rows, across = np.mgrid[: front.shape[0], : front.shape[1]]
    depth = rows - np.where(front.any(0), front.argmax(0), front.shape[0])[None]
    zone = front & (depth < DEEP) & (abs(across - middle) < MIDDLE * width)
    if not zone.any():
        return none
    top = int(np.nonzero(zone.any(1))[0][0])
    around = front & ~zone & (abs(across - middle) < MIDDLE * width + BESIDE) & (rows < top + BESIDE)
    if around.sum() < 100:
        return none
    away = apart(lab(rgb), palette(rgb[around], 6))
    _, parts, stats, _ = cv2.connectedComponentsWithStats((zone & (away > UNLIKE)).astype(np.uint8))
    found = none.copy()
    for part, (left, first, wide, high, area) in enumerate(stats[1:].tolist(), 1):
        here = parts == part
        inner = left > middle - MIDDLE * width + 1 and left + wide < middle + MIDDLE * width - 1
        if (
            inner and WIDE[0] <= wide <= WIDE[1] and HIGH[0] <= high <= HIGH[1] and area >= FILLED * wide * high
            and depth[here].min() <= AT_EDGE
        ):  # fmt: skip
            box = (
                slice(max(0, first - MARGIN), first + high + MARGIN),
                slice(left - MARGIN, left + wide + MARGIN),
            )
            found[box] = front[box]
    return found


def without_label(pixels: np.ndarray, label: np.ndarray) -> np.ndarray:
    """`pixels` (H, W, 3) float32 or uint8 of the placed garment, of any size, with the cloth below the `label` (256, 192) bool in
    its place; the same array where there is none."""
    if not label.any():
        return pixels
    scale = pixels.shape[0] / label.shape[0]
    rows = np.nonzero(label.any(1))[0]
    down = round((len(rows) + 1) * scale)
    top, bottom = int(rows[0] * scale), min(round((rows[-1] + 1) * scale), pixels.shape[0] - down)
    share = cv2.resize(label.astype(np.float32), pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)[
        top:bottom, :, None
    ]
    out = pixels.copy()
    mixed = share * pixels[top + down : bottom + down] + (1.0 - share) * pixels[top:bottom]
    out[top:bottom] = mixed if pixels.dtype != np.uint8 else mixed + 0.5
    return out
