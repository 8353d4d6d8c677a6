"""A shop photo → the garment cut out and placed, and refused where it shows no top."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from vtcli.core.data.images import alpha_mask
from vtcli.core.garments.bust import without_bust
from vtcli.core.garments.given_mask import box_of, is_card, is_inverted, judge_mask
from vtcli.core.garments.pieces import Piece, find_garment
from vtcli.core.garments.placement import LEAST_SIDE, Garment, as_placed, place, without_hook
from vtcli.core.tryon.photos.annotate import Annotator
from vtcli.core.tryon.photos.judged_garment import FEW_ROWS, CutOut, is_print, judged, no_garment, small
from vtcli.core.tryon.photos.problems import UnfitPhoto
from vtcli.core.tryon.photos.window import HEIGHT, WIDTH, whole

SURE_TURN, LIKELY_TURN = 0.99, 0.7
"""Probability from which a garment counts as turned; none of 536 upright ones does. And from which it is told that it may be."""
LEAST_CUT, MOST_CUT = 0.005, 0.97
"""Shares of the picture between which what was cut out may be a garment."""
CUT_OFF, EDGE = 0.35, 0.008
"""Share of a garment's height or width along which it meets an edge of its picture, from which it is told to be cut off there;
of 535 shop photos of garments alone none has more than 0.05. How wide the edge is, in sides of the picture."""
TURNED = {1: "lies on its side", 2: "is upside down", 3: "lies on its side"}
"""What is said of a garment by its quarter turns."""
SEEN_THROUGH = 0.1
"""Share of a cut-out garment from which it counts as see-through."""


def cut_out(
    annotator: Annotator, cloth: Image.Image, rgb: np.ndarray, mask: np.ndarray | None, force: bool
) -> Garment:
    """The garment of the shop photo `cloth`, whose colours on white are `rgb` (H, W, 3) uint8: cut out by `mask` (h, w)
    bool, by its own alpha channel, or by its plain background. UnfitPhoto where it shows no top (not with `force`;
    what somebody cut out is taken for a garment)."""
    given, notes = mask is not None, []
    if mask is None and has_alpha(cloth):
        mask = alpha_mask(cloth.convert("RGBA"))
        if mask is not None and _see_through(cloth, mask):
            notes.append("parts of the garment are see-through; they are worn as they look on white paper")
    box: tuple[slice, ...] = ()  # where to look for the garment
    if not given and mask is not None:
        alpha = mask
        mask, box = _outlined(alpha, force)
        if mask is None and not found_garment(annotator, rgb[box]).mask.any():
            mask = alpha  # nothing lies on the card: it is a garment of that outline
    by_hand, doubtful = mask is not None, False
    if mask is None:
        piece = _within(found_garment(annotator, rgb[box]), box, rgb)
        if doubtful := not piece.mask.any():
            piece = _within(found_garment(annotator, rgb[box], sure=False), box, rgb)
        if force and not piece.mask.any():
            piece = find_garment(rgb, None)  # what stands out by its colours, whatever it is
        mask = piece.mask
        if piece.others:
            notes.append(
                f"the garment's picture shows {piece.others + 1} things apart; the largest is worn (crop the picture, or "
                "give --cloth-mask, for another)"
            )
    if mask.shape != rgb.shape[:2]:
        resized = Image.fromarray(mask).resize((rgb.shape[1], rgb.shape[0]), Image.Resampling.NEAREST)
        mask = np.asarray(resized)
    if given and not force:
        problem, doubt = judge_mask(rgb, mask)
        if problem is not None:
            raise UnfitPhoto(problem, "mask", given="cloth_mask")
        if doubt is not None:
            notes.append(doubt)
            doubtful = True
    share = float(mask.mean())
    sides = min(int(mask.any(axis).sum()) for axis in (0, 1))
    if not force and not (LEAST_CUT <= share <= MOST_CUT and sides >= LEAST_SIDE):
        raise no_garment(share)
    if given and rgb.shape[:2] == (HEIGHT, WIDTH):
        # A data set's, which places its garments itself.
        return replace(as_placed(rgb, mask), notes=tuple(notes))
    garment = place(rgb, mask)
    lying = annotator.lying(small(annotator, garment))
    if lying.quarters and lying.sure > SURE_TURN and not force:
        rgb, mask = (np.ascontiguousarray(np.rot90(x, -lying.quarters)) for x in (rgb, mask))
        mask = mask if by_hand or doubtful else found_garment(annotator, rgb).mask
        garment = place(rgb, mask)
        notes.append(
            f"the garment's picture {TURNED[lying.quarters]}: it was turned upright (--force leaves it as it is)"
        )
    elif lying.quarters and lying.sure > LIKELY_TURN and not force:
        notes.append(
            "the garment may lie on its side or upside down in its picture; turn the picture upright if so"
        )
    if (rows := int(mask.any(1).sum())) < FEW_ROWS:
        notes.append(f"the garment is only {rows} pixels high in its picture, and will look blurred")
    if not by_hand and (edges := _cut_off(mask)):
        notes.append(
            f"the garment goes on beyond the {' and '.join(edges)} edge of its picture; what is not in it is missing"
        )
    garment = replace(garment, notes=tuple(notes))
    return (
        garment
        if force
        else judged(annotator, rgb, garment, CutOut(mask, given, by_hand, doubtful, lying.several))
    )


def _outlined(alpha: np.ndarray, force: bool) -> tuple[np.ndarray | None, tuple[slice, ...]]:
    """The garment that an alpha channel outlines, `alpha` (H, W) bool, and the box in which to look for it where it outlines
    none: a window with round corners, a sticker's card. UnfitPhoto where it outlines the background (not with `force`)."""
    if is_card(alpha):
        return None, box_of(alpha)
    if not force and is_inverted(alpha):
        raise UnfitPhoto(
            "the garment's picture is transparent in the middle and opaque around it: its alpha channel is inverted",
            "cloth",
            ("cloth_mask", "force"),
        )
    return alpha, ()


def _within(piece: Piece, box: tuple[slice, ...], rgb: np.ndarray) -> Piece:
    """What was found in a `box` of `rgb` (H, W, 3), in the whole picture."""
    mask = np.zeros(rgb.shape[:2], bool)
    mask[box] = piece.mask
    return replace(piece, mask=mask)


def found_garment(annotator: Annotator, rgb: np.ndarray, sure: bool = True) -> Piece:
    """The garment on `rgb` (H, W, 3) uint8, without what holds it up; not `sure`: what is likelier than not, though the picture's
    colours say otherwise."""
    likely = annotator.likely if annotator.outline is not None else None
    piece = find_garment(rgb, likely if sure or likely is None else lambda part: np.round(likely(part)))
    return replace(piece, mask=without_bust(rgb, without_hook(piece.mask)))


def refuse_print(annotator: Annotator, photo: np.ndarray) -> None:
    """UnfitPhoto where the person in a `photo` (H, W, 3) uint8 is printed on a garment."""
    window = whole(photo)
    cut = window.labels(found_garment(annotator, photo).mask.astype(np.uint8)) > 0
    if is_print(annotator.look(window.photo(photo)).parse[0].cpu().numpy(), cut):
        raise UnfitPhoto(
            "it shows a garment with somebody printed on it, and the garment's picture shows a person: are the two exchanged?"
        )


def _cut_off(mask: np.ndarray) -> list[str]:
    """The edges of the picture at which it cuts the garment `mask` (H, W) bool off."""
    rows, columns = mask.any(1).sum(), mask.any(0).sum()
    down, across = (max(2, round(EDGE * side)) for side in mask.shape)
    found = {
        "left": mask[:, :across].any(1).sum() / rows,
        "right": mask[:, -across:].any(1).sum() / rows,
        "upper": mask[:down].any(0).sum() / columns,
        "lower": mask[-down:].any(0).sum() / columns,
    }
    return [edge for edge, share in found.items() if share > CUT_OFF]


def _see_through(cloth: Image.Image, mask: np.ndarray) -> bool:
    """Whether a good part of a cut-out garment lets the background through."""
    alpha = np.asarray(cloth.convert("RGBA").getchannel("A"))
    return bool((alpha[mask] < 215).mean() > SEEN_THROUGH)


def has_alpha(image: Image.Image) -> bool:
    """Whether the picture says itself where it is transparent."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
