"""The auxiliary output put to use on the warp: θ is nudged until the warped garment covers what M_exp calls clothes.

The GMM predicts M_exp and θ side by side (Ayush et al., figure 1); a map of labels is the easier of the two to
predict, a spline's 50 numbers the harder. A few steps of descent on the overlap of the two, held back by bending
and folding, make them agree. Nothing is learned here, and a GMM without the auxiliary decoder does without.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.models.tps import jacobian, sample, second_differences, tps_grid

SIZE = (64, 48)
STEPS = 20
RATE = 0.015
STIFFNESS = 0.25
"""Weight of the bending of the change, beside one minus the soft IoU."""
UNFOLDED = 0.2
FOLDING = 4.0


def soft_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of soft masks (B, 1, h, w) in [0, 1], per sample (B,)."""
    both = (a * b).sum((1, 2, 3))
    return both / (a.sum((1, 2, 3)) + b.sum((1, 2, 3)) - both).clamp_min(1.0)


def folding(grid: Tensor, mask: Tensor, least: float) -> Tensor:
    """How far the determinant of the grid's Jacobian falls below `least` inside `mask` (B, 1, h, w), per sample
    (B,): near zero a fold is about to happen."""
    return (F.relu(least - jacobian(grid)) * mask[:, 0, 1:, 1:].detach()).mean((1, 2))


def align(theta: Tensor, mask: Tensor, expected_parse: Tensor) -> Tensor:
    """θ (B, 50) moved so that the garment's `mask` (B, 1, H, W) in [0, 1] covers the clothes of `expected_parse`
    (B, 20, h, w: logits). Per sample; the order and company of samples do not matter."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(theta.device.type, enabled=False):
        start = theta.detach().clone().float()
        garment = F.interpolate(mask.detach().clone().float(), size=SIZE, mode="area")
        probability = expected_parse.detach().clone().float().softmax(1)[:, list(L.TOP_LABELS)]
        target = F.interpolate(probability.sum(1, keepdim=True), size=SIZE, mode="area")
        moved = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([moved], lr=RATE)
        for _ in range(STEPS):
            grid = tps_grid(moved, SIZE)
            warped = sample(garment, grid, 0.0)
            loss = (1.0 - soft_iou(warped, target)).sum()
            loss = loss + STIFFNESS * len(theta) * second_differences(moved - start)
            loss = loss + FOLDING * folding(grid, warped, UNFOLDED).sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        # The probabilities of a garment that is not there give no direction.
        seen = target.sum((1, 2, 3)) > 0.01 * target[0].numel()
        return torch.where(seen[:, None], moved.detach(), start)
