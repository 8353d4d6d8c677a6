"""What the parser says of a photo, refined by what is known of people: VITON's neck, hair over garments, joints on the
person, other people in the picture, and people whom the picture cuts off."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import likeliest
from vtcli.core.system.runtime import exact
from vtcli.core.tryon.photos.annotate import SURE
from vtcli.core.tryon.photos.finding import others


def on_person(keypoints: Tensor, parse: Tensor, reach: int = 8) -> Tensor:
    """`keypoints` (B, 18, 3) without the weak ones that lie more than `reach` pixels off the person of `parse`
    (B, H, W): on street photos most weak joints are right, and the wrong ones lie somewhere in the scenery."""
    near = _near(parse > 0, reach)
    x = keypoints[..., 0].round().long().clamp(0, parse.shape[2] - 1)
    y = keypoints[..., 1].round().long().clamp(0, parse.shape[1] - 1)
    rows = torch.arange(len(parse), device=parse.device)[:, None]
    kept = near[rows, y, x] | (keypoints[..., 2] >= SURE)
    return keypoints * kept[..., None]


CHIN = 0.44
"""How far the chin lies below the nose, as a share of the way to the neck joint: 0.41 is the median over VITON, 0.49
the 95th percentile. Half the face's width is about as long."""


def refine_neck(probabilities: Tensor, keypoints: Tensor) -> Tensor:
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
    refined = probabilities.clone()
    refined[:, L.FACE] = face * (1.0 - throat)
    refined[:, L.BACKGROUND] = probabilities[:, L.BACKGROUND] + face * throat
    return refined


LOCK = 0.03
"""Share of the head below which hair that hangs together with nothing of it is none: skin in a keyhole, a dark print."""


def without_lone_hair(probabilities: Tensor) -> Tensor:
    """Probabilities (B, 20, H, W) in which small pieces of hair apart from the head are what lies around them: what is hair
    is never drawn anew. The same tensor where there are none."""
    refined = probabilities
    for i, labels in enumerate(likeliest(probabilities).cpu().numpy()):
        head = np.isin(labels, (*L.HEAD_LABELS, L.SCARF)).astype(np.uint8)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(head, connectivity=8)
        for part in range(1, count):
            piece = parts == part
            small = stats[part, cv2.CC_STAT_AREA] < LOCK * head.sum()
            if not small or not (labels[piece] == L.HAIR).all():
                continue
            ring = (cv2.dilate(piece.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & ~piece
            if not np.isin(labels[ring], L.TOP_LABELS).any():
                continue
            if refined is probabilities:
                refined = probabilities.clone()
            where = torch.from_numpy(piece).to(refined.device)
            around = int(np.bincount(labels[ring]).argmax())
            refined[i, around] += torch.where(where, refined[i, L.HAIR], 0.0)
            refined[i, L.HAIR] = torch.where(where, 0.0, refined[i, L.HAIR])
    return refined


STRANDS = 9
"""How far from a garment hair may be the garment seen between strands, in pixels at 256×192."""


def refine_hair(probabilities: Tensor, photo: Tensor) -> Tensor:
    """Give the garment what of the hair near it has the garment's colour: a parser draws long hair as one solid
    shape, and what it covers is never drawn anew.

    `probabilities` (B, 20, H, W), `photo` (B, 3, H, W) in [-1, 1]. Colours of sure hair and of sure garment, as one
    Gaussian each, decide; unchanged where they are too much alike.
    """
    refined = probabilities.clone()
    labels = likeliest(probabilities)
    top = probabilities[:, list(L.TOP_LABELS)].sum(1)
    there = exact(photo.device)
    for i in range(len(photo)):
        hair = labels[i] == L.HAIR
        near = _near(top[i] > 0.5, STRANDS) & hair
        sure = [probabilities[i, L.HAIR] > 0.9, top[i] > 0.9]
        # Hair beside the garment is what is in doubt, garment right at the hair likewise.
        sure = [sure[0] & ~near, sure[1] & ~_near(hair, 3)]
        if not bool(near.any()) or min(int(mask.sum()) for mask in sure) < 100:
            continue
        colours = [photo[i][:, mask].to(there).double() for mask in sure]
        means = [c.mean(1) for c in colours]
        spreads = [torch.cov(c) + 1e-3 * torch.eye(3, dtype=torch.float64, device=c.device) for c in colours]
        apart = means[0] - means[1]
        if float(apart @ torch.linalg.solve(spreads[0] + spreads[1], apart)) < 1.5:
            continue
        pixels = photo[i][:, near].to(there).double()
        strange = []
        for mean, spread in zip(means, spreads, strict=True):
            rest = pixels - mean[:, None]
            strange.append((rest * torch.linalg.solve(spread, rest)).sum(0) + torch.logdet(spread))
        share = (
            torch.sigmoid((strange[0] - strange[1]) / 2.0 - 2.0)
            .to(probabilities.dtype)
            .to(probabilities.device)
        )
        moved = torch.zeros_like(top[i])
        moved[near] = share
        moved = F.avg_pool2d(moved[None, None], 3, 1, 1)[0, 0] * near * probabilities[i, L.HAIR]
        refined[i, L.HAIR] -= moved
        refined[i, L.UPPER_CLOTHES] += moved
    return refined


def _near(mask: Tensor, radius: int) -> Tensor:
    """Where `mask` (B, H, W) or (H, W) bool holds within a square of `radius` pixels."""
    side = 2 * radius + 1
    below = F.max_pool2d(mask.float().view(-1, 1, *mask.shape[-2:]), (side, 1), 1, (radius, 0))
    return F.max_pool2d(below, (1, side), 1, (0, radius)).view(mask.shape) > 0


def without_others(probabilities: Tensor, box: tuple[float, float, float, float]) -> Tensor:
    """Other people than the one in `box` (left, top, right, bottom in window pixels) become background.

    `probabilities` (1, 20, H, W)."""
    parse = likeliest(probabilities)[0].cpu().numpy()
    foreign = others(parse, box)
    if not foreign.any():
        return probabilities
    there = torch.from_numpy(foreign).to(probabilities.device)
    probabilities = probabilities * (~there)
    probabilities[:, L.BACKGROUND] += there.float()
    return probabilities


def carry_on_below(probabilities: Tensor, lowest: int) -> Tensor:
    """Where the window reaches below the photo, whose last row in it is `lowest`, the person goes on as the photo's last
    rows show it: the networks know people down to the hips. `probabilities` (1, 20, H, W)."""
    if lowest >= probabilities.shape[2] - 1:
        return probabilities
    lowest = max(1, lowest)
    probabilities = probabilities.clone()
    last = probabilities[:, :, max(0, lowest - 24) : lowest].mean(2, keepdim=True)
    probabilities[:, :, lowest:] = last
    return probabilities
