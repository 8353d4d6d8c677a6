"""What appears where the old garment goes: the scene, the lower body, or skin, each guessed from what the photo
shows of it."""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.garments.colours import lab, length, rgb
from vtcli.core.tryon.composing.even_skin import even_arms, even_throat, inside
from vtcli.core.tryon.composing.planes import blurred, enlarge, mirrored_up
from vtcli.core.tryon.composing.waist import light_on
from vtcli.core.tryon.networks import People

ISLAND = 500
"""Pixels of background at 256×192 below which a piece of it is no witness of the scene."""
LEAST_LOWER = 150
"""Pixels of the lower body at 256×192 that are enough to tell how it goes on."""
SHADE = 2.0
"""How far skin may be from the person's tone in CIELAB by its place in the light alone: with 5 the arms of 25 people are 4.9 from
face and hands (median), with 2 they are 3.2."""
FARTHEST = 25.0
"""How far drawn skin is shifted at most, in CIELAB."""
NO_SKIN = 24.0
"""Distance in CIELAB, lightness counted half, from which what is drawn is not the person's skin: a piece of the old sleeve.
Set by hand; shade and blush on one person's arms stay below 15."""
OVER_THROAT, OVER_OTHERS, UNDER_FACE = np.array([[4.4, -1.7, -1.7], [6.7, -3.6, 0.5], [-2.5, -1.6, -0.1]])
LIGHT = 75.0
"""How much a chest differs in CIELAB from the throat above it, which the head shades, and from face and arms, and arms from the
face: medians of 482 people of VITON's training set with low necklines, whose skin has the lightness `LIGHT`. On darker skin it is
less."""
LEAST_SKIN = 40
"""Pixels of skin at 256×192 that are enough to tell its colour."""


def scene_behind(window: np.ndarray, people: People, missed: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The window without the person, whose place is filled in from around it: (h, w, 3) float32. `missed` (256, 192)
    bool: what belongs to the person, the neck or the old garment, and the parse calls background."""
    parse = people.parse[0].cpu().numpy()
    height, width = parse.shape
    small = cv2.resize(window, (width, height), interpolation=cv2.INTER_AREA)
    scene = ((parse == 0) & ~missed).astype(np.uint8)
    # What is enclosed by arms and sleeves is as likely a piece of them that the parse has missed.
    _, parts, stats, _ = cv2.connectedComponentsWithStats(scene, connectivity=4)
    scene[stats[parts, cv2.CC_STAT_AREA] < ISLAND] = 0
    hole = cv2.dilate(1 - scene, np.ones((7, 7), np.uint8))
    if hole.all():
        return cv2.resize(small, (size[1], size[0])).astype(np.float32)
    known = (hole == 0).astype(np.float32)
    filled = np.where(known[..., None] > 0, small, smoothly_on(small, known, small[hole == 0].mean(0)))
    return enlarge(filled, size, cv2.INTER_CUBIC)


def lower_body(
    window: np.ndarray, people: People, stays: np.ndarray, missed: np.ndarray
) -> np.ndarray | None:
    """The window with the lower body, and what `stays` (256, 192) bool of a dress, carried on beyond its edge,
    (h, w, 3) float32; without what the parse has `missed` (256, 192) bool of the old garment. None where hardly any lower
    body is seen."""
    parse = people.parse[0].cpu().numpy()
    # Bare legs do not go on above the hem of shorts.
    for labels in ((L.PANTS, L.SKIRT), L.LOWER_LABELS):
        seen = (np.isin(parse, labels) | stays) & ~missed
        below = cv2.erode(seen.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        if below.sum() >= LEAST_LOWER:
            return mirrored_up(window, below)
    return None


def own_skin(before: np.ndarray, neck: np.ndarray, old: np.ndarray) -> np.ndarray:
    """Where the photo shows the person's bare skin: lower face, neck and arms, (256, 192) bool. `before` (20, 256, 192):
    the photo's parse; `neck`, `old` (256, 192) bool: what of its background is neck, and where it shows the old garment."""
    neck = neck & (before[L.BACKGROUND] > 0.5)
    arms = before[list(L.ARM_LABELS)].sum(0) > 0.8
    bare = ((neck | arms) & ~old) | _lower_face(before)
    out: np.ndarray = cv2.erode(bare.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return out


def skin_tone(people: People, seen: np.ndarray) -> np.ndarray | None:
    """The median colour (3,) of what is `seen` (256, 192) of the person's skin; None of too little."""
    return np.median(people.photo[seen], axis=0) if seen.sum() >= LEAST_SKIN else None


def unlike_skin(rendered: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Where `rendered` (256, 192, 3) in grey levels shows no skin of the `tone` (3,), (256, 192) bool."""
    apart = (lab(rendered) - lab(tone)) * np.array([0.5, 1.0, 1.0], np.float32)
    out: np.ndarray = length(apart) > NO_SKIN
    return out


def skin(people: People, rendered: np.ndarray, seen: np.ndarray, drawn: np.ndarray, bare: np.ndarray,
         size: tuple[int, int]) -> np.ndarray | None:  # fmt: skip
    """Skin everywhere, (h, w, 3) float32, its colour that of the nearest skin: the photo's where it is `seen`, that of
    `rendered` (256, 192, 3) where it is `drawn` (256, 192), and the person's own tone far from both; in the light on a
    `bare` (256, 192) midriff. None where no skin is seen."""
    tone = skin_tone(people, seen)
    if tone is None:
        return None
    values = np.where(seen[..., None], people.photo, rendered)
    colours = smoothly_on(values, (seen | drawn).astype(np.float32), tone)
    if bare.any():
        colours = colours * light_on(bare)[..., None]
    return enlarge(colours, size)


def smoothly_on(values: np.ndarray, known: np.ndarray, far: np.ndarray) -> np.ndarray:
    """Means of what is `known` (256, 192) of `values` (256, 192, 3) around each pixel, from wide to narrow neighbourhoods:
    near what is known its colour, and the colour `far` (3,) away from all of it. (256, 192, 3) float32."""
    there = values.astype(np.float32) * known[..., None]
    out = np.broadcast_to(far, there.shape).astype(np.float32)
    for sigma in (24.0, 12.0, 6.0, 3.0):
        weight = blurred(known, sigma)[..., None]
        out = (blurred(there, sigma) + 0.1 * out) / (weight + 0.1)
    return out


def match_skin(
    rendered: np.ndarray,
    people: People,
    before: np.ndarray,
    after: np.ndarray,
    neck: np.ndarray,
    old: np.ndarray,
) -> np.ndarray:
    """I_rp `rendered` (256, 192, 3) in grey levels with the skin that it draws brought to the person's own tone.

    Arms and neck are each shifted in CIELAB by as much as the person's skin differs from theirs where the old garment
    hid them. Where skin shows before and after, I_rp copies it, which tells nothing. `before` and `after` (20, 256, 192): the photo's
    parse and M_exp; `neck`, `old` (256, 192) bool.
    """
    out = rendered

    def even_arm(base: np.ndarray, hidden: np.ndarray, new: np.ndarray) -> np.ndarray:
        return even_arms(base, people.photo_lab, own, hidden, new, after, people.keypoints)

    own = own_skin(before, neck, old)
    arm_tone, bare = _arm_tone(people, before, own)
    throat_tone, throat = _throat_tone(people, before, own)
    for becomes, meets, tone, even_part in (
        *((after[label], bare, arm_tone, even_arm) for label in L.ARM_LABELS),
        (after[L.BACKGROUND] * neck, throat, throat_tone, even_throat),
    ):
        hidden = (becomes > 0.7) & old
        if tone is None:
            continue
        likely = hidden & ~unlike_skin(rendered, tone)
        new = likely if likely.sum() >= LEAST_SKIN else hidden
        if new.sum() < LEAST_SKIN:
            continue
        shift = np.clip(lab(tone) - np.median(lab(rendered[new]), axis=0), -FARTHEST, FARTHEST)
        shift *= max(0.0, 1.0 - SHADE / max(float(np.linalg.norm(shift)), 1e-6))
        share = np.clip(becomes, 0, 1) * cv2.GaussianBlur(old.astype(np.float32), (0, 0), 2.0)
        base = lab(out) + shift
        even = even_part(base, hidden, new)
        # As far as evened colours go on beyond the outline, they count in full.
        share = np.where((even != base).any(-1), 1.0, share)
        even = even + _towards(even, people, inside(meets), inside(new))
        out = np.where(share[..., None] > 0.01, rgb(lab(out) + share[..., None] * (even - lab(out))), out)
    # At soft edges an arm that stays would take I_rp's tone.
    stays = bare & (after[list(L.ARM_LABELS)].sum(0) > 0.5)
    return np.where(stays[..., None], people.photo, out)


def _arm_tone(people: People, before: np.ndarray, own: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """The colour (3,) of the person's arms in grey levels, and what is seen of them, (256, 192) bool. Hands are redder than arms:
    where they alone are seen, they tell half of it, and the face the other half. None where no skin is seen."""
    bare = own & (before[list(L.ARM_LABELS)].sum(0) > 0.5)
    if (bare & ~people.hands).sum() >= 4 * LEAST_SKIN:
        return skin_tone(people, bare), bare
    face = skin_tone(people, own & (before[L.FACE] > 0.5))
    if face is None:
        return skin_tone(people, own), bare
    face, hands = _lighter(face, UNDER_FACE), skin_tone(people, bare)
    return face if hands is None else (face + hands) / 2, bare


def _throat_tone(people: People, before: np.ndarray, own: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """The same of throat and chest."""
    throat, tone = own & (before[L.BACKGROUND] > 0.5), skin_tone(people, own)
    if tone is None:
        return None, throat
    throat &= ~unlike_skin(people.photo, tone)  # what labels call background may be a gap beside the neck
    seen = skin_tone(people, throat)
    return _lighter(tone, OVER_OTHERS) if seen is None else _lighter(seen, OVER_THROAT), throat


def _lighter(tone: np.ndarray, by: np.ndarray) -> np.ndarray:
    """A `tone` (3,) in grey levels changed `by` (3,) in CIELAB, on dark skin by less."""
    values = lab(tone)
    out: np.ndarray = rgb(values + by * (values[0] / LIGHT))
    return out


def _towards(drawn: np.ndarray, people: People, seen: np.ndarray, new: np.ndarray) -> np.ndarray:
    """What brings the `new` skin of `drawn` (256, 192, 3) in CIELAB to the colours of the skin `seen` beside it, fading out
    away from it: (256, 192, 3). An arm has no seam where a sleeve ended."""
    photo = people.photo_lab
    total, weights = np.zeros_like(drawn), np.zeros(new.shape, np.float32)
    for sigma in (4.0, 8.0, 16.0):
        theirs, near = _mean_around(photo, seen, sigma)
        ours, around = _mean_around(drawn, new, sigma)
        weight = np.minimum(near, 0.2) * np.minimum(around, 0.2) / sigma
        total += weight[..., None] * np.clip(theirs - ours, -FARTHEST, FARTHEST)
        weights += weight
    reach = np.clip(_mean_around(photo, seen, 16.0)[1] / 0.05, 0, 1)
    out: np.ndarray = reach[..., None] * total / np.maximum(weights, 1e-6)[..., None]
    return out


def _mean_around(values: np.ndarray, where: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Means of `values` (256, 192, 3) over a Gaussian's neighbourhood, of pixels in `where` alone, and their share."""
    share = where.astype(np.float32)
    weight = blurred(share, sigma)
    mean = blurred(values.astype(np.float32) * share[..., None], sigma)
    return mean / np.maximum(weight, 1e-4)[..., None], weight


def _lower_face(before: np.ndarray) -> np.ndarray:
    """The face below its middle, without brows and glasses: (256, 192) bool."""
    face = before[L.FACE] > 0.8
    rows = np.nonzero(face.any(1))[0]
    if len(rows):
        face[: (rows[0] + rows[-1]) // 2] = False
    return face
