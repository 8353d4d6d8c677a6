"""What a garment's picture shows: a top or another kind of garment, several, a person in a top, or none at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from vtcli.core.data import labels as L
from vtcli.core.garments.placement import Garment, place
from vtcli.core.models.composition import CLOTHES
from vtcli.core.models.kind import Kind
from vtcli.core.tryon.photos.annotate import SURE, Annotator
from vtcli.core.tryon.photos.problems import UnfitPhoto
from vtcli.core.tryon.photos.window import HEIGHT, WIDTH, whole
from vtcli.core.tryon.photos.worn import worn_top

SEVERAL = 0.9995
"""Probability from which garments that lie over each other are refused: three of VITON's 500 validation garments have more, two of
them packs of two, and one of 194 held-out photos of single tops (which is refused as a person's)."""
LEAST_GARMENT = 0.55
"""Overlap (IoU) of what the parser calls a top with what was cut out: of 250 photos of tops by amateurs 243 have more, a cup of coffee
has 0.48."""
SURE_TOP, LIKELY_TOP, SURE_KIND, LEAST_CLOTHES = 0.85, 0.8, 0.75, 0.25
"""What makes up for a parser that takes a denim shirt on a bed for trousers: the probability of a top or outerwear, or a lower one
and that of the likeliest kind; and the overlap of the cut-out with clothes of any kind. Of 109 held-out photos of tops seven have less
than `LEAST_GARMENT`, and four of them have these; a cup of coffee, a logo and bare floors have not."""
FEW_ROWS = 100
"""Height of a garment in its picture, in pixels, below which it is told to look blurred: the networks see it at 240."""
WORN = (*CLOTHES, L.PANTS, L.SKIRT)
"""Labels of clothes of any kind."""
PRINT_MARGIN = 0.04
"""How far a garment goes on above and beside a printed head, in heights of the garment."""
PRINTED = (*L.HEAD_LABELS, *L.ARM_LABELS, L.SCARF)
"""Labels that the parser gives to a printed portrait."""
PERSON_FACE, PERSON_ARMS, PERSON_HAIR = 0.01, 0.01, 0.02
"""Shares of the picture: one that shows more of a face, and more of arms or hair, shows a person. Of 286 shop photos of tops
none shows a face of 0.01."""
LIKE_TOP_ALONE = 0.75
"""Agreement of the cut-out with what the parser calls a top from which a hood or a print is no person, where hardly an arm is seen and
the kinds' network is sure of a top. Of 140 photos of people none has all of it."""
PERSON_JOINTS = 10
"""Of 18: with so many, less of a face and arms is enough."""


@dataclass(frozen=True)
class CutOut:
    """`mask` (H, W) bool of a garment in its picture. Cut out `by_hand`: somebody took it for a garment already; what was `given`
    apart is not in the picture's colours. A `doubtful` one disagrees with them. `several`: how probable that is."""

    mask: np.ndarray
    given: bool
    by_hand: bool
    doubtful: bool
    several: float


def judged(annotator: Annotator, rgb: np.ndarray, garment: Garment, cut: CutOut) -> Garment:
    """The `garment`, or the top that a person wears in its picture `rgb` (H, W, 3) uint8; UnfitPhoto for a dress or trousers, for
    several garments, and where there is none at all: the parser, which knows clothes on people, also knows them alone (the cut-out
    on white)."""
    window = whole(rgb)
    both = torch.cat([annotator.tensor(window.photo(rgb)), small(annotator, garment)])
    if cut.given:
        if not cut.doubtful:  # a mask beside the garment cuts out a piece that is like nothing
            refuse_no_top(annotator, both[1:])
        return garment
    seen = annotator.of_garments(both)
    photo, alone = seen.parse
    person = shows_person(photo, seen.keypoints[0])
    printed = person and is_print(photo.cpu().numpy(), window.labels(cut.mask.astype(np.uint8)) > 0)
    # What is printed on a top is top, whatever the parser calls it.
    on_top = (*L.TOP_LABELS, *PRINTED) if printed else L.TOP_LABELS
    solid = garment.at((HEIGHT, WIDTH))[1][0, 0].to(annotator.device) > 0.5
    agreement = _agreement(alone, on_top, solid)
    if person and not printed:
        found = worn_top(annotator, rgb, window, photo.cpu().numpy())
        if not isinstance(found, str):
            return _worn(annotator, place(rgb, found))
        kind = refuse_no_top(annotator, both)  # what lies there may be trousers, and nobody's
        if not (_is_surely_top(kind) and arms(photo) < PERSON_ARMS and agreement >= LIKE_TOP_ALONE):
            raise UnfitPhoto(
                f"the garment's picture shows a person, and {found}; give a photo of the garment alone, of a top that is "
                "worn and seen from the front, or a mask of it", "cloth", ("cloth_mask", "force"),
            )  # fmt: skip
    if cut.several > SEVERAL:
        raise UnfitPhoto(
            "the garment's picture shows several garments, one over another; give a photo of one alone, or a mask of it",
            "cloth",
            ("cloth_mask", "force"),
        )
    told = slice(1 if cut.by_hand else 0, None)
    kind = refuse_no_top(annotator, both[told])
    if kind is not None and kind.is_doubtful:
        doubt = f"the garment's picture may show {kind.words} ({kind.certainty:.0%}), and vtcli puts on tops"
        garment = replace(garment, notes=(*garment.notes, doubt))
    if cut.by_hand:
        return garment
    if _is_surely_top(kind) and _agreement(alone, WORN, solid) >= LEAST_CLOTHES:
        return garment
    if cut.doubtful:
        raise no_garment(0.0)
    if agreement < LEAST_GARMENT:
        if (rows := int(cut.mask.any(1).sum())) < FEW_ROWS:
            raise UnfitPhoto(
                f"the garment is only {rows} pixels high in its picture, too few to tell what it is; give a larger picture", "cloth",
            )  # fmt: skip
        raise UnfitPhoto(
            f"the garment's picture shows no top that is known (what was cut out agrees by {agreement:.0%} with "
            f"what looks like a top, at least {LEAST_GARMENT:.0%} is needed); give a photo of the garment alone, or "
            "a mask of it", "cloth", ("cloth_mask", "force"),
        )  # fmt: skip
    return garment


def _worn(annotator: Annotator, garment: Garment) -> Garment:
    """The `garment` that was cut out of a person's photo; UnfitPhoto where it is no top."""
    refuse_no_top(annotator, small(annotator, garment))
    note = "the garment's picture shows a person: the top that they wear was cut out of it"
    return replace(garment, notes=(note,), on_person=True)


def _agreement(labels: torch.Tensor, wanted: tuple[int, ...], solid: torch.Tensor) -> float:
    """Overlap (IoU) of the `wanted` of `labels` (256, 192) with what is `solid` (256, 192) bool."""
    there = torch.isin(labels, torch.tensor(wanted, device=labels.device))
    return float((there & solid).sum() / (there | solid).sum().clamp_min(1))


def _is_surely_top(kind: Kind | None) -> bool:
    if kind is None:
        return False
    top = 1.0 - kind.certainty
    return top >= SURE_TOP or (top >= LIKELY_TOP and max(kind.probabilities) >= SURE_KIND)


def no_garment(share: float) -> UnfitPhoto:
    """What is said where nothing, or `share` of the picture, stands out from its background."""
    return UnfitPhoto(
        f"no garment stands out from the background ({share:.1%} of the picture was cut out); give a "
        "photo on a plain background, or a mask of the garment", "cloth", ("cloth_mask", "force"),
    )  # fmt: skip


def small(annotator: Annotator, garment: Garment) -> torch.Tensor:
    """The garment on white as the networks see it, (1, 3, 256, 192)."""
    return garment.at((HEIGHT, WIDTH))[0].to(annotator.device)


def refuse_no_top(annotator: Annotator, pictures: torch.Tensor) -> Kind | None:
    """The kind of the garment on `pictures` (B, 3, 256, 192), and UnfitPhoto that names it if it is no top; arguments and None as
    for `Annotator.kind`."""
    kind = annotator.kind(pictures)
    if kind is not None and kind.is_no_top:
        raise UnfitPhoto(
            f"the garment's picture shows {kind.words} ({kind.certainty:.0%}), and vtcli puts on tops; give a photo of a "
            "top", "cloth",
        )  # fmt: skip
    return kind


def shows_person(labels: torch.Tensor, joints: torch.Tensor) -> bool:
    """Whether what the parser sees in a picture, `labels` (256, 192) and `joints` (18, 3), is a person: a face, and arms or
    hair; or, where the face is small, arms and most of the joints, with both shoulders."""
    face, hair = (float((labels == label).float().mean()) for label in (L.FACE, L.HAIR))
    bare = arms(labels)
    sure = joints[:, 2] > SURE
    body = bool(sure[[L.R_SHOULDER, L.L_SHOULDER]].all()) and int(sure.sum()) >= PERSON_JOINTS
    near = face > PERSON_FACE and (bare > PERSON_ARMS or hair > PERSON_HAIR)
    return near or (body and face > PERSON_FACE / 20 and bare > PERSON_ARMS / 2)


def arms(labels: torch.Tensor) -> float:
    """The share of arms in `labels` (256, 192)."""
    return float(torch.isin(labels, torch.tensor(L.ARM_LABELS, device=labels.device)).float().mean())


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
