"""Stage `gmm`: the warp. L1 between the warped and the worn garment, mask L1, bending, M_exp's cross-entropy, and,
in `lite`, multi-scale SSIM.

`lite` sees the neckline that is worn in the first half of each batch only, so that it learns necklines from garments.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import has_label
from vtcli.core.data.label_metrics import LabelCounts, mask_iou
from vtcli.core.data.store import PreparedStore
from vtcli.core.models import alignment
from vtcli.core.models.common import GMM, GMMOutput, garment_input
from vtcli.core.models.lite_gmm import LiteGMM
from vtcli.core.models.presets import build_gmm
from vtcli.core.models.representation import represent
from vtcli.core.models.tps import jacobian, sample, second_differences, tps_grid
from vtcli.core.models.warping import channels_last, warp_garments
from vtcli.core.training.logs import contact_sheet
from vtcli.core.training.losses import (
    expected_parse_loss,
    folding,
    label_weights,
    multi_scale_ssim_loss,
    soft_iou,
)
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.pairs import PairBatches, Pairs, read_pairs
from vtcli.core.training.stage import Batch, Rows, Stage, Validation

# Weights of the losses. They are vtcli's own: CP-VTON's GMM has the L1 between the garments alone.
BENDING_WEIGHT = 0.05  # second differences of the grid of control points
OVERLAP_WEIGHT = 0.3  # one minus the soft IoU of the masks, beside their L1
FOLDING_WEIGHT = 2.0  # how far the warp's Jacobian determinant falls below LEAST_DETERMINANT
LEAST_DETERMINANT = 0.15  # area ratio; a warp folds at 0
EARLIER_PASS_WEIGHT = 0.5  # each pass's loss before the last one's
SSIM_WEIGHT = (
    0.7  # lite: multi-scale SSIM at half the size; L1 hardly sees a print that lies next to its place
)


class GMMStage(Stage):
    """Paired people and garments; the person is represented with `keep=head`, whatever the TOM keeps."""

    name = "gmm"
    best_by = "warp_iou"

    def __init__(self, options: TrainOptions, train: PreparedStore, val: Rows, rows: np.ndarray) -> None:
        super().__init__(options, val, len(rows))
        self.batch_size = options.batch_size or options.defaults.batch_size
        self.lr = options.defaults.lr
        self.pairs = PairBatches(options, train, rows, self.batch_size, 0.0)
        gmm = build_gmm(options.preset, options.aux)
        self.input_size, self.lite = gmm.input_size, isinstance(gmm, LiteGMM)
        self.network: nn.Module = gmm
        self.weights = label_weights(options.skin_weight, options.background_weight)

    def metadata(self) -> dict[str, Any]:
        return {"stage": "gmm", "preset": self.options.preset, "aux": self.options.aux}

    def batch(self, step: int) -> Batch:
        neckline = torch.from_numpy(self.pairs.positions < self.batch_size / 2)
        return {**self.pairs.batch(step), "neckline": neckline}

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        size = self.input_size
        pairs = Pairs.of(batch)
        neckline = batch["neckline"] if self.lite else None
        person = represent(pairs.image, pairs.parse, pairs.keypoints, "head", size, neckline=neckline)
        mask = pairs.front_mask if self.lite else pairs.cloth_mask
        garment = garment_input(pairs.cloth, mask, size)
        target = worn_garment(pairs, size)
        align = (alignment.align,) if self.lite else ()  # θ is aligned and refined as well
        out: GMMOutput = network(channels_last(person.channels), channels_last(garment), *align)
        ssim_weight = SSIM_WEIGHT if self.lite else 0.0
        parts = {
            "warp": _warp_loss(garment, out.theta, target, size, ssim_weight),
            "bending": second_differences(out.theta),
        }
        loss = parts["warp"] + BENDING_WEIGHT * parts["bending"]
        for theta in out.earlier:
            earlier = _warp_loss(garment, theta, target, size, ssim_weight)
            loss = loss + EARLIER_PASS_WEIGHT * (earlier + BENDING_WEIGHT * second_differences(theta))
        if out.expected_parse is not None:
            parts["parse"], parts["parse_accuracy"] = expected_parse_loss(
                out.expected_parse, pairs.parse, self.weights
            )
            loss = loss + self.options.aux_weight * parts["parse"]
        return loss, parts

    def validate(self, network: nn.Module) -> Validation:
        device = next(network.parameters()).device
        ious, outside_ious, predicted_ious, l1s, folds = [], [], [], [], []
        counts = LabelCounts()
        for start in range(0, len(self.val_rows), 25):
            batch = read_pairs(self.val_store, self.val_rows[start : start + 25])
            pairs = Pairs.of({k: v.to(device) for k, v in batch.items()})
            full = (int(pairs.parse.shape[1]), int(pairs.parse.shape[2]))
            given = (
                pairs.image,
                pairs.parse,
                pairs.keypoints,
                pairs.cloth,
                pairs.cloth_mask,
                pairs.front_mask,
            )
            warp = warp_garments(cast(GMM, network), *given)
            mask = warp.mask[:, 0] >= 0.5
            worn = has_label(pairs.parse, L.TOP_LABELS)
            ious.append(mask_iou(mask, worn))
            target = worn_garment(pairs, full)
            l1s.append((warp.cloth - target[:, :3]).abs().mean((1, 2, 3)))
            folds.append(((jacobian(warp.grid) <= 0) & mask[:, 1:, 1:]).flatten(1).any(1))
            if self.lite:
                predicted = warp_garments(cast(GMM, network), *given, align=False)
                predicted_ious.append(mask_iou(predicted.mask[:, 0] >= 0.5, worn))
                outside = warp_garments(cast(GMM, network), *given, neckline=False)
                outside_ious.append(mask_iou(outside.mask[:, 0] >= 0.5, worn))
            if warp.expected_parse is not None:
                expected = F.interpolate(warp.expected_parse, size=full, mode="bilinear", align_corners=False)
                counts.add(expected.argmax(1), pairs.parse)
        metrics = {
            "warp_iou": float(torch.cat(ious).mean()), "l1": float(torch.cat(l1s).mean()),
            "folded": float(torch.cat(folds).double().mean()),
        }  # fmt: skip
        if predicted_ious:
            # θ of the two passes, before it is aligned to M_exp and refined
            metrics["predicted_iou"] = float(torch.cat(predicted_ious).mean())
            # with a person representation that does not show the worn neckline
            metrics["outside_iou"] = float(torch.cat(outside_ious).mean())
        if counts.total:
            metrics |= {f"parse_{k}": v for k, v in counts.metrics().items() if k in ("accuracy", "mean_iou")}
        sheet = contact_sheet(pairs.image, pairs.cloth, warp.cloth, target[:, :3])
        return Validation(metrics, {"warps": sheet})


def worn_garment(pairs: Pairs, size: tuple[int, int]) -> Tensor:
    """The garment as worn, on white, and its mask: (B, 4, *size), RGB in [-1, 1], mask in [0, 1]."""
    mask = has_label(pairs.parse, L.TOP_LABELS)[:, None].float()
    return garment_input(pairs.image, mask, size)


def _warp_loss(
    garment: Tensor, theta: Tensor, target: Tensor, size: tuple[int, int], ssim_weight: float
) -> Tensor:
    """L1 of colours and mask, mask overlap, folding and SSIM of `garment` warped by `theta`, against `target`.

    Both garments (B, 4, *size): RGB on white in [-1, 1], and mask; `theta` (B, 2 · control points). A scalar.
    """
    grid = tps_grid(theta, size)
    colours = sample(garment[:, :3], grid, outside=1.0)
    mask = sample(garment[:, 3:], grid, outside=0.0)
    l1 = (colours - target[:, :3]).abs().mean() + (mask - target[:, 3:]).abs().mean()
    overlap = (1.0 - soft_iou(mask, target[:, 3:])).mean()
    loss = l1 + OVERLAP_WEIGHT * overlap + FOLDING_WEIGHT * folding(grid, mask, LEAST_DETERMINANT).mean()
    if ssim_weight:
        worn = target[:, 3:]
        halved = F.avg_pool2d(colours * worn + (1.0 - worn), 2)
        loss = loss + ssim_weight * multi_scale_ssim_loss(halved, F.avg_pool2d(target[:, :3], 2)).mean()
    return loss
