"""The old garment in the photo: what of it the parse has missed, and what of it stays as a skirt.

Everything here is found at 256×192. Distances are in pixels of that size, colours in CIELAB.
"""

from __future__ import annotations

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.data.areas import close_to, disc, hanging_on
from vtcli.core.data.arms import ARMS, along_arm, half_widths
from vtcli.core.garments.colours import ALIKE, LEAST, NO_SCENE, STRIKING, apart, from_scene, palette
from vtcli.core.models.composition import CLOTHES
from vtcli.core.tryon.composing.garment_edge import between_shoulders
from vtcli.core.tryon.networks import People

DRESSES = (L.DRESS, L.JUMPSUITS)
"""Labels of garments that reach below the waist."""
BELOW_HIPS = 0.4
"""A garment that reaches further below the hips than this share of the way from neck to hips is a dress."""
SURELY_BELOW = 0.25
"""How much of that has to be seen at least, where the picture ends above it."""
ASTRAY = 5
"""How far from the parsed garment pixels of its colour are looked for on arms."""
HEM = 16
"""How far from it they are looked for on skirt and trousers: a ruffle, a lining, a shirt tail."""
BESIDE = 8
"""How far beside what stays of a dress the parse may miss it."""
FRAYED = 3
"""How far from it they are looked for in the background and on hands."""
END = 0.04
"""How large the end of a sleeve or a shirt tail is at most that the parse has broken off, in areas of the garment: a wall in the
garment's colour is larger. Set by hand."""
SLEEVE, CLOSE, WRIST = 1.6, 1.2, 0.97
"""How far a sleeve reaches from the bones, and from the wrist joint, in half widths of a bare arm; and where the wrist is, along the
arm from 0 to 1."""
CLOTHLIKE = 0.6
"""How much closer a cuff comes to the colours of the cloth than to those of skin: of drawn hands, which shadows fall on, one in
two hundred pixels is lost by it."""
ASIDE = 24
"""How far from the person the scene tells its colours, in front of which a shirt tail stands out, in pixels."""
OUT, ABOVE_SCENE = 2.5, 1.2
"""How far a shirt tail is from those colours at least, in CIELAB, and how many times as far as 95 of 100 of the scene's own pixels.
Set by hand on 36 photos and 250 of VITON's."""
UP, ACROSS = 0.3, 0.5
"""How far up or down and to the side of the hips it hangs at most, in lengths from neck to hips."""
OFF, STUDIO = 8, 4.0
"""How far beyond the parsed garment its edge is looked for where the scene is even: where 95 of 100 of its pixels are no further
from the colours around them, in CIELAB. Set by hand on 36 photos and 250 of VITON's."""
CUFF = 6
"""How far a cuff reaches over a hand."""
CONFUSED = 0.15
"""Share of the lower body, well below the old garment, that may have the garment's colour; of white shorts under a white shirt
colours tell nothing. Set by hand on 36 photos."""


def missed(people: People, before: np.ndarray, neck: np.ndarray) -> np.ndarray:
    """Pixels beside the old garment that have its colour and not that of skin, lower body or scene, but another label:
    cuffs taken for hands, the edge of a sleeve taken for background, a ruffle taken for a skirt. (256, 192) bool.

    `before` (20, 256, 192): the photo's parse; `neck` (256, 192) bool: background that is neck.
    """
    none = np.zeros(neck.shape, bool)
    photo = people.photo
    worn = before[list(CLOTHES)].sum(0) > 0.5
    sure = cv2.erode(worn.astype(np.uint8), disc(2)) > 0
    bare = bare_skin(before, worn)
    if sure.sum() < LEAST or bare.sum() < LEAST:
        return none
    values = people.photo_lab
    to_cloth, to_skin = apart(values, palette(photo[sure], 6)), apart(values, palette(photo[bare], 4))
    to_scene = from_scene(photo, values, (before[L.BACKGROUND] > 0.9) & ~neck & ~close_to(worn, 4))
    own = (to_cloth < ALIKE) & (to_cloth < 0.5 * to_skin)
    arms, background = before[list(L.ARM_LABELS)].sum(0), before[L.BACKGROUND] * ~neck
    hands = people.hands
    on_arms = (close_to(worn, ASTRAY) & ~hands | close_to(worn, FRAYED)) & (background < 0.3)
    on_scene = close_to(worn, FRAYED) & (to_cloth < 0.5 * to_scene)
    found = own & (arms + background > 0.5) & (on_arms | on_scene) & ~worn
    # The end of a sleeve that the parse breaks off stands out from the scene.
    end = own & (background > 0.5) & (to_cloth < STRIKING * to_scene) & ~worn & _on_arms(people)
    end = hanging_on(end, close_to(worn, FRAYED))
    if end.sum() < END * worn.sum():
        found |= end
    found |= _tail(people, own & (background > 0.5), to_cloth, worn)
    found |= _standing_off(people, (background > 0.5) & ~neck, worn)
    lower = before[list(L.LOWER_LABELS)].sum(0) > 0.5
    further = lower & ~close_to(worn, HEM)
    if further.sum() >= LEAST and (to_cloth[further] < ALIKE).mean() < CONFUSED:
        to_lower = apart(values, palette(photo[further], 4))
        found |= lower & (to_cloth < ALIKE) & (to_cloth < 0.5 * to_lower) & close_to(worn, HEM)
    # What hangs on the garment counts, however thin; a lone pixel is noise.
    whole = cv2.morphologyEx((found | worn).astype(np.uint8), cv2.MORPH_OPEN, disc(1)) > 0
    out: np.ndarray = whole & found
    return out


def _standing_off(people: People, background: np.ndarray, worn: np.ndarray) -> np.ndarray:
    """What of the `background` (256, 192) bool beside the garment `worn` (256, 192) bool stands out from an even scene, in
    whatever colour: a lace edge, a lining, a flap of a wide sleeve. (256, 192) bool."""
    none = np.zeros_like(worn)
    parse, values = people.parse[0].cpu().numpy(), people.photo_lab
    person = parse != L.BACKGROUND
    scene = ~close_to(person, OFF)
    away, near = from_scene(people.photo, values, scene), scene & close_to(worn, ASIDE)
    if near.sum() < LEAST or (even := float(np.quantile(away[near], 0.95))) > STUDIO:
        return none
    distances = [
        cv2.distanceTransform((~part).astype(np.uint8), cv2.DIST_L2, 5) for part in (worn, person & ~worn)
    ]
    own = background & (distances[0] < OFF) & (distances[0] + FRAYED < distances[1])
    # Strands of hair stand out as well, and the neck, which labels call background.
    own &= ~close_to(parse == L.HAIR, OFF) & ~between_shoulders(people.keypoints[0].cpu().numpy(), worn.shape)
    stands_out = (away > max(OUT, ABOVE_SCENE * even)) & (away < NO_SCENE)
    return hanging_on(own & stands_out, close_to(worn, 1))


def _tail(people: People, own: np.ndarray, to_cloth: np.ndarray, worn: np.ndarray) -> np.ndarray:
    """What of the background hangs out beside the hips, below an arm: the garment's `own` colours (256, 192) bool, which are
    `to_cloth` (256, 192) away from it in CIELAB, in front of an even scene. (256, 192) bool."""
    parse, joints = people.parse[0].cpu().numpy(), people.keypoints[0].cpu().numpy()
    scene = (parse == L.BACKGROUND) & ~close_to(parse != L.BACKGROUND, ASIDE)
    hips = joints[[L.R_HIP, L.L_HIP]]
    if scene.sum() < LEAST or not L.joints_present(joints[[L.NECK, L.R_HIP, L.L_HIP]]).all():
        return np.zeros_like(worn)
    values = people.photo_lab
    to_scene = apart(values, palette(people.photo[scene], 6))
    even = float(np.quantile(to_scene[scene], 0.95))
    length, (x, y) = hips[:, 1].mean() - joints[L.NECK, 1], hips[:, :2].mean(0)
    rows, columns = np.mgrid[: worn.shape[0], : worn.shape[1]]
    place = (abs(rows - y) < UP * length) & (abs(columns - x) < ACROSS * length)
    piece = own & place & (to_scene > max(OUT, ABOVE_SCENE * even)) & (to_cloth < 0.5 * to_scene)
    lower = np.isin(parse, L.LOWER_LABELS)
    if lower.sum() >= LEAST:  # trousers, whose edge the parse misses as well
        piece &= to_cloth < 0.5 * apart(values, palette(people.photo[lower], 4))
    whole = cv2.morphologyEx(piece.astype(np.uint8), cv2.MORPH_CLOSE, disc(2)) > 0
    whole &= place & (parse == L.BACKGROUND)
    # What is narrow is an outline, of trousers or of an arm.
    whole = cv2.morphologyEx(whole.astype(np.uint8), cv2.MORPH_OPEN, disc(2)) > 0
    out = hanging_on(whole, close_to(parse != L.BACKGROUND, FRAYED))
    return out if out.sum() < END * worn.sum() else np.zeros_like(worn)


def _on_arms(people: People) -> np.ndarray:
    """Where sleeves are, (256, 192) bool: beside the bones of arms, and around their wrists."""
    out = np.zeros((people.parse.shape[1], people.parse.shape[2]), bool)
    for arm in ARMS:
        along, distance = along_arm(people.keypoints, (out.shape[0], out.shape[1]), arm)
        out |= distance < np.where(along < WRIST, SLEEVE, CLOSE) * half_widths(along)
    return out


def shaded(people: People, before: np.ndarray) -> np.ndarray:
    """Pixels of hands that have not the colour of the person's skin, (256, 192) bool: a cuff's shadow, its seam. `before`
    (20, 256, 192): the photo's parse."""
    hands = people.hands
    worn = before[list(CLOTHES)].sum(0) > 0.5
    bare = bare_skin(before, worn)
    if not hands.any() or bare.sum() < LEAST:
        return np.zeros(hands.shape, bool)
    photo = people.photo
    out: np.ndarray = hands & (apart(people.photo_lab, palette(photo[bare], 4)) > ALIKE)
    return out


def cuffs(people: People, before: np.ndarray, after: np.ndarray, dark: np.ndarray) -> np.ndarray:
    """What has not the colour of skin on a hand and hangs on a sleeve that gives way to a bare arm, (256, 192) bool: the cuff's
    edge and shadow, which would stay as a bracelet. `before`, `after` (20, 256, 192): the photo's parse and M_exp; `dark`
    (256, 192) bool: what is `shaded`."""
    worn = before[list(CLOTHES)].sum(0) > 0.5
    goes = worn & (after[list(L.ARM_LABELS)].sum(0) > 0.5)
    sure, bare = cv2.erode(worn.astype(np.uint8), disc(2)) > 0, bare_skin(before, worn)
    if not dark.any() or sure.sum() < LEAST:
        return np.zeros_like(dark)
    photo = people.photo
    values = people.photo_lab
    dark = dark & (
        apart(values, palette(photo[sure], 6)) < CLOTHLIKE * apart(values, palette(photo[bare], 4))
    )
    out = np.zeros_like(dark)
    for _ in range(CUFF // 2):
        out = close_to(goes | out, 2) & dark
    return out


def bare_skin(before: np.ndarray, worn: np.ndarray) -> np.ndarray:
    """Face, and arms apart from what is `worn` (256, 192) bool: (256, 192) bool, by the photo's parse `before`."""
    out: np.ndarray = (before[L.FACE] > 0.8) | (
        (before[list(L.ARM_LABELS)].sum(0) > 0.9) & ~close_to(worn, ASTRAY)
    )
    return out


def with_whole_skirt(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The photo's parse `before` (20, 256, 192), probabilities, with pieces called a skirt that it calls a dress, though the
    person wears a top over them. They lie apart from the top, and M_exp `after` expects the lower body there."""
    clothes, dress = before[list(CLOTHES)].sum(0), before[list(DRESSES)].sum(0)
    worn = clothes > 0.5
    count, parts, stats, _ = cv2.connectedComponentsWithStats(worn.astype(np.uint8), connectivity=8)
    if count < 3:
        return before
    top = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    lower = after[list(L.LOWER_LABELS)].sum(0)
    of_dress = [dress[parts == p].sum() > 0.5 * clothes[parts == p].sum() for p in range(count)]
    pieces = [p for p in range(1, count) if of_dress[p] and lower[parts == p].mean() > 0.5]
    if of_dress[top] or not pieces:
        return before
    out, piece = before.copy(), close_to(np.isin(parts, pieces), BESIDE)
    out[L.SKIRT] += dress * piece
    out[list(DRESSES)] *= ~piece
    return out


def is_dress(people: People, before: np.ndarray) -> bool:
    """Whether the old garment is a dress: most of it is called one, or it goes on far below the hips, whatever the
    parse calls it."""
    worn = before[list(CLOTHES)].sum(0) > 0.5
    if (before[list(DRESSES)].sum(0) > 0.5).sum() > 0.5 * worn.sum():
        return True
    joints = people.keypoints[0].cpu().numpy()
    if not L.joints_present(joints[[L.NECK, L.R_HIP, L.L_HIP]]).all():
        return False
    hips = joints[[L.R_HIP, L.L_HIP]]
    length = hips[:, 1].mean() - joints[L.NECK, 1]
    low = float(hips[:, 1].mean())
    row = min(round(low + BELOW_HIPS * length), before.shape[1] - 3)
    if length <= 0 or row < low + SURELY_BELOW * length:
        return False
    middle = hips[:, 0].mean()
    left, right = int(max(0, middle - 0.2 * length)), int(middle + 0.2 * length)
    return bool(worn[max(0, row - 2) : row + 3, left : right + 1].mean() > 0.6)


def skirt(people: People, before: np.ndarray, after: np.ndarray, covered: np.ndarray) -> np.ndarray:
    """What stays of a dress below the new garment's hem, (256, 192) bool: neither arms nor what were its sleeves.

    `covered` (256, 192) in [0, 1]: where the new garment is.
    """
    hips = people.keypoints[0, [L.R_HIP, L.L_HIP], 0].cpu().numpy()
    height, width = covered.shape
    left, right = max(0, int(hips.min()) - 4), min(width, int(hips.max()) + 5)
    rows = np.arange(height)[:, None]
    lowest = np.where(covered[:, left:right] > 0.5, rows, -1).max(0)
    if not (lowest >= 0).any():
        return np.zeros(covered.shape, bool)
    lowest = np.where(lowest < 0, int(np.median(lowest[lowest >= 0])), lowest)
    hem = np.pad(lowest, (left, width - right), mode="edge")
    worn = before[list(CLOTHES)].sum(0) + before[list(L.LOWER_LABELS)].sum(0) > 0.5
    arms = after[list(L.ARM_LABELS)].sum(0) > 0.5
    bared_arms = arms & (before[list(L.ARM_LABELS)].sum(0) < 0.5)
    below = worn & (rows >= hem[None]) & ~arms & ~close_to(bared_arms, 2)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(below.astype(np.uint8), connectivity=4)
    if count < 2:
        return below
    out: np.ndarray = parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return out


def beside_skirt(stays: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where nothing of the old garment has to go, beside what `stays` (256, 192) bool of a dress, below the new hem: what the
    parse misses there is the dress. But arms, before or after, may have been in its sleeves. (256, 192) bool."""
    rows = np.nonzero(stays.any(1))[0]
    if not len(rows):
        return stays
    arms = np.maximum(*(parse[list(L.ARM_LABELS)].sum(0) for parse in (before, after))) > 0.3
    below = np.arange(len(stays))[:, None] > rows[0] + 1
    out: np.ndarray = below & close_to(stays, BESIDE) & ~close_to(arms, 2)
    return out
