"""Stage `parser`: photo → parse and joints, from the store and from other sets of labelled photos."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.labelled_photos import LabelledPhotos, group_matrix
from vtcli.core.data.pixels import signed
from vtcli.core.data.store import PreparedStore
from vtcli.core.models.lite0 import load_lite0_state
from vtcli.core.models.parser import (
    INPUT_SIZE,
    PARSER_PRESETS,
    Parser,
    decode_joints,
    joint_log_probabilities,
    label_probabilities,
)
from vtcli.core.system import distributed
from vtcli.core.training import augment, backgrounds
from vtcli.core.training.metrics import LabelCounts, pck
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.pairs import Source
from vtcli.core.training.stage import Batch, Order, Rows, Stage, Validation, generator, share_of_batch

JOINT_SIGMA = 1.0
"""Width of a joint's target, in cells of the quarter-resolution grid."""


NOBODY = 0.06
"""Share of the store's samples that show a background alone: whoever never sees one finds people in grass."""


class ParserStage(Stage):
    """Photos of the store (and of `options.photos`), strongly augmented, against their label and joint maps."""

    name = "parser"
    best_by = "mean_iou"

    def __init__(self, options: TrainOptions, train: PreparedStore, val: Rows, rows: np.ndarray) -> None:
        super().__init__(options, val, len(rows))
        self.source = Source(options, train, rows)
        self.batch_size = options.batch_size or 16
        self.lr = 1e-3
        self.sets = [LabelledPhotos.read(folder) for folder in options.photos]
        self.strips = [strip for photos in self.sets for strip in photos.backgrounds()]
        # Where there are other sets, they get 3/8 of each batch between them.
        self.foreign = round(self.batch_size * 3 / 8) if self.sets else 0
        self.order = Order(len(rows), self.batch_size - self.foreign, options.seed)
        self.positions = share_of_batch(self.batch_size)
        network = Parser(PARSER_PRESETS["lite"])
        if options.init is None:
            state = load_lite0_state()
            own = network.encoder.state_dict()
            network.encoder.load_state_dict({k: state[k] for k in own})
        self.network = network
        self.matrix = torch.from_numpy(group_matrix())

    def facts(self) -> dict[str, Any]:
        return {"stage": "parser", "preset": "lite"}

    def batch(self, step: int) -> Batch:
        dice = [generator(self.options.seed, step, int(position)) for position in self.positions]
        own = self.positions[self.positions < self.order.batch_size]
        fields = self.source.read(dice[: len(own)], self.order.rows(step)[own], garments=False)
        samples = [
            self._own(*sample)
            for sample in zip(
                dice[: len(own)], fields["image"], fields["parse"], fields["keypoints"], strict=True
            )
        ]
        samples += [self._foreign(rng) for rng in dice[len(own) :]]
        images, groups, joints, known = zip(*samples, strict=True)
        return {
            "image": torch.from_numpy(np.stack(images)), "groups": torch.from_numpy(np.stack(groups)),
            "keypoints": torch.from_numpy(np.stack(joints)), "joints_known": torch.tensor(known),
        }  # fmt: skip

    def _own(
        self, rng: np.random.Generator, image: np.ndarray, parse: np.ndarray, keypoints: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
        height, width = parse.shape
        if rng.random() < NOBODY:
            photo = backgrounds.background(rng, INPUT_SIZE, self.strips)
            return (
                _finish(rng, photo),
                np.zeros(INPUT_SIZE, np.uint8),
                np.zeros((L.JOINTS, 3), np.float32),
                True,
            )
        small = rng.random() < 0.25
        scale = (0.3, 0.75) if small else (0.8, 1.35)
        matrix = augment.affine(
            rng, (width / 2, height / 2), height, INPUT_SIZE, scale, 0.25 if small else 0.12, 12.0
        )
        flip = rng.random() < 0.5
        if flip:
            matrix = augment.mirror(matrix, INPUT_SIZE[1])
        labels = augment.warp_labels(parse, matrix, INPUT_SIZE)
        joints = augment.warp_keypoints(keypoints, matrix, INPUT_SIZE)
        photo = augment.warp_image(image, matrix, INPUT_SIZE)
        if flip:
            labels, joints = L.FLIP_LABELS[labels].astype(np.uint8), augment.mirror_keypoints(joints)
        if small or rng.random() < 0.5:
            # A shrunken photo ends inside the picture: what lies beyond it must come from elsewhere.
            person = backgrounds.person_mask(image, parse, keypoints).astype(np.uint8)
            photo = backgrounds.replace_background(
                rng, photo, augment.warp_labels(person, matrix, INPUT_SIZE) > 0, self.strips
            )
        return _finish(rng, photo), labels, joints, True

    def _foreign(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, bool]:
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
        return _finish(rng, photo), groups, np.zeros((L.JOINTS, 3), np.float32), False

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        photo = signed(batch["image"])
        labels, joints = network(photo)
        parts = {
            "labels": group_cross_entropy(labels, batch["groups"], self.matrix.to(labels.device)),
            "joints": joint_cross_entropy(
                joints, self._absent(network), batch["keypoints"], batch["joints_known"]
            ),
        }
        return parts["labels"] + 0.15 * parts["joints"], parts

    def _absent(self, network: nn.Module) -> Tensor:
        absent = distributed.bare(network).absent
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
            predicted = label_probabilities(labels, photo.shape[2:]).argmax(1)  # type: ignore[arg-type]
            counts.add(predicted, torch.from_numpy(self.val_store.read("parse", rows)))
            truth = torch.from_numpy(self.val_store.read("keypoints", rows))
            hit, all_ = pck(decode_joints(joints, self._absent(network), 4.0).cpu(), truth)
            right, counted = right + hit, counted + all_
        panel = np.concatenate([image[:6].cpu().numpy(), L.LIP_PALETTE[predicted[:6].cpu().numpy()]], axis=1)
        figures = {**counts.figures(), "pck": right / max(counted, 1)}
        return Validation(figures, {"parse": np.concatenate(list(panel), axis=1)})


def _finish(rng: np.random.Generator, photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(augment.degrade(rng, augment.colour(rng, photo)))


def group_cross_entropy(logits: Tensor, groups: Tensor, matrix: Tensor) -> Tensor:
    """Mean of -log of the summed probability of each pixel's group, at the logits' own resolution.

    `logits` (B, 20, h, w), `groups` (B, H, W) uint8 (255 ignored), `matrix` (groups, 20) of zeros and ones.
    """
    target = groups[:, :: groups.shape[1] // logits.shape[2], :: groups.shape[2] // logits.shape[3]].long()
    probability = F.conv2d(logits.float().softmax(1), matrix[:, :, None, None])
    known = target != L.IGNORE
    chosen = probability.gather(1, torch.where(known, target, 0)[:, None])[:, 0]
    count = distributed.mean_tensor(known.sum())
    return -(chosen.clamp_min(1e-6).log() * known).sum() / count.clamp_min(1)


def joint_cross_entropy(logits: Tensor, absent: Tensor, keypoints: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy between each joint's map (with its "absent" bin) and a small Gaussian at the joint.

    `logits` (B, 18, h, w) on a grid four times coarser than the pixels of `keypoints` (B, 18, 3).
    """
    height, width = logits.shape[2:]
    logp = joint_log_probabilities(logits, absent)
    there = (keypoints[..., 0] > 1) & (keypoints[..., 1] > 1)
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
