"""Pictures, masks and labels as they are stored, uint8 with colours last, and as networks take and give them, float
with channels first."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def signed(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 → (B, 3, H, W) float in [-1, 1], channels-last in memory without a copy."""
    return pictures.permute(0, 3, 1, 2).to(torch.float32, copy=True).div_(127.5).sub_(1.0)


def shares(masks: Tensor) -> Tensor:
    """(B, H, W) uint8, 255 inside → (B, 1, H, W) float in [0, 1]."""
    return masks[:, None].to(torch.float32, copy=True).div_(255.0)


def grey_levels(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) float → (B, H, W, 3) uint8, rounded; what lies beyond [-1, 1] is cut off."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)


def share_of(shares: Tensor, labels: tuple[int, ...]) -> Tensor:
    """What `labels` have together of probabilities (B, 20, H, W): (B, 1, H, W)."""
    total = shares[:, labels[0] : labels[0] + 1]
    for label in labels[1:]:
        total = total + shares[:, label : label + 1]
    return total


def likeliest(shares: Tensor) -> Tensor:
    """The likeliest label at each pixel: (B, 20, H, W) probabilities or logits → (B, H, W) uint8."""
    # On the CPU torch's argmax over channels takes three times as long.
    return shares.max(1).indices.to(torch.uint8)


def colours(x: Tensor) -> np.ndarray:
    """The first sample in grey levels: (B, 3, H, W) in [-1, 1] → (H, W, 3) float32 in [0, 255]."""
    out: np.ndarray = (x[0].permute(1, 2, 0).float().cpu().numpy() + 1.0) * 127.5
    return out
