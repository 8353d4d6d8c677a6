"""The layers of a try-on, and how they become the picture: what lies beneath, where the garment shows, where the photo
gives way. Each follows from the maps of `maps.py` and from what the networks draw."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.areas import disc
from vtcli.core.data.pixels import colours
from vtcli.core.models.composition import CLOTHES
from vtcli.core.models.warping import Warp
from vtcli.core.system.workers import both
from vtcli.core.tryon.composing.filling import (
    lower_body,
    match_skin,
    own_skin,
    scene_behind,
    skin,
    skin_tone,
    unlike_skin,
)
from vtcli.core.tryon.composing.full_warp import (
    OPAQUE,
    REACH,
    FullWarp,
    beyond_edge,
    carried_beyond,
    own_colours,
)
from vtcli.core.tryon.composing.garment_edge import (
    carried_cloth,
    crisp,
    garment_cover,
)
from vtcli.core.tryon.composing.grain import skin_grain
from vtcli.core.tryon.composing.maps import FRINGE, Maps, find_maps
from vtcli.core.tryon.composing.planes import at_most, carried_on, dilated, enlarge, part_of, plane, soft_edge
from vtcli.core.tryon.composing.shoulder_line import above_shoulders
from vtcli.core.tryon.networks import Composition, People
from vtcli.core.tryon.photos.user_masks import UserMasks

FEATHER = 2.0
"""Width of the region's soft edge, inside of it, in pixels at 256×192."""
WRIST = 5
"""How far from a hand a bare wrist takes the hand's colour, in pixels at 256×192."""
RIM = 4
"""Width of an old collar that stands off the neck, in pixels at 256×192."""
UNLIKE = 60.0
"""Grey levels between rendering and cloth, on average around a pixel, that are more than folds and light: set by hand on
white and black tops over the other."""
PAINT = 512
"""Rows at most of what has no detail of its own: colours under the garment and beyond its edge."""
STEEP = 8.0
"""Slope by which a soft edge of what is uncovered becomes one of what is filled in: it shows in full from an eighth on."""
NOTICED = 0.05
"""Share of the largest pixel below which a filling is not worth its making."""


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

    def compose(self, photo: np.ndarray, full: FullWarp, rows: slice, columns: slice) -> np.ndarray:
        """Some rows and columns of the picture at the size of `full`: (n, m, 3) uint8. `photo`: the same of the photo."""
        planes = (self.beneath, self.garment, self.shading, self.shown, self.changed)
        beneath, garment, shading, shown, changed = (
            part_of(plane, full.size, rows, columns) for plane in planes
        )
        rgb, alpha = full.part(rows, columns)
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


def make_layers(
    window: np.ndarray, probabilities: Tensor, people: People, full: FullWarp, composition: Composition,
    masks: UserMasks, own: np.ndarray | None = None,
) -> Layers:  # fmt: skip
    """The layers at the size of `window` (h, w, 3) uint8, which is that of `full`. `own`: as of `composer.compose`."""
    maps = find_maps(window, probabilities, people, full, composition, own)
    protect, redraw = (
        None if mask is None else enlarge(mask.astype(np.float32), maps.size)
        for mask in (masks.protect, masks.redraw)
    )
    if redraw is not None:
        # The parse has it already, at 256×192 and with the photo's edges; the user's own edges count.
        maps.old, maps.scene = np.maximum(maps.old, redraw), np.minimum(maps.scene, 1.0 - redraw)

    def places() -> tuple[np.ndarray, ...]:
        covered = _covered(maps)
        return covered, _uncovered(maps, covered), *_region(maps, covered, composition, protect, redraw)

    (covered, uncovered, region, soft), rendered = both(places, lambda: _rendered(people, maps, composition))
    clothes = maps.after[list(CLOTHES)].sum(0)
    paint = at_most(PAINT, maps.size)
    beneath, (garment, shading) = both(
        lambda: _beneath(window, people, maps, rendered, uncovered * soft, covered, paint),
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


def _covered(maps: Maps) -> np.ndarray:
    """Where the new garment is, (h, w) in [0, 1]."""
    hides = np.maximum((maps.old > 0.5).astype(np.float32), maps.arms)
    covered = garment_cover(maps.new, maps.alpha, hides, maps.scene, maps.front, maps.scale)
    # Where the old garment ends beside the new one, the new one is stretched over its edge, but not into the scene, nor
    # over an arm that it bares.
    beside = dilated((covered > 0.5).astype(np.float32), REACH * maps.scale)
    bare = maps.expects(L.ARM_LABELS, maps.size)
    free = np.maximum(maps.expects((L.BACKGROUND,), maps.size), bare)
    stretched = np.minimum(maps.old, maps.near) * beside * (1.0 - free)
    # A sleeve is no narrower than the arm in it.
    inside = maps.arms * beside * (1.0 - dilated(bare, REACH * maps.scale)) * (1.0 - maps.front)
    covered = np.maximum(covered, np.maximum(stretched, inside))
    covered *= (1.0 - maps.opening) * (1.0 - maps.things)
    return covered


def _uncovered(maps: Maps, covered: np.ndarray) -> np.ndarray:
    """Where the old garment was and no new one is, its fringe included: (h, w) in [0, 1]."""
    free = 1.0 - covered
    # Skin in its own colours is no fringe.
    old, clean = maps.old * free, crisp(maps.clean.astype(np.float32), maps.size)
    fringe = np.maximum(old, dilated(old, FRINGE * maps.scale) * free * (1.0 - clean))
    return fringe * (1.0 - crisp(maps.spared, maps.size)) * (1.0 - maps.things)


def _region(
    maps: Maps, covered: np.ndarray, composition: Composition, protect: np.ndarray | None,
    redraw: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Where the picture may differ from the photo: (h, w) bool, and with a soft edge inside of it, in [0, 1]. What the
    user says is redrawn belongs to it, what is protected does not: (h, w) in [0, 1] each, as where the new garment has
    `covered` the person."""
    region = enlarge(plane(composition.region), maps.size) > 0.5
    # Maps are a pixel or two off: along hair and hands the photo tells what is still the old garment.
    region |= (dilated(region.astype(np.float32), FRINGE * maps.scale) > 0.5) & (maps.old > 0.5)
    # Where a sleeve gives way to a bare arm, its shadow on the hand goes with it, or stays as a bracelet.
    bared = (maps.old > 0.5) & region & (covered < 0.5) & (maps.expects(L.ARM_LABELS, maps.size) > 0.5)
    below = dilated(bared.astype(np.float32), FRINGE * maps.scale) > 0.5
    region |= below & (enlarge(maps.shaded, maps.size) > 0.25)
    region |= dilated(enlarge(maps.missed, maps.size), FRINGE * maps.scale) > 0.5
    if redraw is not None:
        region |= redraw > 0.5
    soft = np.maximum(soft_edge(region, FEATHER * maps.scale), maps.old * region)
    if protect is not None:
        soft = np.minimum(soft, soft_edge(protect < 0.5, FEATHER * maps.scale))
    return region, soft


def _worn(maps: Maps) -> np.ndarray:
    """Where the photo shows the old garment, (256, 192) bool."""
    out: np.ndarray = (maps.before[list(CLOTHES)].sum(0) > 0.3) | maps.missed
    return out


def _rendered(people: People, maps: Maps, composition: Composition) -> np.ndarray:
    """I_rp with its skin in the person's tone, (256, 192, 3) in grey levels."""
    rendered = colours(composition.rendered_person)
    return match_skin(rendered, people, maps.before, maps.after, maps.neck, _worn(maps))


def _beneath(
    window: np.ndarray, people: People, maps: Maps, rendered: np.ndarray, uncovered: np.ndarray,
    covered: np.ndarray, size: tuple[int, int],
) -> np.ndarray:  # fmt: skip
    """Colours under the garment, (h, w, 3) of `size` in grey levels: what is `rendered` (256, 192, 3), and where the old
    garment is `uncovered` the scene behind, the lower body carried on, or skin."""
    if size != maps.size:
        window, uncovered = (
            cv2.resize(window, size[::-1], interpolation=cv2.INTER_AREA),
            enlarge(uncovered, size),
        )
    worn = _worn(maps)
    out = np.clip(enlarge(rendered, size, cv2.INTER_CUBIC), 0, 255)
    if uncovered.max() <= NOTICED:
        return out
    arms = maps.after[list(L.ARM_LABELS)].sum(0) > 0.5
    hands = people.hands
    wrists = cv2.dilate(hands.astype(np.uint8), disc(WRIST)) > 0
    bare = arms | (maps.neck & (maps.after[L.BACKGROUND] > 0.5))
    seen = own_skin(maps.before, maps.neck, worn)
    tone = skin_tone(people, seen)
    sleeve = arms & worn & unlike_skin(rendered, tone) if tone is not None else np.zeros_like(arms)
    drawn = worn & ~maps.missed & ~wrists & bare & ~sleeve & ~maps.midriff
    # An open neckline has no skin where the old collar stood off it.
    scene_seen = ((maps.before[L.BACKGROUND] > 0.5) & ~maps.neck).astype(np.uint8)
    rim = (cv2.dilate(scene_seen, disc(RIM)) > 0) & (cv2.dilate(maps.neck.astype(np.uint8), disc(1)) == 0)
    # I_rp takes a cuff's fringe on the hand for a bracelet, and draws it; and pieces of the old sleeve.
    by_tone = ((maps.missed | wrists) & worn & arms) | sleeve | (maps.midriff & worn)
    new = enlarge(covered, worn.shape) > 0.5
    hair, joints = maps.before[L.HAIR] > 0.5, people.keypoints[0].cpu().numpy()
    above = crisp(above_shoulders(worn, new, hair, joints).astype(np.float32), size)
    parts = (
        (
            np.maximum(maps.expects((L.BACKGROUND,), size), above),
            lambda: scene_behind(window, people, maps.missed | maps.neck, size),
        ),
        (maps.expects(L.LOWER_LABELS, size), lambda: lower_body(window, people, maps.stays, maps.missed)),
        (
            np.maximum(enlarge(maps.opening, size) * (1.0 - crisp(drawn | rim, size)), crisp(by_tone, size))
            * (1.0 - above),
            lambda: skin(people, rendered, seen, drawn, maps.midriff, size),
        ),
    )
    # Where a filling shows at all; how much of it shows is for `changed` to say.
    shows = np.minimum(STEEP * uncovered, 1.0)
    places = [shows * share for share, _ in parts]

    def filling(number: int) -> np.ndarray | None:
        return parts[number][1]() if places[number].max() > NOTICED else None

    scene, others = both(lambda: filling(0), lambda: [filling(1), filling(2)])
    for where, colour in zip(places, [scene, *others], strict=True):
        if colour is not None:
            out += where[..., None] * (colour - out)
    hidden = crisp((bare & worn).astype(np.float32), size) * (1.0 - places[0]) * (1.0 - places[1])
    if hidden.max() > NOTICED:
        out += (hidden * skin_grain(window, seen))[..., None]
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
