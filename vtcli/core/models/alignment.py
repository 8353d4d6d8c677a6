"""Alignment of the warp to M_exp: θ is moved until the warped garment covers what M_exp calls clothes.

The GMM predicts M_exp and θ side by side (Ayush et al., figure 1). A label map is easier to predict than a spline's 50
numbers. The grid is linear in θ, so bringing the two together is a small least-squares problem: a few Gauss-Newton
steps, with a penalty on the bending of the change. Nothing is learned here. A GMM without the auxiliary decoder has no
M_exp and is not aligned.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.models.tps import (
    POINTS,
    affine_part,
    jacobian,
    sample,
    second_difference_matrix,
    spline_weights,
    tps_grid,
)

SIZE = (64, 48)
"""Height and width at which masks are compared."""
LEVELS = ((1, 3), (0, 5))
"""(radius of the blur in pixels of `SIZE`, Gauss-Newton steps), from coarse to fine."""
EVEN = 0.45
"""Probability from which a pixel counts as clothes. It is below a half, because M_exp's loss gives background and skin a
raised weight (Ayush et al., section 2), so that M_exp names clothes too rarely."""
SHARPNESS = 20.0
"""Slope of the sigmoid around `EVEN`, per unit of probability."""
STIFFNESS = 0.02
"""Weight of the change's bending against the mean squared difference of the masks."""
LEAST_WEIGHT = 0.2
"""Weight of pixels where hair is expected: the garment may go on behind it."""
DAMPING = 1e-4
"""Added to the diagonal of the Gauss-Newton matrix, so that it can be solved."""
UNFOLDED = 0.02
"""Least determinant of the grid's Jacobian inside the garment; 1 is the identity, 0 a fold."""


def align(theta: Tensor, mask: Tensor, expected_parse: Tensor) -> Tensor:
    """θ (B, 50) moved so that the garment's `mask` (B, 1, H, W) in [0, 1] covers the clothes of `expected_parse`
    (B, 20, h, w: probabilities). A sample's result does not depend on the others. Where the garment would
    fold, θ is moved or bent less."""
    with torch.autocast(theta.device.type, enabled=False):
        start = theta.float()
        garment = F.interpolate(mask.float(), size=SIZE, mode="area")
        clothes = F.interpolate(_clothes(expected_parse.float()), size=SIZE, mode="area")
        target = torch.sigmoid((clothes - EVEN) * SHARPNESS)
        hair = F.interpolate(expected_parse.float()[:, L.HAIR, None], size=SIZE, mode="area")
        weight = (1.0 - hair).clamp_min(LEAST_WEIGHT).flatten(1)
        moved = start
        for radius, steps in LEVELS:
            picture, wanted = _with_gradient(_blur(garment, radius)), _blur(target, radius).flatten(1)
            for _ in range(steps):
                moved = _step(moved, start, picture, wanted, weight)
        # Where M_exp expects hardly any clothes, its probabilities give no direction.
        seen = clothes.sum((1, 2, 3)) > 0.01 * clothes[0].numel()
        return unfolded(start, torch.where(seen[:, None], moved, start), mask)


def _clothes(expected_parse: Tensor) -> Tensor:
    """Clothes against the likeliest other label, (B, 1, h, w) in [0, 1]: a network that has trained little spreads much
    of its probability over labels that it does not mean."""
    top = list(L.TOP_LABELS)
    clothes = expected_parse[:, top].sum(1, keepdim=True)
    others = [label for label in range(L.LABELS) if label not in top]
    rival = expected_parse[:, others].amax(1, keepdim=True)
    return clothes / (clothes + rival).clamp_min(1e-6)


def _step(theta: Tensor, start: Tensor, picture: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """One Gauss-Newton step on the squared difference of warped mask and `wanted`, `weight`ed (B, h * w)."""
    basis = spline_weights(SIZE, theta.device)
    bending = second_difference_matrix(theta.device)
    warped = sample(picture, tps_grid(theta, SIZE), 0.0).flatten(2)
    scale = weight * wanted.shape[1] ** -0.5
    slopes = torch.cat([warped[:, 1:2] * basis, warped[:, 2:3] * basis], dim=1) * scale[:, None]
    rest = (warped[:, 0] - wanted) * scale
    # In float32 the last digits of the sums depend on the batch size, and the solution enlarges that.
    slopes, rest, bending = slopes.double(), rest.double(), bending.double()
    damping = DAMPING * torch.eye(2 * POINTS, dtype=torch.float64, device=theta.device)
    curvature = slopes @ slopes.mT + STIFFNESS * bending + damping
    slope = (slopes @ rest[..., None])[..., 0] + STIFFNESS * (theta - start).double() @ bending
    return theta - torch.linalg.solve(curvature, slope).float()


def unfolded(start: Tensor, moved: Tensor, mask: Tensor) -> Tensor:
    """θ as far on the way from `start` to `moved`, both (B, 50), as the garment of `mask` (B, 1, H, W) does not fold.
    Where `start` folds it already: `start` with as much of its bending as does not."""
    garment = F.interpolate(mask.float(), size=SIZE, mode="area")
    flat = (start.view(-1, 2, POINTS) @ affine_part(start.device)).flatten(1)
    candidates = [start + share * (moved - start) for share in (1.0, 0.75, 0.5, 0.25, 0.0)]
    candidates += [flat + share * (start - flat) for share in (0.8, 0.6, 0.4, 0.2)]
    out, found = flat, torch.zeros(len(start), dtype=torch.bool, device=start.device)
    for candidate in candidates:
        grid = tps_grid(candidate, SIZE)
        inside = sample(garment, grid, 0.0)[:, 0, 1:, 1:] > 0.3
        good = ~((jacobian(grid) < UNFOLDED) & inside).flatten(1).any(1) & ~found
        out = torch.where(good[:, None], candidate, out)
        found |= good
        if bool(found.all()):
            break
    return out


def _blur(mask: Tensor, radius: int) -> Tensor:
    for _ in range(2 if radius else 0):
        mask = F.avg_pool2d(mask, 2 * radius + 1, 1, radius, count_include_pad=False)
    return mask


def _with_gradient(mask: Tensor) -> Tensor:
    """(B, 1, h, w) → (B, 3, h, w): the mask and its derivatives by x and y, both from -1 to 1 over the picture."""
    height, width = mask.shape[2:]
    padded = F.pad(mask, (1, 1, 1, 1), mode="replicate")
    by_x = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) * ((width - 1) / 4)
    by_y = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) * ((height - 1) / 4)
    return torch.cat([mask, by_x, by_y], dim=1)
