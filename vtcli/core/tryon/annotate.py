"""Photos → parse maps and joints, by the project's own parser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import signed
from vtcli.core.models.load import load_parser
from vtcli.core.models.parser import INPUT_SIZE, Parser, decode_joints, label_probabilities
from vtcli.core.models.weights import sha256, stage_file
from vtcli.core.system import runtime


@dataclass
class Annotation:
    """What the parser sees in pictures of 256×192.

    `probabilities` (B, 20, 256, 192) over LIP's labels; `keypoints` (B, 18, 3) in pixels, (0, 0, 0) if absent.
    """

    probabilities: Tensor
    keypoints: Tensor

    @property
    def parse(self) -> Tensor:
        """The likeliest labels, (B, 256, 192) uint8."""
        return self.probabilities.argmax(1).to(torch.uint8)


SURE, WEAK = 0.15, 0.03
"""Confidence from which a joint counts as seen; from which it counts where it also lies on the person."""


class Annotator:
    """The parser with mirrored copies averaged in, which steadies joints and edges at twice the cost.

    Joints below a confidence of `least` are absent.
    """

    def __init__(self, parser: Parser, device: torch.device, least: float = SURE) -> None:
        self.parser = parser.to(device)
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
        order = torch.from_numpy(L.FLIP_LABELS.copy()).to(photos.device)
        labels = (labels + mirrored_labels.flip(3)[:, order]) / 2
        order = torch.from_numpy(L.FLIP_JOINTS.copy()).to(photos.device)
        joints = (joints + mirrored_joints.flip(3)[:, order]) / 2
        return self._annotation(labels, joints)

    def _annotation(self, labels: Tensor, joints: Tensor) -> Annotation:
        return Annotation(
            label_probabilities(labels, INPUT_SIZE),
            decode_joints(joints, self.parser.absent, 4.0, self.least),
        )


def on_person(keypoints: Tensor, parse: Tensor, reach: int = 8) -> Tensor:
    """`keypoints` (B, 18, 3) without the weak ones that lie more than `reach` pixels off the person of `parse`
    (B, H, W): on street photos most weak joints are right, and the wrong ones lie somewhere in the scenery."""
    person = (parse > 0).float()[:, None]
    near = F.max_pool2d(person, 2 * reach + 1, stride=1, padding=reach)[:, 0]
    x = keypoints[..., 0].round().long().clamp(0, parse.shape[2] - 1)
    y = keypoints[..., 1].round().long().clamp(0, parse.shape[1] - 1)
    rows = torch.arange(len(parse), device=parse.device)[:, None]
    kept = (near[rows, y, x] > 0.5) | (keypoints[..., 2] >= SURE)
    return keypoints * kept[..., None]


CHIN = 0.44
"""How far the chin lies below the nose, as a share of the way to the neck joint: 0.41 is the median over VITON, 0.49
the 95th percentile. Half the face's width is about as long."""


def settle_neck(probabilities: Tensor, keypoints: Tensor) -> Tensor:
    """Call the neck what VITON calls it, background: skin below the chin is a throat, though a parser that has
    also learned from other sets may call it a face.

    `probabilities` (B, 20, H, W), `keypoints` (B, 18, 3); the face's share below the jaw goes to the background.
    The jaw is half an ellipse around the nose. Unchanged where nose or neck are not seen.
    """
    nose, neck = keypoints[:, L.NOSE], keypoints[:, L.NECK]
    seen = (nose[:, 2] > 0) & (neck[:, 2] > 0) & (neck[:, 1] > nose[:, 1] + 8)
    height, width = probabilities.shape[2:]
    rows = torch.arange(height, device=probabilities.device).view(1, -1, 1).float()
    columns = torch.arange(width, device=probabilities.device).view(1, 1, -1).float()
    face = probabilities[:, L.FACE]
    upper = face * (rows <= nose[:, 1, None, None]).float()
    middle = (upper * columns).sum((1, 2)) / upper.sum((1, 2)).clamp_min(1.0)
    middle = torch.where(upper.sum((1, 2)) > 30, 0.5 * (middle + nose[:, 0]), nose[:, 0])
    depth = (CHIN * (neck[:, 1] - nose[:, 1])).clamp_min(1.0)[:, None, None]
    across = (columns - middle[:, None, None]) / (1.25 * depth)
    jaw = nose[:, 1, None, None] + 1.08 * depth * (1.0 - across.square()).clamp_min(0.0).sqrt()
    throat = ((rows - jaw) / 2.0 + 0.5).clamp(0, 1) * seen[:, None, None].float()
    settled = probabilities.clone()
    settled[:, L.FACE] = face * (1.0 - throat)
    settled[:, L.BACKGROUND] = probabilities[:, L.BACKGROUND] + face * throat
    return settled


STRANDS = 9
"""How far from a garment hair may be the garment seen between strands, in pixels at 256×192."""


def settle_hair(probabilities: Tensor, photo: Tensor) -> Tensor:
    """Give the garment what of the hair near it has the garment's colour: a parser draws long hair as one solid
    shape, and what it covers is never drawn anew.

    `probabilities` (B, 20, H, W), `photo` (B, 3, H, W) in [-1, 1]. Colours of sure hair and of sure garment, as one
    Gaussian each, decide; unchanged where they are too much alike.
    """
    settled = probabilities.clone()
    labels = probabilities.argmax(1)
    top = probabilities[:, list(L.TOP_LABELS)].sum(1)
    for i in range(len(photo)):
        hair = labels[i] == L.HAIR
        near = _grown(top[i] > 0.5, STRANDS) & hair
        sure = [probabilities[i, L.HAIR] > 0.9, top[i] > 0.9]
        # Hair beside the garment is what is in doubt, garment right at the hair likewise.
        sure = [sure[0] & ~near, sure[1] & ~_grown(hair, 3)]
        if not bool(near.any()) or min(int(mask.sum()) for mask in sure) < 100:
            continue
        colours = [photo[i][:, mask].double() for mask in sure]
        means = [c.mean(1) for c in colours]
        spreads = [torch.cov(c) + 1e-3 * torch.eye(3, dtype=torch.float64, device=c.device) for c in colours]
        apart = means[0] - means[1]
        if float(apart @ torch.linalg.solve(spreads[0] + spreads[1], apart)) < 1.5:
            continue
        pixels = photo[i][:, near].double()
        strange = []
        for mean, spread in zip(means, spreads, strict=True):
            rest = pixels - mean[:, None]
            strange.append((rest * torch.linalg.solve(spread, rest)).sum(0) + torch.logdet(spread))
        share = torch.sigmoid((strange[0] - strange[1]) / 2.0 - 2.0).to(probabilities.dtype)
        moved = torch.zeros_like(top[i])
        moved[near] = share
        moved = F.avg_pool2d(moved[None, None], 3, 1, 1)[0, 0] * near * probabilities[i, L.HAIR]
        settled[i, L.HAIR] -= moved
        settled[i, L.UPPER_CLOTHES] += moved
    return settled


def _grown(mask: Tensor, radius: int) -> Tensor:
    """Where `mask` (H, W) bool holds within a square of `radius` pixels."""
    return F.max_pool2d(mask[None, None].float(), 2 * radius + 1, 1, radius)[0, 0] > 0


def load_annotator(
    weights: Path | None, device: str
) -> tuple[Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], str]:
    """A function from photos (n, H, W, 3) uint8 to (parse (n, H, W) uint8, keypoints (n, 18, 3) float32), and
    the SHA-256 of the parser's weights. Photos of another size than 256×192 are parsed at that size and the
    result is enlarged."""
    path = stage_file(weights, "parser")
    chosen = runtime.choose_device(device)
    annotator = Annotator(load_parser(path), chosen)

    def annotate(photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = photos.shape[1:3]
        pictures = signed(torch.from_numpy(photos).to(chosen))
        if size != INPUT_SIZE:
            pictures = F.interpolate(pictures, INPUT_SIZE, mode="bilinear", antialias=True)
        seen = annotator(pictures)
        probabilities, keypoints = seen.probabilities, seen.keypoints.cpu().numpy().copy()
        if size != INPUT_SIZE:
            probabilities = F.interpolate(probabilities, size, mode="bilinear")
            keypoints[..., :2] *= np.array([size[1] / INPUT_SIZE[1], size[0] / INPUT_SIZE[0]], np.float32)
        return probabilities.argmax(1).to(torch.uint8).cpu().numpy(), keypoints.astype(np.float32)

    return annotate, sha256(path)
