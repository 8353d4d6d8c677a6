"""The person representation I_p: body shape, kept pixels and pose, built in batches on the device.

22 channels in [-1, 1]: shape 1, kept pixels 3, pose 18 (VITON; CP-VTON, section 3.1), at the resolution that a
network takes. What is kept depends on `keep`:

- "head": face and hair on black (-1), all else is left to the network. CP-VTON's definition.
- "outside": every pixel that a change of top does not touch; only a grown, rounded region around the old
  garment, the arms and the neck is blank (-1). Hands are kept.

Labels call the bare neck background, so CP-VTON's shape has a notch there, and the notch is the worn garment's neckline:
networks that see it give it to every other garment. With "outside" it is filled.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L

CHANNELS = 22
SHAPE_GRID = 16
"""The body shape is reduced to H / 16 × W / 16 and enlarged again, so that it tells no garment's outline."""
SQUARE = 5.0
"""Half the side of a joint's square, in pixels at 256×192."""
GROWTH = 10
"""How far the region reaches beyond the old garment and the arms, in pixels at 256×192."""


@dataclass
class Representation:
    """`channels` (B, 22, h, w) in [-1, 1]; `region` (B, 1, h, w) in [0, 1]: what is drawn anew (1) or kept (0)."""

    channels: Tensor
    region: Tensor


def has_label(parse: Tensor, labels: tuple[int, ...]) -> Tensor:
    """Where `parse` (B, H, W) is one of `labels`, (B, H, W) bool."""
    mask = parse == labels[0]
    for label in labels[1:]:
        mask = mask | (parse == label)
    return mask


def represent(
    image: Tensor,
    parse: Tensor,
    keypoints: Tensor,
    keep: str,
    size: tuple[int, int],
    growth: int = GROWTH,
    longer: int = 0,
    neckline: Tensor | bool | None = None,
) -> Representation:
    """Build I_p at `size`, which divides the pictures' own size.

    `image` (B, 3, H, W) float in [-1, 1], `parse` (B, H, W) LIP labels, `keypoints` (B, 18, 3) in pixels; `growth`
    and `longer` as in `outside_region`; `neckline`: whether the shape shows the worn neckline, for all or
    (B,) bool for each (None: with "head" alone).
    """
    height, _width = parse.shape[1:]
    factor = height // size[0]
    head = has_label(parse, L.HEAD_LABELS)
    if keep == "head":
        kept = head
    elif keep == "outside":
        region = outside_region(parse, keypoints, growth, longer)
        kept = ~region
    else:
        raise ValueError(f"keep must be 'head' or 'outside', not {keep!r}")
    channels = image.new_empty((len(image), CHANNELS, *size))
    shows = keep == "head" if neckline is None else neckline
    channels[:, :1] = body_shape(_silhouette(parse, keypoints, shows), size)
    if factor > 1:
        channels[:, 1:4] = F.avg_pool2d(torch.where(kept[:, None], image, -1.0), factor)
    else:
        torch.where(kept[:, None], image, image.new_tensor(-1.0), out=channels[:, 1:4])
    pose_squares(keypoints, size, factor, out=channels[:, 4:])
    if keep == "head":
        part = image.new_ones((1, 1, 1, 1)).expand(len(image), 1, *size)
    else:
        part = region[:, None].float()
        part = F.avg_pool2d(part, factor) if factor > 1 else part
    return Representation(channels, part)


def mirror_representation(channels: Tensor) -> Tensor:
    """I_p (B, 22, h, w) of the mirrored person."""
    shape, kept, pose = channels.flip(3).split([1, 3, L.JOINTS], dim=1)
    return torch.cat([shape, kept, pose[:, L.FLIP_JOINTS.tolist()]], dim=1)


def _silhouette(parse: Tensor, keypoints: Tensor, neckline: Tensor | bool) -> Tensor:
    person = parse > 0
    if neckline is True:
        return person
    filled = person | neck_region(parse, keypoints)
    return filled if neckline is False else torch.where(_wide(neckline), person, filled)


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

    A joint is present when x > 1 and y > 1. Squares reach from -5 to +5 pixels at full size, ends included and
    truncated to whole pixels as Pillow's rectangles are.
    """
    x, y = keypoints[..., 0] / factor, keypoints[..., 1] / factor
    half = SQUARE / factor
    there = (keypoints[..., 0] > 1) & (keypoints[..., 1] > 1)
    if out is None:
        out = keypoints.new_empty((*keypoints.shape[:2], *size))
    out.fill_(-1.0)
    # Squares are few pixels: only theirs are looked at, and those beyond the square or the picture stay -1.
    steps = torch.arange(int(2.0 * half) + 2, device=keypoints.device)
    columns, in_x = _steps(x, half, steps, size[1])
    rows, in_y = _steps(y, half, steps, size[0])
    inside = (in_y & there[..., None])[..., :, None] & in_x[..., None, :]
    places = rows[..., :, None] * size[1] + columns[..., None, :]
    values = torch.where(inside, 1.0, -1.0).flatten(2)
    out.flatten(2).scatter_reduce_(2, places.flatten(2), values, "amax")
    return out


def _steps(at: Tensor, half: float, steps: Tensor, end: int) -> tuple[Tensor, Tensor]:
    """Whole pixels from `at` - `half` on, (…, n), inside of the picture, and which of them count."""
    pixels = torch.trunc(at - half)[..., None] + steps
    counted = (pixels <= torch.trunc(at + half)[..., None]) & (pixels >= 0) & (pixels < end)
    return pixels.clamp(0, end - 1).long(), counted


def outside_region(parse: Tensor, keypoints: Tensor, growth: int = GROWTH, longer: int = 0) -> Tensor:
    """What `keep=outside` draws anew, (B, H, W) bool.

    The old garment, both arms without the hands, the neck, and the torso between shoulders and hips; grown by
    `growth` pixels and rounded, so that the old garment's outline cannot be read from the hole; never the head.
    With `longer`, as if the old garment reached so many pixels further down.
    """
    hands = hand_region(parse, keypoints)
    garment = has_label(parse, (*L.TOP_LABELS, L.JUMPSUITS, L.SCARF))
    if longer:
        above = F.pad(garment[:, None].float(), (0, 0, longer, 0))
        garment = (F.max_pool2d(above, (longer + 1, 1), stride=1)[:, 0] > 0) & ~hands
    arms = has_label(parse, L.ARM_LABELS)
    core = garment | ((arms | neck_region(parse, keypoints) | torso(parse.shape[1:], keypoints)) & ~hands)  # type: ignore[arg-type]
    rounded = _blurred(_near(core, growth), growth) > 0.4
    head = has_label(parse, L.HEAD_LABELS)
    return (rounded | core) & ~head & ~hands


def neck_region(parse: Tensor, keypoints: Tensor) -> Tensor:
    """Background that has the person on all four sides around the collar, (B, H, W) bool.

    VITON's maps call the neck background; geometry finds it: between nose and chest, between the shoulders.
    """
    person = parse > 0
    enclosed = ~person
    for dim in (1, 2):
        enclosed = enclosed & (person.int().cumsum(dim) > 0)
        enclosed = enclosed & (person.flip(dim).int().cumsum(dim).flip(dim) > 0)
    rows, columns = _pixels(parse.shape[1:], parse.device)  # type: ignore[arg-type]
    there = (keypoints[..., 0] > 1) & (keypoints[..., 1] > 1)
    right, left, neck, nose = (keypoints[:, j, :2] for j in (L.R_SHOULDER, L.L_SHOULDER, L.NECK, L.NOSE))
    span = (right - left).norm(dim=1)
    top = torch.where(there[:, L.NOSE], nose[:, 1], neck[:, 1] - 0.5 * span)
    bottom = neck[:, 1] + 0.6 * span
    low_x, high_x = torch.minimum(right[:, 0], left[:, 0]), torch.maximum(right[:, 0], left[:, 0])
    whole = there[:, L.NECK] & there[:, L.R_SHOULDER] & there[:, L.L_SHOULDER]
    box = (
        (rows >= _wide(top))
        & (rows <= _wide(bottom))
        & (columns >= _wide(low_x))
        & (columns <= _wide(high_x))
    )
    return enclosed & box & whole[:, None, None]


def hand_region(parse: Tensor, keypoints: Tensor) -> Tensor:
    """Arm pixels beyond a wrist, (B, H, W) bool: a disc ahead of the wrist, along the forearm."""
    rows, columns = _pixels(parse.shape[1:], parse.device)  # type: ignore[arg-type]
    arms = has_label(parse, (*L.ARM_LABELS, L.GLOVE))
    there = (keypoints[..., 0] > 1) & (keypoints[..., 1] > 1)
    torso_length = _torso_length(keypoints)
    hands = torch.zeros_like(arms)
    for elbow, wrist in ((L.R_ELBOW, L.R_WRIST), (L.L_ELBOW, L.L_WRIST)):
        forearm = keypoints[:, wrist, :2] - keypoints[:, elbow, :2]
        length = forearm.norm(dim=1).clamp_min(1e-3)
        # A foreshortened forearm still ends in a hand of ordinary size.
        size = torch.maximum(length, 0.3 * torso_length)
        ahead = forearm / length[:, None]
        center = keypoints[:, wrist, :2] + ahead * (0.4 * size)[:, None]
        distance = (columns - _wide(center[:, 0])) ** 2 + (rows - _wide(center[:, 1])) ** 2
        along = (columns - _wide(keypoints[:, wrist, 0])) * _wide(ahead[:, 0]) + (
            rows - _wide(keypoints[:, wrist, 1])
        ) * _wide(ahead[:, 1])
        disc = (distance <= _wide(0.45 * size) ** 2) & (along >= 0)
        hands |= disc & (there[:, elbow] & there[:, wrist])[:, None, None]
    return hands & arms


def torso(size: tuple[int, int], keypoints: Tensor) -> Tensor:
    """The quadrilateral between shoulders and hips, a little longer below, (B, H, W) bool."""
    rows, columns = _pixels(size, keypoints.device)
    corners = [keypoints[:, j, :2] for j in (L.R_SHOULDER, L.L_SHOULDER, L.L_HIP, L.R_HIP)]
    down = 0.06 * (corners[2] + corners[3] - corners[0] - corners[1]) / 2
    corners[2], corners[3] = corners[2] + down, corners[3] + down
    there = (keypoints[..., 0] > 1) & (keypoints[..., 1] > 1)
    whole = there[:, L.R_SHOULDER] & there[:, L.L_SHOULDER] & there[:, L.R_HIP] & there[:, L.L_HIP]
    sides = []
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        edge = b - a
        sides.append(
            (columns - _wide(a[:, 0])) * _wide(edge[:, 1]) - (rows - _wide(a[:, 1])) * _wide(edge[:, 0])
        )
    stacked = torch.stack(sides)
    return ((stacked >= 0).all(0) | (stacked <= 0).all(0)) & whole[:, None, None]


def _torso_length(keypoints: Tensor) -> Tensor:
    hips = 0.5 * (keypoints[:, L.R_HIP, :2] + keypoints[:, L.L_HIP, :2])
    there = (keypoints[:, L.R_HIP, 0] > 1) & (keypoints[:, L.L_HIP, 0] > 1) & (keypoints[:, L.NECK, 0] > 1)
    return torch.where(
        there, (hips - keypoints[:, L.NECK, :2]).norm(dim=1), torch.full_like(hips[:, 0], 60.0)
    )


def _pixels(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    return (
        torch.arange(size[0], device=device).view(1, -1, 1).float(),
        torch.arange(size[1], device=device).view(1, 1, -1).float(),
    )


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1)


@lru_cache(maxsize=64)
def _band(length: int, radius: int, device: str, blurs: int) -> Tensor:
    """(length, length), 1 where two positions are at most `radius` apart; with `blurs`, rows that sum to 1, to that
    power: the mean over neighbours, so many times in a row."""
    place = torch.arange(length)
    band = ((place[:, None] - place).abs() <= radius).double()
    if blurs:
        band = torch.linalg.matrix_power(band / band.sum(1, keepdim=True), blurs)
    return band.float().to(device)


def _spread(mask: Tensor, radius: int, blurs: int) -> Tensor:
    # A separable filter of 0s and 1s this wide is quicker as two matrix products than as two filters.
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(mask.device.type, enabled=False):
        tall, wide = (_band(n, radius, str(mask.device), blurs) for n in mask.shape[1:])
        spread: Tensor = tall @ mask.float() @ wide.T
    return spread


def _near(mask: Tensor, radius: int) -> Tensor:
    """Where `mask` (B, H, W) holds within a square of `radius` pixels."""
    return _spread(mask, radius, 0) > 0.5


def _blurred(mask: Tensor, radius: int) -> Tensor:
    """`mask` (B, H, W) after two box blurs, borders left out of the mean."""
    return _spread(mask, radius, 2)
