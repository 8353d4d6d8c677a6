"""A person as the networks see them: the window of the photo, and what is in it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.parse_missed import add_missed
from vtcli.core.data.pixels import colours, likeliest
from vtcli.core.tryon import panel
from vtcli.core.tryon.networks import People
from vtcli.core.tryon.photos.annotate import SURE, Annotator, certain
from vtcli.core.tryon.photos.problems import NobodyFound, UnfitPhoto
from vtcli.core.tryon.photos.refine import (
    carry_on_below,
    on_person,
    refine_hair,
    refine_neck,
    without_lone_hair,
    without_others,
)
from vtcli.core.tryon.photos.user_masks import UserMasks
from vtcli.core.tryon.photos.user_masks import refuse_unfit as refuse_masks
from vtcli.core.tryon.photos.window import Box, Window

LEAST_CLOTHES = 0.02
"""The least share of the window that is an upper garment."""
DARK = 80
"""Grey levels (of 255) that 98 of 100 pixels of a dark photo are below; night and a dim room, not black clothes. Set by hand."""
LEAST_HAIR, LEAST_FACE = 0.02, 0.004
"""Shares of the window: who shows that much hair and less of a face is seen from behind."""


@dataclass
class AnnotatedPerson:
    """`photo` (H, W, 3) uint8; `window`: the part of it that is worked on; `view` (h, w, 3) uint8: that part at its own
    resolution; `people` (one person) and `probabilities` of the parse (1, 20, 256, 192): at the networks' size;
    `masks`: what the user says must stay or be redrawn, in the window at its own resolution; `own` (2, 256, 192): how
    probable the torso's bare skin and things are, None where the parse was given; `notes`: what whoever gave the photo should know, a
    line each."""

    photo: np.ndarray
    window: Window
    view: np.ndarray
    people: People
    probabilities: Tensor
    masks: UserMasks = field(default_factory=UserMasks)
    own: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def certainty(self) -> tuple[float, float]:
        """Of the parse on the person (mean probability of the likeliest label) and of neck and shoulders (mean
        confidence), each in [0, 1]."""
        person = self.people.parse[0] > 0
        best = self.probabilities[0].amax(0)[person]
        joints = self.people.keypoints[0, [L.NECK, L.R_SHOULDER, L.L_SHOULDER], 2].clamp(0, 1)
        return float(best.mean()) if len(best) else 0.0, float(joints.mean())

    def picture(self) -> np.ndarray:
        """Parse and pose over the photo: (256, 192, 3) uint8."""
        parse, keypoints = self.people.parse[0].cpu().numpy(), self.people.keypoints[0].cpu().numpy()
        return panel.pose_picture(colours(self.people.image).round().astype(np.uint8), parse, keypoints)


def annotate_person(
    annotator: Annotator, photo: np.ndarray, window: Window, box: Box | None,
    parse: np.ndarray | None = None, keypoints: np.ndarray | None = None, masks: UserMasks | None = None,
    force: bool = False,
) -> AnnotatedPerson:  # fmt: skip
    """Parse and joints of the person in `window` of `photo` (H, W, 3) uint8: `parse` (H, W) and `keypoints` (18, 3)
    where they are given, in photo pixels; else the parser's, refined. `box`: where the person was found, if at all.
    What `masks` (of the photo's size) says is redrawn counts as garment; unfit ones are refused, but for `force`."""
    picture = window.photo(photo)
    annotation = annotator.look(picture)
    image, probabilities, joints = annotator.tensor(picture), annotation.probabilities, annotation.keypoints
    if keypoints is not None:
        joints = torch.from_numpy(window.points_in(keypoints)).to(annotator.device)[None]
    if parse is not None:
        given = torch.from_numpy(window.labels(parse)).to(annotator.device)[None]
        probabilities = certain(add_missed(given, annotation.probabilities, joints))
    else:
        probabilities = without_lone_hair(refine_hair(refine_neck(probabilities, joints), image))
        if box is not None:
            probabilities = without_others(probabilities, window.box_in(box))
        probabilities = carry_on_below(probabilities, window.lowest_row(len(photo)))
    masks = UserMasks() if masks is None else masks
    labels = likeliest(probabilities)
    if not force:
        refuse_masks(masks, window, labels[0].cpu().numpy())
    if masks.redraw is not None:
        redrawn = torch.from_numpy(window.labels(masks.redraw.astype(np.uint8)) > 0).to(annotator.device)
        garment = certain(torch.full_like(redrawn, L.UPPER_CLOTHES, dtype=torch.uint8)[None])
        probabilities = torch.where(redrawn, garment, probabilities)
        labels = likeliest(probabilities)
    filled = People(image, labels, joints).filled_parse
    if filled is not labels:
        probabilities = torch.where((filled != labels)[:, None], certain(filled), probabilities)
    if keypoints is None:
        joints = on_person(joints, filled)
    people = People(image, filled, joints)
    own = annotation.own[0].cpu().numpy() if parse is None else None
    notes: tuple[str, ...] = ()
    if np.quantile(picture.mean(2), 0.98) < DARK:
        notes = (
            "the photo is dark; a garment photographed in the light will look pasted on (brighten the photo first)",
        )
    return AnnotatedPerson(
        photo, window, window.cut(photo), people, probabilities, masks.seen_in(window), own, notes
    )


def seen_in(annotator: Annotator, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parser's own labels (256, 192) and joints (18, 3), refined, of a `picture` (256, 192, 3) uint8 of a person."""
    annotation = annotator.look(picture)
    labels = likeliest(refine_neck(annotation.probabilities, annotation.keypoints))
    return labels[0].cpu().numpy(), on_person(annotation.keypoints, labels)[0].cpu().numpy()


def refuse_unfit(person: AnnotatedPerson) -> None:
    """NobodyFound where no upper garment is seen, UnfitPhoto where the person is seen from behind."""
    labels = person.people.parse[0]

    def share(which: tuple[int, ...]) -> float:
        return float(torch.isin(labels, torch.tensor(which, device=labels.device)).float().mean())

    clothes = share((*L.TOP_LABELS, L.JUMPSUITS))
    if clothes < LEAST_CLOTHES:
        raise NobodyFound(f"no upper garment seen on the person ({clothes:.1%} of the window)")
    joints = person.people.keypoints[0]
    nose, eyes = float(joints[L.NOSE, 2]), float(joints[[L.R_EYE, L.L_EYE], 2].max())
    if share((L.HAIR,)) > LEAST_HAIR and share((L.FACE,)) < LEAST_FACE and nose < SURE and eyes < SURE:
        raise UnfitPhoto("the person seems to be seen from behind (hair, but no face)")
