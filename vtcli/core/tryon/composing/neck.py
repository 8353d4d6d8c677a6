"""The neck, which labels call background, and what else of the torso is bare: in the photo, and under the new garment.

Everything here is found at 256×192.
"""

from __future__ import annotations

import cv2
import numpy as np
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.areas import close_to, disc, hanging_on
from vtcli.core.data.body_regions import neck_region
from vtcli.core.garments.colours import ALIKE, LEAST, apart, from_scene, palette
from vtcli.core.models.composition import CLOTHES
from vtcli.core.tryon.composing.old_garment import bare_skin
from vtcli.core.tryon.networks import People

SAME = 4.0
"""How close in CIELAB to the scene around what lies beside a neck is scene, set by hand; a just noticeable difference is 2."""
SKINLIKE = 0.6
"""How much closer to the colours of the person's skin than to the scene's a neck is that labels call background; set by hand."""
NOSE, CHEST = 0.7, 0.7
"""How far the nose is above the neck joint at most, and the lowest neckline below it, in shoulder widths."""


def neck_of(
    people: People, before: np.ndarray, after: np.ndarray, expected: Tensor, torso_skin: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What labels call background and is neck, in the photo or under the new garment, and what of it the photo shows in the
    colours of the person's skin: (256, 192) bool each.

    `before`, `after` (20, 256, 192): the photo's parse and M_exp; `expected` (1, 256, 192): M_exp's labels; `torso_skin`
    (256, 192): how probable the parser finds that in the photo.
    """
    seen, clean = _seen(people, before, torso_skin > 0.5)
    becomes = neck_region(expected, people.keypoints)[0].cpu().numpy()
    # Beside the person the photo shows the scene, whatever is expected.
    becomes &= seen | (before[L.BACKGROUND] < 0.5)
    return seen | becomes | _bared(people, before, after, seen), clean


def _seen(people: People, before: np.ndarray, torso_skin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The neck in the photo, (256, 192) bool: what has person on all four sides, but for the scene, and what has the colour
    of skin around it; and the latter alone. `torso_skin` (256, 192) bool: the parser's own word."""
    region: np.ndarray = neck_region(people.parse, people.keypoints)[0].cpu().numpy() | torso_skin
    worn = before[list(CLOTHES)].sum(0) > 0.5
    bare = bare_skin(before, worn)
    part = _around_neck(people.keypoints[0].cpu().numpy(), region.shape)
    if bare.sum() < LEAST or not part.any():
        return region, np.zeros_like(region)
    photo, nothing = people.photo, before[L.BACKGROUND] > 0.5
    to_skin = apart(people.photo_lab, palette(photo[bare], 4))
    to_scene = from_scene(
        photo,
        people.photo_lab,
        (before[L.BACKGROUND] > 0.9) & ~close_to(region | (part & (to_skin < ALIKE)), 2) & ~close_to(worn, 4),
    )
    scene = (to_scene < SAME) & (to_scene < 0.5 * to_skin)
    skin = part & nothing & (to_skin < SKINLIKE * to_scene)
    skin = cv2.morphologyEx(skin.astype(np.uint8), cv2.MORPH_OPEN, disc(1)) > 0
    region &= ~scene
    seen = hanging_on(skin | region, region | close_to(before[L.FACE] > 0.5, 2))
    return seen, seen & (to_skin < ALIKE)


def _around_neck(joints: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Between shoulder and shoulder, from the nose down to the chest: bool of `shape` (256, 192); nowhere without those
    `joints` (18, 3) in pixels."""
    if not L.joints_present(joints[[L.NECK, L.R_SHOULDER, L.L_SHOULDER]]).all():
        return np.zeros(shape, bool)
    shoulders = joints[[L.R_SHOULDER, L.L_SHOULDER]]
    span = float(np.linalg.norm(shoulders[0, :2] - shoulders[1, :2]))
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    out: np.ndarray = (rows > joints[L.NECK, 1] - NOSE * span) & (rows < joints[L.NECK, 1] + CHEST * span)
    out &= (columns > shoulders[:, 0].min() - 0.1 * span) & (columns < shoulders[:, 0].max() + 0.1 * span)
    return out


def _bared(people: People, before: np.ndarray, after: np.ndarray, neck: np.ndarray) -> np.ndarray:
    """Skin of throat and shoulders that the old garment hid and the new one does not, (256, 192) bool: M_exp calls it
    background, as labels do. It lies inside the old outline, between nose and chest, shoulder and shoulder."""
    part = _around_neck(people.keypoints[0].cpu().numpy(), before.shape[1:])
    if not part.any():
        return part
    worn = before[list(CLOTHES)].sum(0) > 0.5
    person = (before[L.BACKGROUND] < 0.5) | neck
    # A collar or shoulder seam stands off the skin by a pixel or two.
    inside = cv2.erode(person.astype(np.uint8), disc(2)) > 0
    out: np.ndarray = part & worn & inside & (after.argmax(0) == L.BACKGROUND)
    return out
