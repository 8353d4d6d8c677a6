"""A shop photo → the garment cut out and placed, and refused where it shows no top."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from vtcli.core.data import labels as L
from vtcli.core.data.images import alpha_mask
from vtcli.core.garments.cutout import garment_mask
from vtcli.core.garments.given_mask import mask_problem
from vtcli.core.garments.placement import Garment, as_placed, place, without_hook
from vtcli.core.tryon.annotate import Annotator
from vtcli.core.tryon.problems import UnfitPhoto
from vtcli.core.tryon.window import HEIGHT, WIDTH, whole

LEAST_CUT, MOST_CUT = 0.02, 0.97
"""Shares of the picture between which what was cut out may be a garment."""
LEAST_GARMENT = 0.4
"""Overlap (IoU) of what the parser calls a top with what was cut out; shop photos of tops have 0.56 or more."""
PERSON_FACE, PERSON_ARMS, PERSON_HAIR = 0.01, 0.01, 0.05
"""Shares of the picture: one that shows more of a face, and more of arms or hair, shows a person."""


def cut_out(
    annotator: Annotator, cloth: Image.Image, rgb: np.ndarray, mask: np.ndarray | None, force: bool
) -> Garment:
    """The garment of the shop photo `cloth`, whose colours on white are `rgb` (H, W, 3) uint8: cut out by `mask` (h, w)
    bool, by its own alpha channel, or by its plain background. UnfitPhoto where it shows no top (not with `force`;
    what somebody cut out is taken for a garment)."""
    given = mask is not None
    if mask is None and has_alpha(cloth):
        mask = alpha_mask(cloth.convert("RGBA"))
    by_hand = mask is not None
    if mask is None:
        mask = without_hook(garment_mask(rgb))
    if mask.shape != rgb.shape[:2]:
        resized = Image.fromarray(mask).resize((rgb.shape[1], rgb.shape[0]), Image.Resampling.NEAREST)
        mask = np.asarray(resized)
    if given and not force and (problem := mask_problem(rgb, mask)) is not None:
        raise UnfitPhoto(f"--cloth-mask: {problem}; --force goes on")
    share = float(mask.mean())
    if not force and not LEAST_CUT <= share <= MOST_CUT:
        raise UnfitPhoto(
            f"no garment stands out from the background ({share:.0%} of the picture was cut out); give a "
            "photo on a plain background, or --cloth-mask, or --force"
        )
    if given and rgb.shape[:2] == (HEIGHT, WIDTH):
        return as_placed(rgb, mask)  # a data set's, which places its garments itself
    garment = place(rgb, mask)
    if not force and not given:
        _refuse_unfit(annotator, rgb, garment, by_hand)
    return garment


def has_alpha(image: Image.Image) -> bool:
    """Whether the picture says itself where it is transparent."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _refuse_unfit(annotator: Annotator, rgb: np.ndarray, garment: Garment, by_hand: bool) -> None:
    """A picture of a person, or of no garment at all: the parser, which knows clothes on people, also knows
    them alone (the cut-out on white). What was cut out `by_hand` somebody took for a garment already."""
    small, mask = garment.at((HEIGHT, WIDTH))
    both = torch.cat([annotator.tensor(whole(rgb).photo(rgb)), small.to(annotator.device)])
    photo, alone = annotator(both, mirror=False).parse
    face, hair = float((photo == L.FACE).float().mean()), float((photo == L.HAIR).float().mean())
    arms = float(torch.isin(photo, torch.tensor(L.ARM_LABELS, device=photo.device)).float().mean())
    if face > PERSON_FACE and (arms > PERSON_ARMS or hair > PERSON_HAIR):
        raise UnfitPhoto(
            f"the garment's picture shows a person (face {face:.0%}, arms {arms:.0%} of it); give a photo of the "
            "garment alone, or --cloth-mask, or --force"
        )
    if by_hand:
        return
    top = torch.isin(alone, torch.tensor(L.TOP_LABELS, device=alone.device))
    cut = mask[0, 0].to(annotator.device) > 0.5
    agreement = float((top & cut).sum() / (top | cut).sum().clamp_min(1))
    if agreement < LEAST_GARMENT:
        raise UnfitPhoto(
            f"the garment's picture shows no top that vtcli knows (what was cut out agrees by {agreement:.0%} with "
            f"what looks like a top, at least {LEAST_GARMENT:.0%} is needed); give a photo of the garment alone, or "
            "--cloth-mask, or --force"
        )
