"""Figures of validation: intersection over union, PCK, SSIM."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L

FIGURE_LABELS = (
    (L.BACKGROUND,), (L.HAIR,), (L.UPPER_CLOTHES,), (L.PANTS,), (L.FACE,), (L.LEFT_ARM, L.RIGHT_ARM),
)  # fmt: skip
"""The labels over which mean IoU is taken; the two arms count as one each and enter as their mean."""


class LabelCounts:
    """Intersections and unions of two parses, summed over a whole validation set."""

    def __init__(self) -> None:
        self.intersection = torch.zeros(L.LABELS, dtype=torch.int64)
        self.union = torch.zeros(L.LABELS, dtype=torch.int64)
        self.right = self.total = 0

    def add(self, predicted: Tensor, truth: Tensor) -> None:
        """Count two parses of one shape, integer labels, on any devices."""
        pairs = predicted.cpu().long() * L.LABELS + truth.cpu().long()
        both = torch.bincount(pairs.flatten(), minlength=L.LABELS**2)
        table = both.view(L.LABELS, L.LABELS)
        self.intersection += table.diagonal()
        self.union += table.sum(0) + table.sum(1) - table.diagonal()
        self.right += int(table.diagonal().sum())
        self.total += int(table.sum())

    def figures(self) -> dict[str, float]:
        """Accuracy, and mean IoU over background, hair, upper-clothes, pants, face and arms."""
        iou = self.intersection.double() / self.union.clamp_min(1).double()
        parts = [float(iou[list(group)].mean()) for group in FIGURE_LABELS]
        names = ("background", "hair", "upper_clothes", "pants", "face", "arms")
        return {
            "accuracy": self.right / max(self.total, 1),
            "mean_iou": sum(parts) / len(parts),
            **{f"iou_{n}": p for n, p in zip(names, parts, strict=True)},
        }


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boolean masks (B, H, W), per picture (B,); 1 where both are empty."""
    both = (a & b).flatten(1).sum(1).double()
    either = (a | b).flatten(1).sum(1).double()
    return torch.where(either > 0, both / either.clamp_min(1), torch.ones_like(both))


def pck(predicted: Tensor, truth: Tensor, bound: float = 0.1) -> tuple[int, int]:
    """Joints within `bound` of the torso's length (neck to the middle of the hips): right ones, counted ones.

    Both (B, 18, 3). Counted are joints that the truth marks present, in pictures whose torso it marks.
    """
    there = (truth[..., 0] > 1) & (truth[..., 1] > 1)
    hips = 0.5 * (truth[:, L.R_HIP, :2] + truth[:, L.L_HIP, :2])
    torso = (truth[:, L.NECK, :2] - hips).norm(dim=1)
    whole = there[:, L.NECK] & there[:, L.R_HIP] & there[:, L.L_HIP]
    near = (predicted[..., :2] - truth[..., :2]).norm(dim=2) <= bound * torso[:, None]
    found = (predicted[..., 0] > 1) & (predicted[..., 1] > 1)
    counted = there & whole[:, None]
    return int((near & found & counted).sum()), int(counted.sum())


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """SSIM per picture (B,), both (B, 3, H, W) in [-1, 1] (Wang et al. 2004, sigma 1.5): for validation curves."""
    x = torch.arange(-5, 6, device=a.device, dtype=torch.float32)
    window = torch.exp(-(x**2) / (2 * 1.5**2))
    window = window / window.sum()

    def blur(v: Tensor) -> Tensor:
        v = F.conv2d(v, window.view(1, 1, 1, -1).expand(v.shape[1], -1, -1, -1), groups=v.shape[1])
        return F.conv2d(v, window.view(1, 1, -1, 1).expand(v.shape[1], -1, -1, -1), groups=v.shape[1])

    a, b = (a.float() + 1) / 2, (b.float() + 1) / 2
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    cov = blur(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + 1e-4) * (2 * cov + 9e-4)
    return (top / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4))).flatten(1).mean(1)
