"""The person representation I_p: body shape, kept pixels and pose, built in batches on the device.

22 channels in [-1, 1]: shape 1, kept pixels 3, pose 18 (VITON; CP-VTON, section 3.1), at the resolution that a
network takes. What is kept depends on `keep`:

- "head": face and hair on black (-1), all else is left to the network. CP-VTON's definition.
- "outside": every pixel that a change of top does not touch; only a dilated, rounded region around the old
  garment, the arms and the neck is blank (-1). Hands are kept.

The label maps call the bare neck background. So CP-VTON's shape has a notch there, the worn garment's neckline, and
networks that see it draw it on every other garment. With "outside" it is filled.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import DILATION, has_label, neck_region, outside_region
from vtcli.core.models.blocks import cell_means

CHANNELS = 22
SHAPE_GRID = 16
"""The body shape is reduced to H / 16 × W / 16 and enlarged again, so that it tells no garment's outline."""
SQUARE = 5.0
"""Half the side of a joint's square, in pixels at 256×192."""


@dataclass
class Representation:
    """`channels` (B, 22, h, w) in [-1, 1]; `region` (B, 1, h, w) in [0, 1]: what the TOM draws (1) and what is kept (0)."""

    channels: Tensor
    region: Tensor


def represent(
    image: Tensor,
    parse: Tensor,
    keypoints: Tensor,
    keep: str,
    size: tuple[int, int],
    dilation: int = DILATION,
    longer: int = 0,
    neckline: Tensor | bool | None = None,
) -> Representation:
    """Build I_p at `size`, which divides the pictures' own size.

    `image` (B, 3, H, W) float in [-1, 1], `parse` (B, H, W) LIP labels, `keypoints` (B, 18, 3) in pixels; `dilation`
    and `longer` as in `outside_region`; `neckline`: whether the shape shows the worn neckline, for all or
    (B,) bool for each (None: with "head" alone).
    """
    height, _width = parse.shape[1:]
    factor = height // size[0]
    head = has_label(parse, L.HEAD_LABELS)
    if keep == "head":
        kept = head
    elif keep == "outside":
        region = outside_region(parse, keypoints, dilation, longer)
        kept = ~region
    else:
        raise ValueError(f"keep must be 'head' or 'outside', not {keep!r}")
    channels = image.new_empty((len(image), CHANNELS, *size))
    shows = keep == "head" if neckline is None else neckline
    channels[:, :1] = body_shape(_silhouette(parse, keypoints, shows), size)
    if factor > 1:
        channels[:, 1:4] = cell_means(torch.where(kept[:, None], image, -1.0), factor)
    else:
        channels[:, 1:4].copy_(image).masked_fill_(~kept[:, None], -1.0)
    pose_squares(keypoints, size, factor, out=channels[:, 4:])
    if keep == "head":
        part = image.new_ones((1, 1, 1, 1)).expand(len(image), 1, *size)
    else:
        part = cell_means(region[:, None].float(), factor)
    return Representation(channels, part)


def _silhouette(parse: Tensor, keypoints: Tensor, neckline: Tensor | bool) -> Tensor:
    person = parse > 0
    if neckline is True:
        return person
    filled = person | neck_region(parse, keypoints)
    return filled if neckline is False else torch.where(neckline.view(-1, 1, 1), person, filled)


def body_shape(silhouette: Tensor, size: tuple[int, int]) -> Tensor:
    """A person's `silhouette` (B, H, W) bool, blurred by way of a 16 times smaller grid: (B, 1, *size) in [-1, 1]."""
    small = (silhouette.shape[1] // SHAPE_GRID, silhouette.shape[2] // SHAPE_GRID)
    person = silhouette[:, None].float()
    blurred = F.interpolate(person, size=small, mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(blurred, size=size, mode="bilinear", align_corners=False) * 2.0 - 1.0


def pose_squares(
    keypoints: Tensor, size: tuple[int, int], factor: int = 1, out: Tensor | None = None
) -> Tensor:
    """One channel per joint, (B, 18, *size), written to `out` if given: 1 in a square around it, -1 elsewhere.

    Absent joints have no square. Squares reach from -5 to +5 pixels at full size, ends included and
    truncated to whole pixels as Pillow's rectangles are.
    """
    x, y = keypoints[..., 0] / factor, keypoints[..., 1] / factor
    half = SQUARE / factor
    there = L.joints_present(keypoints)
    if out is None:
        out = keypoints.new_empty((*keypoints.shape[:2], *size))
    out.fill_(-1.0)
    # Squares are few pixels, and only those are written; pixels beyond the square or the picture stay -1.
    steps = torch.arange(int(2.0 * half) + 2, device=keypoints.device)
    columns, in_x = _steps(x, half, steps, size[1])
    rows, in_y = _steps(y, half, steps, size[0])
    inside = (in_y & there[..., None])[..., :, None] & in_x[..., None, :]
    places = rows[..., :, None] * size[1] + columns[..., None, :]
    values = torch.where(inside, 1.0, -1.0).flatten(2)
    out.flatten(2).scatter_reduce_(2, places.flatten(2), values, "amax")
    return out


def _steps(at: Tensor, half: float, steps: Tensor, end: int) -> tuple[Tensor, Tensor]:
    """Whole pixels from `at` - `half` on, (…, n), clamped to the picture, and which of them belong to the square."""
    pixels = torch.trunc(at - half)[..., None] + steps
    counted = (pixels <= torch.trunc(at + half)[..., None]) & (pixels >= 0) & (pixels < end)
    return pixels.clamp(0, end - 1).long(), counted
