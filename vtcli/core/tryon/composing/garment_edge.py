"""Where the new garment is, with an edge as sharp as the photo: the warped garment's own, else M_exp's.

All planes are (h, w) float32 in [0, 1] at the window's size; distances are in pixels at 256×192, `scale` to each.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.data.areas import disc
from vtcli.core.tryon.composing.full_warp import REACH
from vtcli.core.tryon.composing.planes import dilated, enlarge, eroded

FILLED = 8.0
"""How far beyond the warped garment its own cloth is carried on, where M_exp expects it."""
BITE = 2.5
"""Half the width of the gaps that a cut-out of pale cloth leaves in the garment's edge."""
SPECK = 0.05
"""Share of the garment below which a piece apart from it is a mistake of M_exp's."""
LETS_GO = 0.4
"""M_cm below which the rendering, and not the garment, is meant to show."""
THIN = 2.5
"""Half the width of a strip between warp and M_exp that is an error of a mask, and no part of the garment."""
SLOPE = 5.0
"""How much steeper an edge becomes than it is at 256×192: a clear one, which falls by 0.4 in a pixel, is half a pixel wide in photos.
A threshold would leave steps; half of it lets slow edges go up in smoke."""


def crisp(share: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where `share` (256, 192) is above one half, at `size`, with an edge of its own however slowly it falls: 2 pixels
    wide in photos, 3 at 256×192, where steeper ones are steps. In photos the line is found between the pixels of 256×192,
    whose steps would be seen."""
    if size[0] > share.shape[0]:
        smooth = cv2.GaussianBlur(share.astype(np.float32), (0, 0), 1.0)
        inside = enlarge(smooth, size, cv2.INTER_CUBIC)
        inside -= 0.5
        inside *= SLOPE * size[0] / share.shape[0]
        inside += 0.5
        return cv2.GaussianBlur(np.clip(inside, 0, 1, out=inside), (0, 0), 0.8)
    smooth = cv2.GaussianBlur((share > 0.5).astype(np.float32), (0, 0), 1.4)
    out: np.ndarray = np.clip((enlarge(smooth, size, cv2.INTER_CUBIC) - 0.5) * 1.05 + 0.5, 0, 1)
    return out


def whole(share: np.ndarray) -> np.ndarray:
    """`share` (256, 192) without the specks apart from the garment in which it is above one half."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((share > 0.5).astype(np.uint8), connectivity=8)
    if count < 3:
        return share
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    specks = (areas < SPECK * areas.max())[parts] & (parts > 0)
    return np.where(specks, 0.0, share).astype(np.float32)


def garment_cover(
    expected: np.ndarray,
    alpha: np.ndarray,
    hides: np.ndarray,
    scene: np.ndarray,
    front: np.ndarray,
    scale: float,
) -> np.ndarray:
    """Where the new garment is.

    Both agree on most of it. Where the warp ends close to where M_exp ends, its own edge counts, and the further it
    goes beyond, the less. What M_exp expects beyond the warp is filled, but for thin strips in which there is nothing to hide. `expected`: M_exp's
    clothes; `alpha`: the warped garment; `hides`: where the photo shows what has to go, the old garment and arms in a
    sleeve; `scene`: background; `front`: what lies in front of a garment (the head).
    """
    agreed = np.minimum(expected, alpha)
    edge = _own_edge(expected, alpha, scale) * (1.0 - front)
    beyond = expected * (1.0 - alpha)
    broad = dilated(eroded(beyond, THIN * scale), THIN * scale)
    filled = beyond * np.maximum(broad, hides) * (1.0 - scene)
    # Of a white stripe on a white ground the cut-out misses the end: where it has such teeth, M_exp's edge counts.
    teeth = (eroded(dilated(alpha, BITE * scale), BITE * scale) - alpha > 0.5).astype(np.float32)
    ragged = dilated(teeth, 2 * BITE * scale)
    even = np.minimum(expected, dilated(alpha, REACH * scale)) * (1.0 - front)
    edge = edge + ragged * (even - edge)
    out: np.ndarray = np.maximum(edge, np.clip(agreed + filled, 0, 1))
    return out


def _own_edge(expected: np.ndarray, alpha: np.ndarray, scale: float) -> np.ndarray:
    """The warped garment as far as its own edge counts: where it ends within half of `REACH` beyond `expected`; where it goes on
    for all of it, `expected` ends it. The change from one to the other is gradual: a step would be seen."""
    beyond = cv2.distanceTransform((expected <= 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    reach = REACH * scale
    factor = max(1, round(reach / 3))
    overshoot = np.minimum(beyond, reach) * (alpha > 0.5)
    small = cv2.resize(overshoot, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    furthest = cv2.dilate(small, disc(max(1, round(2 * reach / factor))))
    allowed = np.clip(reach - furthest, 0, reach)
    allowed = cv2.GaussianBlur(allowed, (0, 0), reach / (2 * factor))
    allowed = cv2.resize(allowed, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.minimum(alpha, np.clip(allowed + 0.5 - beyond, 0, 1))


def carried_cloth(alpha: np.ndarray, scale: float) -> np.ndarray:
    """Where the garment's own cloth shows at most: as far as it is carried on."""
    return dilated(alpha, FILLED * scale)


def between_shoulders(joints: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Where necklines are, bool of `shape` (256, 192): between the shoulders, down to the chest; nowhere without those
    `joints` (18, 3) in pixels."""
    if not L.joints_present(joints[[L.NECK, L.R_SHOULDER, L.L_SHOULDER]]).all():
        return np.zeros(shape, bool)
    xs = joints[[L.R_SHOULDER, L.L_SHOULDER], 0]
    span = xs.max() - xs.min()
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    across = (columns > xs.min() + 0.1 * span) & (columns < xs.max() - 0.1 * span)
    out: np.ndarray = across & (rows < joints[L.NECK, 1] + 0.7 * span)
    return out


def neckline(warped: np.ndarray, share: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The hollow of the warped garment's neckline, (256, 192) bool: garment on both sides and below, none above, between
    the shoulders; and the inside of the back that shows in it on a shop photo, which M_cm lets go of.

    `warped`, `share` M_cm (256, 192) in [0, 1]; `joints` (18, 3) in pixels.
    """
    part = between_shoulders(joints, warped.shape)
    inside = part & (warped > 0.5) & (share < LETS_GO)
    there = (warped > 0.5) & ~inside
    left, below = np.cumsum(there, 1) > 0, np.cumsum(there[::-1], 0)[::-1] > 0
    right, above = np.cumsum(there[:, ::-1], 1)[:, ::-1] > 0, np.cumsum(there, 0) > 0
    return ~there & left & right & below & ~above & part
