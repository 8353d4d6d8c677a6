"""What a photo shows and what M_exp expects, as planes with the photo's own edges: what `layers` decides by."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import likeliest
from vtcli.core.models.composition import CLOTHES
from vtcli.core.models.warping import Warp
from vtcli.core.system.workers import both, side_by_side
from vtcli.core.tryon.composing.bared_arms import with_own_arms, without_second_hands
from vtcli.core.tryon.composing.full_warp import (
    REACH,
    FullWarp,
    collar_opening,
)
from vtcli.core.tryon.composing.garment_edge import (
    between_shoulders,
    crisp,
    neckline,
    whole,
)
from vtcli.core.tryon.composing.neck import neck_of
from vtcli.core.tryon.composing.old_garment import (
    DRESSES,
    beside_skirt,
    cuffs,
    is_dress,
    missed,
    shaded,
    skirt,
    with_whole_skirt,
)
from vtcli.core.tryon.composing.planes import GuidedFilter, dilated, enlarge, plane, steepened
from vtcli.core.tryon.composing.sleeve_hems import with_own_hems
from vtcli.core.tryon.composing.waist import with_midriff
from vtcli.core.tryon.networks import Composition, People

FRINGE = 2.0
"""How far beyond its edge the old garment still colours the photo, in pixels at 256×192."""
SURELY_NEW = 0.65
"""M_exp's probability of clothes from which what M_cm lets go of is no inside of a collar."""
COLLAR_TELLS = 0.5
"""Share of the neckline's hollow that is the inside of a collar, from which the collar's own edge is the neckline; set by hand
on 36 photos."""
COLLAR = 4.0
"""Width of a collar's rim, in pixels at 256×192: beside the inside of a known collar it is there whatever M_exp says."""
GROUPS = ((L.BACKGROUND,), CLOTHES, L.LOWER_LABELS, L.ARM_LABELS, (*L.HEAD_LABELS, L.GLOVE))
"""Labels that go together when it is asked what is expected at a place."""


@dataclass
class Told:
    """What the photo's parse and M_exp tell, put right, at 256×192."""

    before: np.ndarray
    """The photo's parse, probabilities (20, 256, 192)."""
    after: np.ndarray
    """M_exp, probabilities (20, 256, 192)."""
    neck: np.ndarray
    """What labels call background and is neck, before or after: (256, 192) bool."""
    midriff: np.ndarray
    """What of it is bare below the new garment: (256, 192) bool."""
    clean: np.ndarray
    """What of it the photo shows in the colours of the person's skin: (256, 192) bool."""
    missed: np.ndarray
    """What has the old garment's colour and another label: (256, 192) bool."""
    shaded: np.ndarray
    """Hands where they have not the colour of skin: (256, 192) bool."""
    stays: np.ndarray
    """What stays of a dress, as the skirt below the new top: (256, 192) bool."""
    spared: np.ndarray
    """Where nothing of the old garment goes: what stays of a dress with its edge, and beside it. (256, 192) in [0, 1]."""
    worn: np.ndarray
    """Where the old garment is, by its label: (256, 192) in [0, 1]."""
    wanted: np.ndarray
    """Where the new one is expected: (256, 192) in [0, 1]."""
    carried: np.ndarray
    """Where something lies in front of garments: (256, 192) in [0, 1]."""
    hollow: np.ndarray
    """The hollow of the new garment's neckline, (256, 192) float32 of 0 and 1."""


@dataclass
class Maps(Told):
    """The same, and at the window's size with the photo's own edges: (h, w) float32 in [0, 1] unless it says otherwise."""

    size: tuple[int, int]
    scale: float
    """Pixels of the window for one at 256×192."""
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
    things: np.ndarray
    """Where it shows what is carried, in front of garments as well."""
    new: np.ndarray
    """Where M_exp expects clothes."""
    known: dict[tuple[tuple[int, ...], tuple[int, int]], np.ndarray] = field(default_factory=dict)
    """What `expects` has found so far."""

    def expects(self, labels: tuple[int, ...], size: tuple[int, int]) -> np.ndarray:
        """Where M_exp expects one of `labels`, and nothing else more; of background what is no neck. (h, w) of `size`, not to be
        changed."""
        if (labels, size) not in self.known:
            self.known[labels, size] = self._expected(labels, size)
        return self.known[labels, size]

    def _expected(self, labels: tuple[int, ...], size: tuple[int, int]) -> np.ndarray:
        after = self.after.copy()
        after[L.BACKGROUND] *= ~self.neck
        share = after[list(labels)].sum(0)
        others = [group for group in GROUPS if not set(group) & set(labels)]
        rivals = np.max([after[list(group)].sum(0) for group in others], axis=0)
        return crisp(share / np.maximum(share + rivals, 1e-6), size)


def find_maps(
    window: np.ndarray, probabilities: Tensor, people: People, full: FullWarp, composition: Composition,
    own: np.ndarray | None = None,
) -> Maps:  # fmt: skip
    """`own`: as of `composer.compose`."""
    size = full.size
    scale = size[0] / composition.region.shape[2]

    def seen() -> tuple[np.ndarray, np.ndarray, np.ndarray, GuidedFilter]:
        rgb, alpha = full.whole()
        grey = cv2.cvtColor(window, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
        return rgb, alpha, collar_opening(full), GuidedFilter(grey, scale)

    told, (rgb, alpha, opening, by_photo) = both(
        lambda: _told(probabilities, people, full.warp, composition, own), seen
    )

    def edges() -> list[np.ndarray]:
        scene = (told.before[L.BACKGROUND] - told.carried).clip(0) * (~(told.neck | told.missed))
        arms, head = (told.before[list(labels)].sum(0) for labels in (L.ARM_LABELS, L.HEAD_LABELS))
        shares = [
            np.maximum(told.worn, told.missed),
            scene,
            arms,
            head,
            *([] if own is None else [told.carried]),
        ]
        return side_by_side(lambda share: steepened(by_photo(share), scale), shares)

    def warped() -> tuple[np.ndarray, ...]:
        collar, open_ = np.zeros_like(opening), opening
        if _tells(opening, told.hollow):
            collar = dilated(opening, COLLAR * scale) * alpha
        else:
            open_ = np.maximum(opening, crisp(told.hollow, size))
        return dilated(alpha, REACH * scale), open_, collar

    (old, scene, arms, front, *more), (near, opening, collar) = both(edges, warped)
    things = np.maximum(more[0], crisp(told.carried, size)) if more else np.zeros_like(front)
    # The photo's edges may bring the old garment further than its parse, never cut it short: where a print meets the scene
    # they are its stripes, not its outline.
    old = np.maximum(old, crisp(np.maximum(told.worn, told.missed), size)) * (1.0 - crisp(told.spared, size))
    new = np.maximum(crisp(told.wanted, size), collar * (1.0 - front))
    return Maps(
        **vars(told), size=size, scale=scale, colours=rgb, alpha=alpha, near=near, opening=opening, old=old, scene=scene,
        arms=arms, front=front, things=things, new=new,
    )  # fmt: skip


def _told(
    probabilities: Tensor, people: People, warp: Warp, composition: Composition, own: np.ndarray | None
) -> Told:
    expected = composition.expected_parse if composition.expected_parse is not None else probabilities
    mask, before = plane(warp.mask), probabilities[0].cpu().numpy()
    after = with_own_hems(expected[0].cpu().numpy(), before, mask, people.keypoints)
    after = with_own_arms(after, before, people.keypoints)
    after = without_second_hands(after, before, mask, people.keypoints)
    before = with_whole_skirt(before, after)
    dress, bare = is_dress(people, before), np.zeros(before.shape[1:], bool)
    if not dress:
        after, bare = with_midriff(after, before, people.keypoints)
    torso_skin, carried = np.zeros((2, *before.shape[1:]), np.float32) if own is None else own
    neck, clean = neck_of(people, before, after, likeliest(expected), torso_skin)
    neck |= bare
    dark = shaded(people, before)
    hidden = (missed(people, before, neck) | cuffs(people, before, after, dark)) & (carried < 0.5)
    worn, new, stays = _garments(people, before, after, mask, dress)
    beside = beside_skirt(stays, before, after)
    stays |= hidden & beside
    hidden &= ~beside
    spared = np.maximum(with_edge(stays), beside)
    held = np.where(new > SURELY_NEW, 1.0, plane(composition.composition_mask))
    hollow = neckline(mask, held, people.keypoints[0].cpu().numpy()).astype(np.float32)
    return Told(
        before=before, after=after, neck=neck, midriff=bare, clean=clean, missed=hidden, shaded=dark, stays=stays,
        spared=spared, worn=worn, wanted=new, carried=carried, hollow=hollow,
    )  # fmt: skip


def _tells(opening: np.ndarray, hollow: np.ndarray) -> bool:
    """Whether the shop photo's own collar accounts for the `hollow` (256, 192) in which the garment is let go of: its edge is
    the better one."""
    inside = hollow > 0.5
    there = enlarge(opening, (hollow.shape[0], hollow.shape[1]))[inside]
    return bool(len(there)) and float((there > 0.5).mean()) > COLLAR_TELLS


def _garments(
    people: People, before: np.ndarray, after: np.ndarray, warped: np.ndarray, dress: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where clothes are worn, where M_exp expects the new garment, and what stays of a `dress`, all (256, 192)."""
    worn, new = before[list(CLOTHES)].sum(0), whole(after[list(CLOTHES)].sum(0))
    # M_exp takes the worn garment's neckline for the new one's now and then; the warp has the garment's own.
    zone = between_shoulders(people.keypoints[0].cpu().numpy(), worn.shape)
    new = np.where(zone & (after.argmax(0) == L.BACKGROUND), np.maximum(new, warped), new)
    if not dress:
        return worn, new, np.zeros(worn.shape, bool)
    # What M_exp calls a dress and the warped garment does not reach is the old one.
    new = new - after[list(DRESSES)].sum(0) * (1.0 - warped)
    reached = np.minimum(dilated((new > 0.5).astype(np.float32), REACH), warped)
    stays = skirt(people, before, after, reached)
    below = cv2.erode(stays.astype(np.uint8), np.ones((5, 5), np.uint8))
    return worn, new * (1 - below), stays


def with_edge(stays: np.ndarray) -> np.ndarray:
    """What stays of a dress (256, 192) bool with its own edge in the photo."""
    return dilated(stays.astype(np.float32), FRINGE)
