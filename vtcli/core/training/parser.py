"""Stage `parser`: photo → parse and joints, from the store and from other sets of labelled photos."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import neck_region, torso
from vtcli.core.data.label_metrics import LabelCounts, pck
from vtcli.core.data.labelled_photos import COLLAR, GROUPS, NECK, LabelledPhotos, group_matrix
from vtcli.core.data.pixels import signed
from vtcli.core.data.store import PreparedStore
from vtcli.core.data.triplets import PersonMaps
from vtcli.core.models.lite0 import load_lite0_state
from vtcli.core.models.parser import (
    INPUT_SIZE,
    PARSER_PRESETS,
    Parser,
    decode_joints,
    joint_log_probabilities,
    label_probabilities,
    lip_probabilities,
)
from vtcli.core.system import distributed
from vtcli.core.training import augment, backgrounds
from vtcli.core.training.logs import contact_sheet
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.pairs import Source, below_top
from vtcli.core.training.stage import Batch, Order, Rows, Stage, Validation, sample_rng, share_of_batch

JOINT_SIGMA = 1.0
"""Standard deviation of a joint's target, in cells of the quarter-resolution grid."""
JOINT_WEIGHT = 0.15
"""Multiplier on the joints' loss beside the labels'."""
EMPTY_SHARE = 0.06
"""Share of the store's samples that show a background and nobody; a parser that never saw one finds people in grass."""
FOREIGN_SHARE = 3 / 8
"""Share of a batch that comes from other sets of labelled photos, all together, where there are any."""
IN_NECK, MAYBE_COLLAR = GROUPS.index(NECK), GROUPS.index(COLLAR)
"""Groups of what the store's maps call background between head and clothes: other sets tell what it is."""


class Sample(NamedTuple):
    """One sample of a batch, of `INPUT_SIZE`."""

    image: np.ndarray  # (H, W, 3) uint8
    groups: np.ndarray  # (H, W) uint8: the group of labels of each pixel, 255 where it is not known
    keypoints: np.ndarray  # (18, 3) float32
    joints_known: bool  # False where the set has no joints


class ParserStage(Stage):
    """Photos of the store (and of `options.photos`), strongly augmented, against their label and joint maps."""

    name = "parser"
    best_by = "mean_iou"

    def __init__(self, options: TrainOptions, train: PreparedStore, val: Rows, rows: np.ndarray) -> None:
        super().__init__(options, val, len(rows))
        self.source = Source(options, train, rows)
        self.batch_size = options.batch_size or options.defaults.batch_size
        self.lr = options.defaults.lr
        self.sets = [LabelledPhotos.read(folder) for folder in options.photos]
        self.strips = [strip for photos in self.sets for strip in photos.backgrounds()]
        foreign = round(self.batch_size * FOREIGN_SHARE) if self.sets else 0
        self.order = Order(len(rows), self.batch_size - foreign, options.seed)
        self.positions = share_of_batch(self.batch_size)
        network = Parser(PARSER_PRESETS["lite"])
        if options.init is None:
            state = load_lite0_state()
            own = network.encoder.state_dict()
            network.encoder.load_state_dict({k: state[k] for k in own})
        self.network = network
        self.matrix = torch.from_numpy(group_matrix())

    def metadata(self) -> dict[str, Any]:
        return {"stage": "parser", "preset": "lite"}

    def batch(self, step: int) -> Batch:
        rngs = [sample_rng(self.options.seed, step, int(position)) for position in self.positions]
        own = self.positions[self.positions < self.order.batch_size]
        fields = self.source.people(rngs[: len(own)], self.order.rows(step)[own])
        people = zip(fields["image"], fields["parse"], fields["keypoints"], strict=True)
        samples = [
            self._synthetic(rng) if self._is_synthetic(rng) else self._of_store(rng, *person)
            for rng, person in zip(rngs, people, strict=False)
        ]
        samples += [self._labelled_photo(rng) for rng in rngs[len(own) :]]
        images, groups, joints, known = zip(*samples, strict=True)
        return {
            "image": torch.from_numpy(np.stack(images)), "groups": torch.from_numpy(np.stack(groups)),
            "keypoints": torch.from_numpy(np.stack(joints)), "joints_known": torch.tensor(known),
        }  # fmt: skip

    def _is_synthetic(self, rng: np.random.Generator) -> bool:
        return self.source.triplets is not None and rng.random() < self.source.triplet_share

    def _of_store(
        self, rng: np.random.Generator, image: np.ndarray, parse: np.ndarray, keypoints: np.ndarray
    ) -> Sample:
        outline = partial(backgrounds.person_mask, image, parse, keypoints)
        return self._augmented(rng, image, with_neck(image, parse, keypoints), keypoints, outline)

    def _synthetic(self, rng: np.random.Generator) -> Sample:
        """A random triplet's person, in either garment."""
        assert self.source.triplets is not None
        triplet = self.source.triplets.read(int(rng.integers(len(self.source.triplets))))
        which = "ab"[int(rng.integers(2))]
        image, parse, neck, thing = (
            triplet[f"{name}_{which}"] for name in ("person", "parse", "neck", "thing")
        )
        groups = PersonMaps(image, below_top(parse) if which == "b" else parse, neck, thing).labels()
        return self._augmented(rng, image, groups, triplet["keypoints"], lambda: groups > 0)

    def _augmented(
        self, rng: np.random.Generator, image: np.ndarray, groups: np.ndarray, keypoints: np.ndarray,
        outline: Callable[[], np.ndarray],
    ) -> Sample:  # fmt: skip
        """A person, sometimes small, sometimes on another background; or a background and nobody. `outline`: where the
        person is, (H, W) bool."""
        height, width = groups.shape
        if rng.random() < EMPTY_SHARE:
            photo = backgrounds.background(rng, INPUT_SIZE, self.strips)
            nothing = np.zeros(INPUT_SIZE, np.uint8)
            return Sample(_finish(rng, photo), nothing, np.zeros((L.JOINTS, 3), np.float32), True)
        small = rng.random() < 0.25
        scale = (0.3, 0.75) if small else (0.8, 1.35)
        matrix = augment.affine(
            rng, (width / 2, height / 2), height, INPUT_SIZE, scale, 0.25 if small else 0.12, 12.0
        )
        flip = rng.random() < 0.5
        if flip:
            matrix = augment.mirror(matrix, INPUT_SIZE[1])
        labels = augment.warp_labels(groups, matrix, INPUT_SIZE)
        joints = augment.warp_keypoints(keypoints, matrix, INPUT_SIZE)
        photo = augment.warp_image(image, matrix, INPUT_SIZE)
        if flip:
            labels, joints = FLIP_GROUPS[labels], augment.mirror_keypoints(joints)
        if small or rng.random() < 0.5:
            # A shrunken photo ends inside the picture: what lies beyond it must come from elsewhere.
            person = augment.warp_labels(outline().astype(np.uint8), matrix, INPUT_SIZE)
            photo = backgrounds.replace_background(rng, photo, person > 0, self.strips)
            labels = np.where(person > 0, labels, np.uint8(L.BACKGROUND))
        return Sample(_finish(rng, photo), labels, joints, True)

    def _labelled_photo(self, rng: np.random.Generator) -> Sample:
        """A person of another set, cropped somewhere between the whole figure and the upper body; no joints."""
        photos = self.sets[int(rng.integers(len(self.sets)))]
        i = int(rng.integers(len(photos)))
        left, top, right, bottom = photos.boxes[i]
        tall = (bottom - top) * float(rng.choice([1.05, 0.8, 0.55, 0.42], p=[0.3, 0.15, 0.35, 0.2]))
        center = ((left + right) / 2, top + 0.47 * tall)
        matrix = augment.affine(rng, center, tall, INPUT_SIZE, (0.7, 1.15), 0.12, 10.0)
        if rng.random() < 0.5:
            matrix = augment.mirror(matrix, INPUT_SIZE[1])
        groups = augment.warp_labels(photos.groups[i], matrix, INPUT_SIZE, outside=L.IGNORE)
        photo = augment.warp_image(photos.photos[i], matrix, INPUT_SIZE)
        return Sample(_finish(rng, photo), groups, np.zeros((L.JOINTS, 3), np.float32), False)

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        photo = signed(batch["image"])
        labels, joints = network(photo)
        parts = {
            "labels": group_cross_entropy(labels, batch["groups"], self.matrix.to(labels.device)),
            "joints": joint_cross_entropy(
                joints, self._absent(network), batch["keypoints"], batch["joints_known"]
            ),
        }
        return parts["labels"] + JOINT_WEIGHT * parts["joints"], parts

    def _absent(self, network: nn.Module) -> Tensor:
        absent = distributed.unwrap(network).absent
        assert isinstance(absent, Tensor)
        return absent

    def validate(self, network: nn.Module) -> Validation:
        counts = LabelCounts()
        right = counted = 0
        device = next(network.parameters()).device
        for start in range(0, len(self.val_rows), 25):
            rows = self.val_rows[start : start + 25]
            image = torch.from_numpy(self.val_store.read("image", rows)).to(device)
            photo = signed(image).contiguous(memory_format=torch.channels_last)
            labels, joints = network(photo)
            predicted = lip_probabilities(label_probabilities(labels, photo.shape[2:])).argmax(1)  # type: ignore[arg-type]
            counts.add(predicted, torch.from_numpy(self.val_store.read("parse", rows)))
            truth = torch.from_numpy(self.val_store.read("keypoints", rows))
            hit, all_ = pck(decode_joints(joints, self._absent(network), 4.0).cpu(), truth)
            right, counted = right + hit, counted + all_
        colours = signed(torch.from_numpy(L.LIP_PALETTE[predicted.cpu().numpy()]))
        metrics = {**counts.metrics(), "pck": right / max(counted, 1)}
        return Validation(metrics, {"parse": contact_sheet(photo.cpu(), colours)})


FLIP_GROUPS = np.arange(256, dtype=np.uint8)
"""Group of a pixel → its group in the mirrored picture."""
FLIP_GROUPS[: L.PARSER_LABELS] = L.FLIP_PARSER_LABELS


def with_neck(image: np.ndarray, parse: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Groups of a map of LIP's labels (H, W) uint8: its background between head and clothes is the neck or a collar where
    `image` (H, W, 3) uint8 is no plain ground there, and on the torso it may be."""
    labels, joints = torch.from_numpy(parse)[None], torch.from_numpy(keypoints)[None]
    size = (int(parse.shape[0]), int(parse.shape[1]))
    between, body = neck_region(labels, joints)[0].numpy(), torso(size, joints)[0].numpy()
    nothing = parse == L.BACKGROUND
    groups = np.where((between | body) & nothing, np.uint8(MAYBE_COLLAR), parse)
    return np.where(between & nothing & ~backgrounds.plain(image), np.uint8(IN_NECK), groups)


def _finish(rng: np.random.Generator, photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(augment.degrade(rng, augment.colour(rng, photo)))


def group_cross_entropy(logits: Tensor, groups: Tensor, matrix: Tensor) -> Tensor:
    """mean over known pixels of −log Σ_{c in the pixel's group} softmax(logits)_c, at the logits' own resolution.

    A group is what a set's label may mean: one of the parser's labels, or any of several. `logits` (B, 22, h, w), `groups` (B, H, W) uint8 (255 ignored), `matrix` (groups, 22) of zeros and ones.
    """
    target = groups[:, :: groups.shape[1] // logits.shape[2], :: groups.shape[2] // logits.shape[3]].long()
    probability = F.conv2d(logits.float().softmax(1), matrix[:, :, None, None])
    known = target != L.IGNORE
    chosen = probability.gather(1, torch.where(known, target, 0)[:, None])[:, 0]
    count = distributed.mean_tensor(known.sum())
    return -(chosen.clamp_min(1e-6).log() * known).sum() / count.clamp_min(1)


def joint_cross_entropy(logits: Tensor, absent: Tensor, keypoints: Tensor, known: Tensor) -> Tensor:
    """−Σ_x t(x) · log p(x) for each joint, with t a Gaussian of `JOINT_SIGMA` at the joint, or −log p(absent).

    p is the softmax over the map's cells and its "absent" bin; the mean over the joints of samples in `known` (B,).
    `logits` (B, 18, h, w) on a grid four times coarser than the pixels of `keypoints` (B, 18, 3).
    """
    height, width = logits.shape[2:]
    logp = joint_log_probabilities(logits, absent)
    there = L.joints_present(keypoints)
    x = (keypoints[..., 0] + 0.5) / 4 - 0.5
    y = (keypoints[..., 1] + 0.5) / 4 - 0.5
    gx = torch.exp(-((torch.arange(width, device=x.device) - x[..., None]) ** 2) / (2 * JOINT_SIGMA**2))
    gy = torch.exp(-((torch.arange(height, device=y.device) - y[..., None]) ** 2) / (2 * JOINT_SIGMA**2))
    target = (gy[..., :, None] * gx[..., None, :]).flatten(2)
    target = target / target.sum(2, keepdim=True).clamp_min(1e-9)
    at_joint = -(target * logp[..., :-1]).sum(2)
    losses = torch.where(there, at_joint, -logp[..., -1])
    count = distributed.mean_tensor(known.sum() * logits.shape[1])
    return (losses * known[:, None]).sum() / count.clamp_min(1)


__all__ = ["ParserStage", "group_cross_entropy", "joint_cross_entropy"]
