"""From what the networks say at 256×192 to the picture, at any resolution: one composer for photos and for splits.

With `keep=head` the picture is I_try-on. With `keep=outside` it touches nothing that a change of top does not. A warp
knows no resolution: the garment is sampled from its own photo at the window's size. What becomes of a pixel of the
region follows from the photo's parse and from M_exp:

- no top before, none expected: the photo stays. Arms, trousers and background are where they were;
- a top is expected: the warped garment with its own edge, or its cloth carried on a little beyond it, and I_rp further
  away; but background gives way only to the warped garment itself;
- a dress before: it stays, pixel for pixel, below the new hem, whatever the parse calls it;
- the inside of the garment's back collar shows nothing on a person: the photo stays there, or skin is filled in;
- a top before, none expected: background is filled in from the photo around the person, lower body from the lower
  body or dress that is seen, skin from I_rp, in the person's own tone.

What has the old garment's colour is the old garment, whatever the parse calls it (`old_garment`). Edges of the old garment are looked for in the photo, edges of the new one in the warped garment.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import hand_region, neck_region
from vtcli.core.data.pixels import grey_levels, likeliest
from vtcli.core.garments.placement import Garment, as_placed
from vtcli.core.models.composition import CLOTHES
from vtcli.core.models.warping import Warp
from vtcli.core.system.workers import both, side_by_side
from vtcli.core.tryon.annotate import certain
from vtcli.core.tryon.bared_arms import with_own_arms
from vtcli.core.tryon.filling import (
    lower_body,
    match_skin,
    own_skin,
    scene_behind,
    skin,
    skin_tone,
    unlike_skin,
)  # fmt: skip
from vtcli.core.tryon.full_warp import (
    OPAQUE,
    REACH,
    FullWarp,
    beyond_edge,
    carried_beyond,
    collar_opening,
    own_colours,
)
from vtcli.core.tryon.garment_edge import (
    between_shoulders,
    carried_cloth,
    crisp,
    garment_cover,
    neckline,
    whole,
)
from vtcli.core.tryon.networks import Composition, People
from vtcli.core.tryon.old_garment import LOWER, bared, is_dress, missed, skirt
from vtcli.core.tryon.planes import (
    GuidedFilter,
    carried_on,
    colours,
    dilated,
    disc,
    enlarge,
    plane,
    rows,
    soft_edge,
    steepened,
)
from vtcli.core.tryon.user_masks import UserMasks

FEATHER = 2.0
"""Width of the region's soft edge, inside of it, in pixels at 256×192."""
FRINGE = 2.0
"""How far beyond its edge the old garment still colours the photo, in pixels at 256×192."""
WRIST = 5
"""How far from a hand a bare wrist takes the hand's colour, in pixels at 256×192."""
SURELY_NEW = 0.65
"""M_exp's probability of clothes from which what M_cm lets go of is no inside of a collar."""
UNLIKE = 60.0
"""Grey levels between rendering and cloth, on average around a pixel, that are more than folds and light: set by hand on
white and black tops over the other."""
NOTICED = 0.05
"""Share of the largest pixel below which a filling is not worth its making."""
GROUPS = ((L.BACKGROUND,), CLOTHES, LOWER, L.ARM_LABELS, (*L.HEAD_LABELS, L.GLOVE))
"""Labels that go together when it is asked what is expected at a place."""
NO_MASKS = UserMasks()
WORK, PAINT, BAND = 1400, 640, 192
"""Rows at which masks are made at most, and what has no detail of its own: colours under the garment and beyond its
edge; rows of the full-size picture that are made at a time."""


@dataclass
class Picture:
    """`pixels` (h, w, 3) uint8, the window at the photo's resolution; `region` (h, w) bool: outside of it the
    picture is the photo, bit for bit."""

    pixels: np.ndarray
    region: np.ndarray


@dataclass
class Layers:
    """What the picture is made of, float32 planes of any size: colours (h, w, 3) in grey levels, shares (h, w) in
    [0, 1]."""

    beneath: np.ndarray
    """Colours under the garment: the rendering, and what is filled in where the old garment goes."""
    garment: np.ndarray
    """The warped garment's colours, carried a little beyond its edge."""
    shading: np.ndarray
    """What folds and light add to the garment's colours."""
    shown: np.ndarray
    """Where the garment shows."""
    changed: np.ndarray
    """Where the photo gives way; elsewhere it stays."""
    region: np.ndarray
    """1 where the picture may differ from the photo at all."""

    def compose(self, photo: np.ndarray, full: FullWarp, band: slice) -> np.ndarray:
        """The rows `band` of the picture at the size of `full`: (n, w, 3) uint8. `photo`: the same rows of the photo."""
        names = ("beneath", "garment", "shading", "shown", "changed")
        beneath, garment, shading, shown, changed = (rows(getattr(self, n), full.size, band) for n in names)
        rgb, alpha = full.rows(band.start, band.stop)
        out = np.where((alpha > OPAQUE)[..., None], own_colours(rgb, alpha), garment)
        out += shading  # in place from here on: passes over memory are what takes the time
        photo = photo.astype(np.float32)
        for share, under in ((shown, beneath), (changed, photo)):
            out -= under
            out *= share[..., None]
            out += under
        out += 0.5
        picture: np.ndarray = np.clip(out, 0, 255, out=out).astype(np.uint8)
        return picture


def compose(
    window: np.ndarray, probabilities: Tensor, people: People, garment: Garment, warp: Warp, composition: Composition,
    keep: str, masks: UserMasks = NO_MASKS,
) -> Picture:  # fmt: skip
    """The picture of one person in the window (h, w, 3) uint8, at its own resolution.

    `probabilities` (1, 20, 256, 192): the photo's parse; the others are of the same person at 256×192. With
    `keep=outside` masks and fillings are made at `WORK` rows at most; photo and garment meet at full size, band by
    band. What `masks` (of the window's size) protects is the photo's, with either `keep`.
    """
    size = (window.shape[0], window.shape[1])
    if keep == "head":
        enlarged = composition.tryon
        if enlarged.shape[2:] != size:
            enlarged = F.interpolate(enlarged, size=size, mode="bicubic", align_corners=False)
        pixels, region = grey_levels(enlarged)[0].cpu().numpy(), np.ones(size, bool)
        if masks.protect is not None:
            pixels[masks.protect], region[masks.protect] = window[masks.protect], False
        return Picture(pixels, region)
    work = _at_most(WORK, size)
    small = window if work == size else cv2.resize(window, work[::-1], interpolation=cv2.INTER_AREA)
    full = FullWarp(garment, warp, size)
    reduced = full if work == size else FullWarp(garment, warp, work)
    layers = _layers(small, probabilities, people, reduced, composition, masks)
    region = enlarge(layers.region, size) > 0.5
    if masks.protect is not None:
        region &= ~masks.protect
    pixels = window.copy()

    def make(start: int) -> None:
        band = slice(start, min(start + BAND, size[0]))
        if region[band].any():
            pixels[band][region[band]] = layers.compose(window[band], full, band)[region[band]]

    side_by_side(make, range(0, size[0], BAND))
    return Picture(pixels, region)


def compose_batch(
    photos: np.ndarray, people: People, cloths: np.ndarray, masks: np.ndarray, warp: Warp, composition: Composition,
    keep: str,
) -> np.ndarray:  # fmt: skip
    """The pictures of several people of a data set, (B, 256, 192, 3) uint8, each as `compose` makes it alone.

    `photos` (B, 256, 192, 3) uint8: their own windows, whose parse is certain; `cloths` (B, 256, 192, 3) uint8 with
    `masks` (B, 256, 192) bool: the shop photos.
    """
    if keep == "head":
        return grey_levels(composition.tryon).cpu().numpy()
    parse = certain(people.filled_parse.cpu())
    filled = People(people.image, people.filled_parse, people.keypoints)

    def one(i: int) -> np.ndarray:
        garment = as_placed(cloths[i], masks[i])
        given = filled.alone(i), garment, warp.alone(i), composition.alone(i)
        return compose(photos[i], parse[i : i + 1], *given, keep).pixels

    return np.stack(side_by_side(one, range(len(photos))))


def _at_most(rows: int, size: tuple[int, int]) -> tuple[int, int]:
    """`size` (height, width), reduced to `rows` where it is larger."""
    return size if size[0] <= rows else (rows, round(rows * size[1] / size[0]))


@dataclass
class _Maps:
    """What the photo shows and what is expected, (h, w) float32 in [0, 1] at the window's size unless it says
    otherwise."""

    size: tuple[int, int]
    scale: float
    """Pixels of the window for one at 256×192."""
    before: np.ndarray
    """The photo's parse, probabilities (20, 256, 192)."""
    after: np.ndarray
    """M_exp, probabilities (20, 256, 192)."""
    neck: np.ndarray
    """What labels call background and is neck, before or after: (256, 192) bool."""
    missed: np.ndarray
    """What has the old garment's colour and another label: (256, 192) bool."""
    stays: np.ndarray
    """What stays of a dress, as the skirt below the new top: (256, 192) bool."""
    colours: np.ndarray
    """The warped garment on white, (h, w, 3) in grey levels."""
    alpha: np.ndarray
    """Where the warped garment lies."""
    near: np.ndarray
    """Where it lies or may be stretched to."""
    opening: np.ndarray
    """Where its neckline is open."""
    old: np.ndarray
    """Where the photo shows the old garment, but for what stays of a dress."""
    scene: np.ndarray
    """Where it shows background."""
    arms: np.ndarray
    """Where it shows bare arms."""
    front: np.ndarray
    """Where it shows the head, which lies in front of garments."""
    new: np.ndarray
    """Where M_exp expects clothes."""

    def expects(self, labels: tuple[int, ...], size: tuple[int, int]) -> np.ndarray:
        """Where M_exp expects one of `labels`, and nothing else more; of background what is no neck. (h, w) of `size`."""
        after = self.after.copy()
        after[L.BACKGROUND] *= ~self.neck
        share = after[list(labels)].sum(0)
        others = [group for group in GROUPS if not set(group) & set(labels)]
        rivals = np.max([after[list(group)].sum(0) for group in others], axis=0)
        return crisp((share > rivals).astype(np.float32), size)


def _layers(
    window: np.ndarray, probabilities: Tensor, people: People, full: FullWarp, composition: Composition,
    masks: UserMasks,
) -> Layers:  # fmt: skip
    """The layers at the size of `window` (h, w, 3) uint8, which is that of `full`."""
    maps = _maps(window, probabilities, people, full, composition)
    protect, redraw = (
        None if mask is None else enlarge(mask.astype(np.float32), maps.size)
        for mask in (masks.protect, masks.redraw)
    )
    if redraw is not None:
        # The parse has it already, at 256×192 and with the photo's edges; the user's own edges count.
        maps.old, maps.scene = np.maximum(maps.old, redraw), np.minimum(maps.scene, 1.0 - redraw)
    covered = _covered(maps)
    uncovered = _uncovered(maps, covered)
    region, soft = _region(maps, composition, protect, redraw)
    clothes = maps.after[list(CLOTHES)].sum(0)
    paint = _at_most(PAINT, maps.size)
    beneath, (garment, shading) = both(
        lambda: _beneath(window, people, maps, composition, uncovered * soft, paint),
        lambda: (
            carried_beyond(
                enlarge(maps.colours, paint),
                enlarge(maps.alpha, paint),
                paint[0] / composition.region.shape[2],
            ),
            enlarge(_shading(full.warp, composition, clothes), paint, cv2.INTER_CUBIC),
        ),
    )
    return Layers(
        beneath=beneath,
        garment=garment,
        shading=shading,
        shown=np.minimum(carried_cloth(maps.alpha, maps.scale), covered),
        # Not their maximum: where the two meet, the old garment would shine through.
        changed=soft * np.minimum(covered + uncovered, 1.0),
        region=region.astype(np.float32),
    )


def _maps(
    window: np.ndarray, probabilities: Tensor, people: People, full: FullWarp, composition: Composition
) -> _Maps:
    size, warp = full.size, full.warp
    scale = size[0] / composition.region.shape[2]
    expected = composition.expected_parse if composition.expected_parse is not None else probabilities
    before = probabilities[0].cpu().numpy()
    after = with_own_arms(expected[0].cpu().numpy(), before, people.keypoints)
    necks = (neck_region(x, people.keypoints) for x in (likeliest(expected), people.parse))
    neck = torch.stack(list(necks)).any(0)[0].cpu().numpy() | bared(people, before, after)
    hidden = missed(people, before, neck)
    worn, new, stays = _garments(people, before, after, plane(warp.mask))

    held, joints = plane(composition.composition_mask), people.keypoints[0].cpu().numpy()
    held = np.where(new > SURELY_NEW, 1.0, held)
    hollow = neckline(plane(warp.mask), held, joints).astype(np.float32)

    def seen() -> list[np.ndarray]:
        by_photo = GuidedFilter(cv2.cvtColor(window, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0, scale)
        scene = before[L.BACKGROUND] * (~(neck | hidden)).astype(np.float32)
        arms, head = (before[list(labels)].sum(0) for labels in (L.ARM_LABELS, L.HEAD_LABELS))
        shares = np.maximum(worn, hidden), scene, arms, head
        return side_by_side(lambda share: steepened(by_photo(share), scale), shares)

    def warped() -> tuple[np.ndarray, ...]:
        rgb, alpha = full.whole()
        opening = np.maximum(collar_opening(full), crisp(hollow, size))
        return rgb, alpha, dilated(alpha, REACH * scale), opening

    (old, scene, arms, front), (rgb, alpha, near, opening) = both(seen, warped)
    old = np.maximum(old, crisp(hidden, size)) * (1.0 - crisp(_with_edge(stays), size))
    return _Maps(
        size, scale, before, after, neck, hidden, stays, rgb, alpha, near, opening, old, scene, arms, front,
        new=crisp(new, size),
    )  # fmt: skip


def _garments(
    people: People, before: np.ndarray, after: np.ndarray, warped: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where clothes are worn, where M_exp expects the new garment, and what stays of a dress, all (256, 192)."""
    worn, new = before[list(CLOTHES)].sum(0), whole(after[list(CLOTHES)].sum(0))
    # M_exp takes the worn garment's neckline for the new one's now and then; the warp has the garment's own.
    zone = between_shoulders(people.keypoints[0].cpu().numpy(), worn.shape)
    new = np.where(zone & (after.argmax(0) == L.BACKGROUND), np.maximum(new, warped), new)
    if not is_dress(people, before):
        return worn, new, np.zeros(worn.shape, bool)
    # What M_exp calls a dress and the warped garment does not reach is the old one.
    new = new - after[[L.DRESS, L.JUMPSUITS]].sum(0) * (1.0 - warped)
    reached = np.minimum(dilated((new > 0.5).astype(np.float32), REACH), warped)
    stays = skirt(people, before, after, reached)
    below = cv2.erode(stays.astype(np.uint8), np.ones((5, 5), np.uint8))
    return worn, new * (1 - below), stays


def _with_edge(stays: np.ndarray) -> np.ndarray:
    """What stays of a dress (256, 192) bool with its own edge in the photo."""
    return dilated(stays.astype(np.float32), FRINGE)


def _covered(maps: _Maps) -> np.ndarray:
    """Where the new garment is, (h, w) in [0, 1]."""
    hides = np.maximum((maps.old > 0.5).astype(np.float32), maps.arms)
    covered = garment_cover(maps.new, maps.alpha, hides, maps.scene, maps.front, maps.scale)
    # Where the old garment ends beside the new one, the new one is stretched over its edge, but not into the scene.
    beside = dilated((covered > 0.5).astype(np.float32), REACH * maps.scale)
    stretched = np.minimum(maps.old, maps.near) * beside * (1.0 - maps.expects((L.BACKGROUND,), maps.size))
    covered = np.maximum(covered, stretched)
    covered *= 1.0 - maps.opening
    return covered


def _uncovered(maps: _Maps, covered: np.ndarray) -> np.ndarray:
    """Where the old garment was and no new one is, its fringe included: (h, w) in [0, 1]."""
    free = 1.0 - covered
    fringe = dilated(maps.old * free, FRINGE * maps.scale) * free
    return fringe * (1.0 - crisp(_with_edge(maps.stays), maps.size))


def _region(
    maps: _Maps, composition: Composition, protect: np.ndarray | None, redraw: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Where the picture may differ from the photo: (h, w) bool, and with a soft edge inside of it, in [0, 1]. What the
    user says is redrawn belongs to it, what is protected does not: (h, w) in [0, 1] each."""
    region = enlarge(plane(composition.region), maps.size) > 0.5
    # Maps are a pixel or two off: along hair and hands the photo tells what is still the old garment.
    region |= (dilated(region.astype(np.float32), FRINGE * maps.scale) > 0.5) & (maps.old > 0.5)
    region |= dilated(enlarge(maps.missed, maps.size), FRINGE * maps.scale) > 0.5
    if redraw is not None:
        region |= redraw > 0.5
    soft = np.maximum(soft_edge(region, FEATHER * maps.scale), maps.old * region)
    if protect is not None:
        soft = np.minimum(soft, soft_edge(protect < 0.5, FEATHER * maps.scale))
    return region, soft


def _beneath(
    window: np.ndarray, people: People, maps: _Maps, composition: Composition, uncovered: np.ndarray,
    size: tuple[int, int],
) -> np.ndarray:  # fmt: skip
    """Colours under the garment, (h, w, 3) of `size` in grey levels: I_rp, its skin in the person's tone, and where the
    old garment is `uncovered` the scene behind, the lower body carried on, or skin."""
    if size != maps.size:
        window, uncovered = (
            cv2.resize(window, size[::-1], interpolation=cv2.INTER_AREA),
            enlarge(uncovered, size),
        )
    worn = (maps.before[list(CLOTHES)].sum(0) > 0.3) | maps.missed
    rendered = colours(composition.rendered_person)
    rendered = match_skin(rendered, people, maps.before, maps.after, maps.neck, worn)
    out = np.clip(enlarge(rendered, size, cv2.INTER_CUBIC), 0, 255)
    if uncovered.max() <= NOTICED:
        return out
    arms = maps.after[list(L.ARM_LABELS)].sum(0) > 0.5
    hands = hand_region(people.parse, people.keypoints)[0].cpu().numpy()
    wrists = cv2.dilate(hands.astype(np.uint8), disc(WRIST)) > 0
    bare = arms | (maps.neck & (maps.after[L.BACKGROUND] > 0.5))
    seen = own_skin(people, maps.before, worn)
    tone = skin_tone(people, seen)
    sleeve = arms & worn & unlike_skin(rendered, tone) if tone is not None else np.zeros_like(arms)
    drawn = worn & ~maps.missed & ~wrists & bare & ~sleeve
    # I_rp takes a cuff's fringe on the hand for a bracelet, and draws it; and pieces of the old sleeve.
    by_tone = ((maps.missed | wrists) & worn & arms) | sleeve
    parts = (
        (maps.expects((L.BACKGROUND,), size), lambda: scene_behind(window, people, maps.missed, size)),
        (maps.expects(LOWER, size), lambda: lower_body(window, people, maps.stays, maps.missed)),
        (
            np.maximum(enlarge(maps.opening, size) * (1.0 - crisp(drawn, size)), crisp(by_tone, size)),
            lambda: skin(people, rendered, seen, drawn, size),
        ),
    )
    places = [uncovered * share for share, _ in parts]

    def filling(number: int) -> np.ndarray | None:
        return parts[number][1]() if places[number].max() > NOTICED else None

    scene, others = both(lambda: filling(0), lambda: [filling(1), filling(2)])
    for where, colour in zip(places, [scene, *others], strict=True):
        if colour is not None:
            out += where[..., None] * (colour - out)
    return out


def _shading(warp: Warp, composition: Composition, clothes: np.ndarray) -> np.ndarray:
    """Equation (1) as what is added to the garment, I_try-on - I_warp, (256, 192, 3) float32 in grey levels.

    I_rp has folds and light, but at 256×192; so added, they leave the garment the seams and threads of its own photo.
    What is added at the garment's edge is that of its inside, where `clothes` (256, 192) are expected: beside it I_rp
    shows skin or the scene, which are no light on the garment.
    """
    tryon, cloth = colours(composition.tryon), colours(warp.cloth)
    mask = plane(warp.mask)
    share = plane(composition.composition_mask)[..., None]
    added = tryon - share * cloth - (1.0 - share) * beyond_edge(cloth, mask, 1.0)
    # A rendering of another colour than the cloth is no light on it: under a hem it shows trousers already.
    unlike = cv2.GaussianBlur(colours(composition.rendered_person) - cloth, (0, 0), 3.0)
    alike = np.abs(unlike).max(-1) < UNLIKE
    inner = ((mask > 0.9) & (clothes > 0.5) & alike).astype(np.float32)
    sure = np.asarray(cv2.erode(inner, np.ones((7, 7), np.uint8)))
    side = 4 * round(REACH) + 1  # from there to as far as the garment is stretched
    weight = cv2.GaussianBlur(sure, (0, 0), 0.8)[..., None]
    near = cv2.GaussianBlur(added * sure[..., None], (0, 0), 0.8) / np.maximum(weight, 1e-3)
    return np.where(weight > 0.2, near, carried_on(added, sure, side))
