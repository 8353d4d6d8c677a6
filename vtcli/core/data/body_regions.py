"""Parts of a body on label maps, found by labels and joints: hands, neck, torso, and what a change of top touches.

`parse` (B, H, W) are LIP labels, `keypoints` (B, 18, 3) COCO-18 joints (x, y in the map's pixels, confidence); masks are
(B, H, W) bool, on the map's device. Labels call the bare neck background, and an arm's end is not a label of its own,
so both need geometry.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L

DILATION = 10
"""How far `outside_region` reaches beyond the old garment and the arms, in pixels at 256×192."""


def has_label(parse: Tensor, labels: tuple[int, ...]) -> Tensor:
    """Where `parse` (B, H, W) is one of `labels`, (B, H, W) bool."""
    mask = parse == labels[0]
    for label in labels[1:]:
        mask = mask | (parse == label)
    return mask


def outside_region(parse: Tensor, keypoints: Tensor, dilation: int = DILATION, longer: int = 0) -> Tensor:
    """What a change of top may change, and `keep=outside` therefore blanks, (B, H, W) bool.

    The old garment, both arms without the hands, the neck, and the torso between shoulders and hips; dilated by
    `dilation` pixels and rounded, so that the old garment's outline cannot be read from the hole; never the head.
    With `longer`, as if the old garment reached that many pixels further down.
    """
    hands = hand_region(parse, keypoints)
    garment = has_label(parse, (*L.TOP_LABELS, L.JUMPSUITS, L.SCARF))
    if longer:
        above = F.pad(garment[:, None].float(), (0, 0, longer, 0))
        garment = (F.max_pool2d(above, (longer + 1, 1), stride=1)[:, 0] > 0) & ~hands
    arms = has_label(parse, L.ARM_LABELS)
    core = garment | ((arms | neck_region(parse, keypoints) | torso(parse.shape[1:], keypoints)) & ~hands)  # type: ignore[arg-type]
    rounded = _blurred(_dilated(core, dilation), dilation) > 0.4
    head = has_label(parse, L.HEAD_LABELS)
    return (rounded | core) & ~head & ~hands


def neck_region(parse: Tensor, keypoints: Tensor) -> Tensor:
    """Background that has the person on all four sides around the collar, (B, H, W) bool.

    VITON's maps call the neck background; geometry finds it: between nose and chest, between the shoulders.
    """
    person = parse > 0
    enclosed = ~person
    rows, columns = _pixels(parse.shape[1:], parse.device)  # type: ignore[arg-type]
    for dim, at in ((1, rows), (2, columns)):
        first = torch.where(person, at, torch.inf).amin(dim, keepdim=True)
        last = torch.where(person, at, -torch.inf).amax(dim, keepdim=True)
        enclosed = enclosed & (at > first) & (at < last)
    there = L.joints_present(keypoints)
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
    there = L.joints_present(keypoints)
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
    there = L.joints_present(keypoints)
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
    there = L.joints_present(keypoints)
    whole = there[:, L.R_HIP] & there[:, L.L_HIP] & there[:, L.NECK]
    return torch.where(
        whole, (hips - keypoints[:, L.NECK, :2]).norm(dim=1), torch.full_like(hips[:, 0], 60.0)
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


def _dilated(mask: Tensor, radius: int) -> Tensor:
    """Where `mask` (B, H, W) holds within a square of `radius` pixels."""
    return _spread(mask, radius, 0) > 0.5


def _blurred(mask: Tensor, radius: int) -> Tensor:
    """`mask` (B, H, W) after two box blurs, borders left out of the mean."""
    return _spread(mask, radius, 2)
