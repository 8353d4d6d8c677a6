"""Photos → parse maps and joints, by the project's own parser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import likeliest, signed
from vtcli.core.models.folding import fold_batch_norm
from vtcli.core.models.kind import SIZE, Kind, KindNet
from vtcli.core.models.outline import LYING_SIZE, OutlineNet, view_size
from vtcli.core.models.parser import INPUT_SIZE, Parser, decode_joints, label_probabilities, lip_probabilities


@dataclass
class Annotation:
    """What the parser sees in pictures of 256×192.

    `probabilities` (B, 20, 256, 192) over LIP's labels; `keypoints` (B, 18, 3) in pixels, (0, 0, 0) if absent; `own`
    (B, 2, 256, 192): how probable the torso's bare skin and things are, both of them background to LIP.
    """

    probabilities: Tensor
    keypoints: Tensor
    own: Tensor

    @property
    def parse(self) -> Tensor:
        """The likeliest labels, (B, 256, 192) uint8."""
        return likeliest(self.probabilities)


class Lying(NamedTuple):
    """By how many `quarters` a garment is turned, anticlockwise, and how `sure` that is; how probable it is `several`, one over
    another."""

    quarters: int
    sure: float
    several: float


SURE, WEAK = 0.15, 0.03
"""Confidence from which a joint counts as seen; from which it counts where it also lies on the person."""


class Annotator:
    """The parser with mirrored copies averaged in, which steadies joints and edges at twice the cost.

    Joints below a confidence of `least` are absent.
    """

    def __init__(
        self, parser: Parser, device: torch.device, least: float = SURE, kinds: KindNet | None = None,
        outline: OutlineNet | None = None,
    ) -> None:  # fmt: skip
        self.parser = fold_batch_norm(parser).to(device)
        self.kinds = fold_batch_norm(kinds).to(device) if kinds is not None else None
        self.outline = fold_batch_norm(outline).to(device) if outline is not None else None
        self.device = device
        self.least = least

    @torch.inference_mode()
    def __call__(self, photos: Tensor, mirror: bool = True) -> Annotation:
        """`photos` (B, 3, 256, 192) in [-1, 1] on the parser's device; `mirror=False` halves the cost."""
        photos = photos.contiguous(memory_format=torch.channels_last)
        labels, joints = self.parser(photos)
        if not mirror:
            return self._annotation(labels, joints)
        mirrored_labels, mirrored_joints = self.parser(photos.flip(3))
        order = torch.from_numpy(L.FLIP_PARSER_LABELS.copy()).to(photos.device)
        labels = (labels + mirrored_labels.flip(3)[:, order]) / 2
        order = torch.from_numpy(L.FLIP_JOINTS.copy()).to(photos.device)
        joints = (joints + mirrored_joints.flip(3)[:, order]) / 2
        return self._annotation(labels, joints)

    def of_garments(self, pictures: Tensor) -> Annotation:
        """What `pictures` (B, 3, 256, 192) in [-1, 1] of garments show at a single look."""
        return self(pictures, mirror=False)

    @torch.inference_mode()
    def kind(self, pictures: Tensor) -> Kind | None:
        """The kind of the one garment that `pictures` (B, 3, 256, 192) in [-1, 1] show, by them and their mirrored copies; None
        without a network that tells it."""
        if self.kinds is None:
            return None
        views = F.interpolate(pictures, SIZE, mode="bilinear", antialias=True)
        views = torch.cat([views, views.flip(3)]).contiguous(memory_format=torch.channels_last)
        chances = self.kinds(views).softmax(1).mean(0)
        return Kind(tuple(float(p) for p in chances))

    @torch.inference_mode()
    def likely(self, rgb: np.ndarray) -> np.ndarray:
        """How probable the garment is everywhere on `rgb` (H, W, 3) uint8 of any size and background: (h, w) in [0, 1]. Only
        where there is an `outline`."""
        assert self.outline is not None
        small = cv2.resize(rgb, view_size(*rgb.shape[:2])[::-1], interpolation=cv2.INTER_AREA)
        picture = self.tensor(small).contiguous(memory_format=torch.channels_last)
        return np.asarray(self.outline(self.outline.seen(picture)).sigmoid()[0, 0].cpu().numpy())

    @torch.inference_mode()
    def lying(self, picture: Tensor) -> Lying:
        """How the garment lies that `picture` (1, 3, 256, 192) in [-1, 1] shows alone; upright and one without a network that
        tells it."""
        if self.outline is None:
            return Lying(0, 0.0, 0.0)
        view = F.interpolate(picture, LYING_SIZE, mode="bilinear", antialias=True)
        maps = self.outline.seen(view.contiguous(memory_format=torch.channels_last))
        chances = self.outline.turns(maps).softmax(1)[0]
        several = float(self.outline.overlaps(maps).sigmoid()[0])
        return Lying(int(chances.argmax()), float(chances.max()), several)

    def look(self, picture: np.ndarray, mirror: bool = True) -> Annotation:
        """What one `picture` (256, 192, 3) uint8 shows."""
        return self(self.tensor(picture), mirror)

    @torch.inference_mode()
    def joints(self, picture: np.ndarray) -> np.ndarray:
        """The joints of one `picture` (256, 192, 3) uint8, (18, 3) in its pixels: near enough to frame a person by, at a
        single look."""
        photo = self.tensor(picture).contiguous(memory_format=torch.channels_last)
        return self._decoded(self.parser.joints_alone(photo))[0].cpu().numpy()

    def tensor(self, picture: np.ndarray) -> Tensor:
        """A `picture` (H, W, 3) uint8 as networks take it: (1, 3, H, W) in [-1, 1], on the parser's device."""
        return signed(torch.from_numpy(picture.copy()).to(self.device)[None])

    def _annotation(self, labels: Tensor, joints: Tensor) -> Annotation:
        probabilities = label_probabilities(labels, INPUT_SIZE)
        return Annotation(
            lip_probabilities(probabilities), self._decoded(joints), probabilities[:, L.LABELS :]
        )

    def _decoded(self, joints: Tensor) -> Tensor:
        return decode_joints(joints, self.parser.absent, 4.0, self.least)


def certain(labels: Tensor) -> Tensor:
    """Probabilities (B, 20, H, W) of `labels` (B, H, W) that nobody doubts."""
    return F.one_hot(labels.long(), L.LABELS).permute(0, 3, 1, 2).float()
