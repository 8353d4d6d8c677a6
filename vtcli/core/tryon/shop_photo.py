"""A shop photo → the garment cut out and placed, and refused where it shows no top."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from vtcli.core.data import labels as L
from vtcli.core.data.images import alpha_mask
from vtcli.core.garments.bust import without_bust
from vtcli.core.garments.given_mask import box_of, is_card, is_inverted, judge_mask
from vtcli.core.garments.pieces import Piece, find_garment
from vtcli.core.garments.placement import Garment, as_placed, place, without_hook
from vtcli.core.tryon.annotate import SURE, Annotator
from vtcli.core.tryon.problems import UnfitPhoto
from vtcli.core.tryon.window import HEIGHT, WIDTH, whole
from vtcli.core.tryon.worn import worn_top

FEW_ROWS = 100
"""Photo pixels down below which a garment is told to look blurred: the networks see it at 240."""
SURE_TURN = 0.99
"""Probability from which a garment counts as turned; none of 536 upright ones does."""
LEAST_CUT, MOST_CUT = 0.005, 0.97
"""Shares of the picture between which what was cut out may be a garment."""
CUT_OFF, EDGE = 0.35, 0.008
"""Share of a garment's height or width along which it meets an edge of its picture, from which it is told to be cut off there;
of 535 shop photos of garments alone none has more than 0.05. How wide the edge is, in sides of the picture."""
LEAST_GARMENT = 0.55
"""Overlap (IoU) of what the parser calls a top with what was cut out: 249 of 250 photos of tops, by shops and amateurs, have 0.63 or
more, a cup of coffee has 0.48."""
TURNED = {1: "lies on its side", 2: "is upside down", 3: "lies on its side"}
"""What is said of a garment by its quarter turns."""
SEEN_THROUGH = 0.1
"""Share of a cut-out garment from which it counts as see-through."""
PRINT_MARGIN = 0.04
"""How far a garment goes on above and beside a printed head, in heights of the garment."""
PRINTED = (*L.HEAD_LABELS, *L.ARM_LABELS, L.SCARF)
"""Labels that the parser gives to a printed portrait."""
PERSON_FACE, PERSON_ARMS, PERSON_HAIR = 0.01, 0.01, 0.02
"""Shares of the picture: one that shows more of a face, and more of arms or hair, shows a person. Of 286 shop photos of tops
none shows a face of 0.01."""
PERSON_JOINTS = 10
"""Of 18: with so many, less of a face and arms is enough."""


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
    by_hand = mask is not None
    if mask is None:
        piece = _within(found_garment(annotator, rgb[box]), box, rgb)
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
    share = float(mask.mean())
    if not force and not LEAST_CUT <= share <= MOST_CUT:
        raise UnfitPhoto(
            f"no garment stands out from the background ({share:.1%} of the picture was cut out); give a "
            "photo on a plain background, or a mask of the garment", "cloth", ("cloth_mask", "force"),
        )  # fmt: skip
    if given and rgb.shape[:2] == (HEIGHT, WIDTH):
        # A data set's, which places its garments itself.
        return replace(as_placed(rgb, mask), notes=tuple(notes))
    garment = place(rgb, mask)
    quarters, sure = annotator.quarter_turns(_small(annotator, garment))
    if quarters and sure > SURE_TURN and not force:
        rgb, mask = (np.ascontiguousarray(np.rot90(x, -quarters)) for x in (rgb, mask))
        mask = mask if by_hand else found_garment(annotator, rgb).mask
        garment = place(rgb, mask)
        notes.append(
            f"the garment's picture {TURNED[quarters]}: it was turned upright (--force leaves it as it is)"
        )
    if (rows := int(mask.any(1).sum())) < FEW_ROWS:
        notes.append(f"the garment is only {rows} pixels high in its picture, and will look blurred")
    if not by_hand and (edges := _cut_off(mask)):
        notes.append(
            f"the garment goes on beyond the {' and '.join(edges)} edge of its picture; what is not in it is missing"
        )
    garment = replace(garment, notes=tuple(notes))
    return garment if force else _fit(annotator, rgb, garment, mask, given, by_hand)


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


def found_garment(annotator: Annotator, rgb: np.ndarray) -> Piece:
    """The garment on `rgb` (H, W, 3) uint8, without what holds it up."""
    piece = find_garment(rgb, annotator.likely if annotator.outline is not None else None)
    return replace(piece, mask=without_bust(rgb, without_hook(piece.mask)))


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


def _fit(
    annotator: Annotator, rgb: np.ndarray, garment: Garment, cut: np.ndarray, given: bool, by_hand: bool
) -> Garment:
    """The `garment`, or the top that a person wears in its picture; UnfitPhoto for a dress or trousers, and where there is no
    garment at all: the parser, which knows clothes on people, also knows them alone (the cut-out on white). What was cut
    out `by_hand` somebody took for a garment already, and what was `given` apart is not in the picture's colours."""
    window = whole(rgb)
    both = torch.cat([annotator.tensor(window.photo(rgb)), _small(annotator, garment)])
    if given:
        _refuse_no_top(annotator, both[1:])
        return garment
    seen = annotator.of_garments(both)
    photo, alone = seen.parse
    person = shows_person(photo, seen.keypoints[0])
    printed = person and is_print(photo.cpu().numpy(), window.labels(cut.astype(np.uint8)) > 0)
    if person and not printed:
        found = worn_top(annotator, rgb, window, photo.cpu().numpy())
        if isinstance(found, str):
            _refuse_no_top(annotator, both, seen.kinds)  # what lies there may be trousers, and nobody's
            raise UnfitPhoto(
                f"the garment's picture shows a person, and {found}; give a photo of the garment alone, of a top that is "
                "worn and seen from the front, or a mask of it", "cloth", ("cloth_mask", "force"),
            )  # fmt: skip
        note = "the garment's picture shows a person: the top that they wear was cut out of it"
        garment = replace(place(rgb, found), notes=(note,))
        _refuse_no_top(annotator, _small(annotator, garment))
        return garment
    told = slice(1 if by_hand else 0, None)
    _refuse_no_top(annotator, both[told], None if seen.kinds is None else seen.kinds[told])
    if by_hand:
        return garment
    # What is printed on a top is top, whatever the parser calls it.
    on_top = (*L.TOP_LABELS, *PRINTED) if printed else L.TOP_LABELS
    top = torch.isin(alone, torch.tensor(on_top, device=alone.device))
    solid = garment.at((HEIGHT, WIDTH))[1][0, 0].to(annotator.device) > 0.5
    agreement = float((top & solid).sum() / (top | solid).sum().clamp_min(1))
    if agreement < LEAST_GARMENT:
        raise UnfitPhoto(
            f"the garment's picture shows no top that is known (what was cut out agrees by {agreement:.0%} with "
            f"what looks like a top, at least {LEAST_GARMENT:.0%} is needed); give a photo of the garment alone, or "
            "a mask of it", "cloth", ("cloth_mask", "force"),
        )  # fmt: skip
    return garment


def _small(annotator: Annotator, garment: Garment) -> torch.Tensor:
    """The garment on white as the networks see it, (1, 3, 256, 192)."""
    return garment.at((HEIGHT, WIDTH))[0].to(annotator.device)


def _refuse_no_top(annotator: Annotator, pictures: torch.Tensor, seen: torch.Tensor | None = None) -> None:
    """UnfitPhoto that names the kind of the garment on `pictures` (B, 3, 256, 192), if it is no top; `seen` as for
    `Annotator.kind`."""
    kind = annotator.kind(pictures, seen)
    if kind is not None and kind.is_no_top:
        raise UnfitPhoto(
            f"the garment's picture shows {kind.words} ({kind.certainty:.0%}), and vtcli puts on tops; give a photo of a "
            "top", "cloth",
        )  # fmt: skip


def shows_person(labels: torch.Tensor, joints: torch.Tensor) -> bool:
    """Whether what the parser sees in a picture, `labels` (256, 192) and `joints` (18, 3), is a person: a face, and arms or
    hair; or, where the face is small, arms and most of the joints, with both shoulders."""
    face, hair = (float((labels == label).float().mean()) for label in (L.FACE, L.HAIR))
    arms = float(torch.isin(labels, torch.tensor(L.ARM_LABELS, device=labels.device)).float().mean())
    sure = joints[:, 2] > SURE
    body = bool(sure[[L.R_SHOULDER, L.L_SHOULDER]].all()) and int(sure.sum()) >= PERSON_JOINTS
    near = face > PERSON_FACE and (arms > PERSON_ARMS or hair > PERSON_HAIR)
    return near or (body and face > PERSON_FACE / 20 and arms > PERSON_ARMS / 2)


def is_print(labels: np.ndarray, cut: np.ndarray) -> bool:
    """Whether the head that the parser sees in a garment's picture, `labels` (H, W), is printed on the garment `cut` (H, W)
    bool: the cut-out goes on above it and to both sides. A person's own head is the upper end of the cut-out."""
    head = np.isin(labels, L.HEAD_LABELS) & cut
    rows, columns = np.nonzero(cut.any(1))[0], np.nonzero((labels == L.FACE).any(0))[0]
    if not head.any() or not len(rows) or not len(columns):
        return False
    left, right = columns[0], columns[-1] + 1
    above = int(np.nonzero(head[:, left:right].any(1))[0][0]) if head[:, left:right].any() else 0
    margin = round(PRINT_MARGIN * len(rows))
    band = cut[max(0, above - margin) : above, left:right]
    if not margin or above < margin or band.mean() < 0.6:
        return False
    beside = [cut[:, max(0, left - margin) : left], cut[:, right : right + margin]]
    seen = (labels == L.FACE).any(1)
    return all(side.size and side[seen].mean() > 0.8 for side in beside)
