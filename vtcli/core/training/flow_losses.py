"""Losses of lite's GMM: of a dense flow against photos of people who wear the garment, and against the truth where people
are synthetic. All are means per sample (B,); the weights are vtcli's own, set by hand on the validation pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import has_label, torso
from vtcli.core.data.pixels import share_of
from vtcli.core.models.blocks import cell_means
from vtcli.core.models.flow import offset_grid, resize_offsets, scale_xy, spline_offsets
from vtcli.core.models.tps import sample, second_differences
from vtcli.core.training.losses import multi_scale_ssim_loss, soft_iou
from vtcli.core.training.pairs import Pairs

# The picture, from the warped and the worn garment
COLOUR_WEIGHT = 0.25  # L1 of colours where the garment is worn, by its share of the picture
EDGE_WEIGHT = 0.25  # L1 of the masks, likewise
OVERLAP_WEIGHT = 0.8  # one minus the masks' soft IoU
SSIM_WEIGHT = 0.7  # multi-scale SSIM at half the size
# The flow's smoothness
BENDING_WEIGHT = 0.22  # second differences of the offsets
BENDING_OUTSIDE = 0.25  # how much they count where no garment is worn, and how much more …
BENDING_TORSO = 1.0  # … on the torso, where prints are
SIMILARITY_WEIGHT = 0.05  # difference of the Jacobian from a turn and a scale, on the torso
FOLDING_WEIGHT = 2.0  # how far the Jacobian's determinant falls below LEAST_DETERMINANT
LEAST_DETERMINANT = 0.2  # area ratio; a warp folds at 0
# The truth, on synthetic people
TRUTH_WEIGHT = 0.04  # distance of the finest flow from the true one, per pixel of 256×192
COARSE_WEIGHT = 0.012  # the same of each coarser level
SYNTHETIC_PICTURE = 0.3  # how much the picture counts beside the truth
# Spline and M_exp
SPLINE_WEIGHT = 0.4  # the spline's own losses
SPLINE_TRUTH_WEIGHT = 0.02  # its distance from the true flow, per pixel, within them
SPLINE_BENDING_WEIGHT = 0.05  # second differences of θ, within them
AGREEMENT_WEIGHT = 0.3  # difference of the warped mask from M_exp's clothes

Parts = dict[str, Tensor]


def flow_loss(
    flow: list[Tensor], theta: Tensor, expected: Tensor | None, garment: Tensor, target: Tensor, pairs: Pairs
) -> tuple[Tensor, Parts]:
    """The loss of a flow, offsets (B, 2, h, w) from coarse to fine, and of the spline of θ (B, 50) that it starts from.

    `garment` and `target` (B, 4, H, W): the garment as the shop shows it and as it is worn, on white, and their masks;
    `expected`: logits of M_exp (B, 20, H, W), or None.
    """
    size = (garment.shape[2], garment.shape[3])
    body, counted = _torso(pairs, size), _counted(pairs, size)
    finest = flow[-1]
    picture, mask = picture_loss(garment, finest, target, counted)
    known, truth = true_offsets(pairs, size)
    synthetic = known.any(3).any(2).any(1)
    share = torch.where(synthetic, SYNTHETIC_PICTURE, 1.0)
    errors = [truth_error(offsets, truth, known) for offsets in flow]
    on_torso = _resized(body, finest) * _resized(target[:, 3:], finest)
    bending = bending_loss(finest, _resized(target[:, 3:], finest), on_torso)
    similarity = similarity_loss(finest, on_torso)
    folding = folding_loss(finest, _resized(mask, finest))
    total = share * picture + BENDING_WEIGHT * bending + SIMILARITY_WEIGHT * similarity
    total = total + FOLDING_WEIGHT * folding + TRUTH_WEIGHT * errors[-1]
    for error in errors[:-1]:
        total = total + COARSE_WEIGHT * error
    spline = spline_offsets(theta, (32, 24))
    of_spline, _ = picture_loss(garment, spline, target, counted)
    of_spline = share * of_spline + SPLINE_TRUTH_WEIGHT * truth_error(spline, truth, known)
    loss = (total + SPLINE_WEIGHT * of_spline).mean()
    loss = loss + SPLINE_WEIGHT * SPLINE_BENDING_WEIGHT * second_differences(theta)
    parts = {"warp": picture.mean(), "bending": bending.mean(), "similarity": similarity.mean()}
    # 0 in a batch without synthetic people; the device is not asked whether there are any, which would make it wait
    parts["truth"] = (errors[-1] * synthetic).sum() / synthetic.sum().clamp_min(1)
    if expected is not None:
        clothes = share_of(expected.float().softmax(1), L.TOP_LABELS)
        parts["agreement"] = ((mask - clothes).abs() * counted).mean()
        loss = loss + AGREEMENT_WEIGHT * parts["agreement"]
    return loss, parts


def picture_loss(garment: Tensor, offsets: Tensor, target: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """The garment warped by `offsets` (B, 2, h, w) against `target`, both (B, 4, H, W), per sample (B,); and the warped
    mask (B, 1, H, W). Masks are compared where `counted` (B, 1, H, W) is 1."""
    grid = offset_grid(resize_offsets(offsets, (garment.shape[2], garment.shape[3])))
    colours, mask = sample(garment[:, :3], grid, 1.0), sample(garment[:, 3:], grid, 0.0)
    worn = target[:, 3:]
    share = worn.mean((1, 2, 3)).clamp_min(0.02)
    colour = ((colours - target[:, :3]).abs() * worn).mean((1, 2, 3)) / share
    edge = ((mask - worn).abs() * counted).mean((1, 2, 3)) / share
    overlap = 1.0 - soft_iou(mask * counted, worn * counted)
    ours, theirs = (cell_means(x * worn + (1.0 - worn), 2) for x in (colours, target[:, :3]))
    loss = COLOUR_WEIGHT * colour + EDGE_WEIGHT * edge + OVERLAP_WEIGHT * overlap
    return loss + SSIM_WEIGHT * multi_scale_ssim_loss(ours, theirs), mask


def true_offsets(pairs: Pairs, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Where the true flow is known, (B, 1, *size) bool, and the true offsets (B, 2, *size), 0 elsewhere."""
    height, width = pairs.cloth.shape[2:]
    places = pairs.correspondence.permute(0, 3, 1, 2)
    step = height // places.shape[2]
    rows, columns = (torch.arange(0, n, step, device=places.device) for n in (height, width))
    own = torch.stack(
        torch.meshgrid(columns, rows, indexing="xy")
    ).float()  # the pixels that the places are for
    known = torch.isfinite(places[:, :1])
    offsets = scale_xy(torch.nan_to_num(places) - own, 2.0 / (width - 1), 2.0 / (height - 1)) * known
    if offsets.shape[2:] != size:
        offsets, seen = (F.interpolate(x.float(), size=size, mode="nearest") for x in (offsets, known))
        known = seen > 0.5
    return known, offsets


def truth_error(offsets: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Mean distance of `offsets` (B, 2, h, w) from the `truth` (B, 2, H, W) where it is `known` (B, 1, H, W), in pixels
    of 256×192, smooth near 0; 0 for samples without a truth: (B,)."""
    difference = truth - resize_offsets(offsets, (truth.shape[2], truth.shape[3]))
    distance = (scale_xy(difference, 95.5, 127.5).square().sum(1, keepdim=True) + 0.25).sqrt() * known
    return distance.sum((1, 2, 3)) / known.sum((1, 2, 3)).clamp_min(1)


def bending_loss(offsets: Tensor, worn: Tensor, on_torso: Tensor) -> Tensor:
    """Mean magnitude of the offsets' second differences, in cells, weighted by where a garment is `worn` and the torso
    is, (B, 1, h, w) in [0, 1]: (B,). Magnitudes and not squares, so that a warp may bend in few places, at a shoulder."""
    cells = _cells(offsets)
    inner = cells[:, :, 1:-1, 1:-1]
    rows = cells[:, :, 2:, 1:-1] - 2 * inner + cells[:, :, :-2, 1:-1]
    columns = cells[:, :, 1:-1, 2:] - 2 * inner + cells[:, :, 1:-1, :-2]
    cross = (cells[:, :, 2:, 2:] - cells[:, :, 2:, :-2] - cells[:, :, :-2, 2:] + cells[:, :, :-2, :-2]) / 4
    bent = (_magnitude(rows) + _magnitude(columns) + 2 * _magnitude(cross)).sum(1, keepdim=True)
    weight = BENDING_OUTSIDE + (1.0 - BENDING_OUTSIDE) * worn + BENDING_TORSO * on_torso
    return (bent * weight[:, :, 1:-1, 1:-1]).mean((1, 2, 3))


def similarity_loss(offsets: Tensor, on_torso: Tensor) -> Tensor:
    """How far the warp's Jacobian is from a turn and a scale (the Cauchy-Riemann equations), on the torso: (B,). Prints
    stay upright and in proportion."""
    xu, yu, xv, yv = _jacobian(offsets)
    unlike = (_magnitude(xu - yv) + _magnitude(xv + yu)) * on_torso[:, 0, 1:, 1:]
    return unlike.sum((1, 2)) / on_torso.sum((1, 2, 3)).clamp_min(20.0)


def folding_loss(offsets: Tensor, mask: Tensor) -> Tensor:
    """How far the Jacobian's determinant falls below `LEAST_DETERMINANT` inside of the warped `mask`: (B,)."""
    xu, yu, xv, yv = _jacobian(offsets)
    return (F.relu(LEAST_DETERMINANT - (xu * yv - xv * yu)) * mask[:, 0, 1:, 1:].detach()).mean((1, 2))


def _counted(pairs: Pairs, size: tuple[int, int]) -> Tensor:
    """Where the garment's mask can be judged, (B, 1, *size) of 0 and 1: not under hair, and not under arms in front of
    the torso, where the garment may go on unseen."""
    parse = F.interpolate(pairs.parse[:, None].float(), size=size, mode="nearest")[:, 0].to(torch.uint8)
    arms = has_label(parse, L.ARM_LABELS) & (_torso(pairs, size)[:, 0] > 0.5)
    return (~(has_label(parse, (L.HAIR, L.SCARF, L.GLOVE)) | arms))[:, None].float()


def _torso(pairs: Pairs, size: tuple[int, int]) -> Tensor:
    full = (int(pairs.parse.shape[1]), int(pairs.parse.shape[2]))
    return F.interpolate(torso(full, pairs.keypoints)[:, None].float(), size=size, mode="nearest")


def _resized(mask: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(mask, size=(like.shape[2], like.shape[3]), mode="area")


def _cells(offsets: Tensor) -> Tensor:
    """Offsets in cells of their own map."""
    height, width = offsets.shape[2:]
    return scale_xy(offsets, (width - 1) / 2, (height - 1) / 2)


def _jacobian(offsets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """∂x/∂u, ∂y/∂u, ∂x/∂v, ∂y/∂v of the warp (x, y)(u, v), each (B, h - 1, w - 1)."""
    cells = _cells(offsets)
    along_u = cells[:, :, :-1, 1:] - cells[:, :, :-1, :-1]
    along_v = cells[:, :, 1:, :-1] - cells[:, :, :-1, :-1]
    return along_u[:, 0] + 1.0, along_u[:, 1], along_v[:, 0], along_v[:, 1] + 1.0


def _magnitude(x: Tensor) -> Tensor:
    return (x.square() + 1e-6).sqrt()
