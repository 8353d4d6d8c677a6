"""How well labels, masks and joints are met: intersection over union and PCK.

They stand beside the label set because training, scoring and try-on all measure with them, and none of these may
import another.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L

CLASSES: dict[str, tuple[int, ...]] = {
    "background": (L.BACKGROUND,),
    "hair": (L.HAIR,),
    "upper-clothes": (L.UPPER_CLOTHES,),
    "pants": (L.PANTS,),
    "face": (L.FACE,),
    "arms": (L.LEFT_ARM, L.RIGHT_ARM),
}
"""The classes of M_exp's mean IoU; the two arms are one class."""

_CLASS_OF = np.full(256, len(CLASSES), np.int64)  # what is in no class comes last
for _i, _members in enumerate(CLASSES.values()):
    _CLASS_OF[list(_members)] = _i


def class_overlaps(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """LIP labels (…) uint8 of a prediction and of the truth → (6, 2) int64: intersection and union of each class.

    Pixels whose truth is 255 count for nothing.
    """
    known, n = truth != L.IGNORE, len(CLASSES) + 1
    pairs = _CLASS_OF[predicted[known]] * n + _CLASS_OF[truth[known]]
    table = np.bincount(pairs, minlength=n * n).reshape(n, n)
    both = table.diagonal()
    return np.stack([both, table.sum(0) + table.sum(1) - both], axis=1)[:-1]


def mean_iou(overlaps: np.ndarray) -> np.ndarray:
    """(…, classes, 2) intersections and unions → (…) mean IoU over the classes whose union is not empty."""
    inter, union = overlaps[..., 0].astype(float), overlaps[..., 1].astype(float)
    present = union > 0
    iou = np.divide(inter, union, out=np.zeros_like(inter), where=present)
    return iou.sum(-1) / np.maximum(present.sum(-1), 1)


class LabelCounts:
    """Overlaps of predicted and true parses, summed over a whole set of pictures."""

    def __init__(self) -> None:
        self.overlaps = np.zeros((len(CLASSES), 2), np.int64)
        self.right = self.total = 0

    def add(self, predicted: Tensor, truth: Tensor) -> None:
        """Count two parses of one shape, integer labels; pixels whose truth is 255 count for nothing."""
        ours, theirs = (x.to(torch.uint8).cpu().numpy() for x in (predicted, truth))
        known = theirs != L.IGNORE
        self.overlaps += class_overlaps(ours, theirs)
        self.right += int(((ours == theirs) & known).sum())
        self.total += int(known.sum())

    def metrics(self) -> dict[str, float]:
        """The share of pixels with the right label, of all labels; mean IoU over `CLASSES`; and each class's IoU."""
        parts = {
            f"iou_{name.replace('-', '_')}": float(mean_iou(row[None]))
            for name, row in zip(CLASSES, self.overlaps, strict=True)
        }
        return {
            "accuracy": self.right / max(self.total, 1),
            "mean_iou": float(mean_iou(self.overlaps)),
            **parts,
        }


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boolean masks (B, H, W), per picture (B,); 1 where both are empty."""
    both = (a & b).flatten(1).sum(1).cpu().double()  # not every device has float64
    either = (a | b).flatten(1).sum(1).cpu().double()
    return torch.where(either > 0, both / either.clamp_min(1), torch.ones_like(both))


def pck(predicted: Tensor, truth: Tensor, bound: float = 0.1) -> tuple[int, int]:
    """Joints within `bound` of the torso's length (neck to the middle of the hips): right ones, counted ones.

    Both (B, 18, 3): x and y in pixels, confidence. Counted are joints that the truth marks present, in pictures
    whose torso it marks.
    """
    there = L.joints_present(truth)
    hips = 0.5 * (truth[:, L.R_HIP, :2] + truth[:, L.L_HIP, :2])
    torso = (truth[:, L.NECK, :2] - hips).norm(dim=1)
    whole = there[:, L.NECK] & there[:, L.R_HIP] & there[:, L.L_HIP]
    near = (predicted[..., :2] - truth[..., :2]).norm(dim=2) <= bound * torso[:, None]
    found = L.joints_present(predicted)
    counted = there & whole[:, None]
    return int((near & found & counted).sum()), int(counted.sum())
