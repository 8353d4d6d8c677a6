"""Stage `gmm`: the warp. L1 between warped garment and worn garment, mask L1, bending, M_exp, and, in `lite`, SSIM.

`lite` sees the neckline that is worn in the first half of each batch alone: it must know necklines from garments."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import grey_levels
from vtcli.core.data.store import PreparedStore
from vtcli.core.models.gmm import GMM, GMM_PRESETS, GMMOutput, garment_input
from vtcli.core.models.representation import has_label, represent
from vtcli.core.models.tps import jacobian, sample, second_differences, tps_grid
from vtcli.core.models.warping import channels_last, warp_garments
from vtcli.core.training.losses import expected_parse_loss, folding, label_weights, soft_iou, structure
from vtcli.core.training.metrics import LabelCounts, mask_iou
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.pairs import PairBatches, Pairs, read_pairs
from vtcli.core.training.stage import Batch, Rows, Stage, Validation

BENDING = 0.05
OVERLAP = 0.3
"""Weight of the masks' overlap (one minus their soft IoU) beside their L1."""
FOLDING = 2.0
UNFOLDED = 0.15
"""The determinant of the grid's Jacobian below which a warp is pushed back, and the weight of that."""
EARLIER = 0.5
"""Weight of the loss of each pass before the last."""
STRUCTURE = 0.7
"""Weight of what is missing from SSIM inside the worn garment, at half the size and coarser: L1 hardly sees a print
that lies next to its place."""


class GMMStage(Stage):
    """Paired people and garments; the person is represented with `keep=head`, whatever the TOM keeps."""

    name = "gmm"
    best_by = "warp_iou"

    def __init__(self, options: TrainOptions, train: PreparedStore, val: Rows, rows: np.ndarray) -> None:
        super().__init__(options, val, len(rows))
        self.preset = GMM_PRESETS[options.preset]
        self.batch_size = options.batch_size or (4 if self.preset.classic else 32)
        self.lr = 1e-4 if self.preset.classic else 1e-3
        self.pairs = PairBatches(options, train, rows, self.batch_size, 0.0)
        self.network: nn.Module = GMM(self.preset, options.aux)
        self.weights = label_weights(options.skin_weight, options.background_weight)
        self.aux_weight = 0.1 if options.aux_weight is None else options.aux_weight

    def facts(self) -> dict[str, Any]:
        return {"stage": "gmm", "preset": self.options.preset, "aux": self.options.aux}

    def batch(self, step: int) -> Batch:
        neckline = torch.from_numpy(self.pairs.positions < self.batch_size / 2)
        return {**self.pairs.batch(step), "neckline": neckline}

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        size = self.preset.size
        pairs = Pairs.of(batch)
        refine = not self.preset.classic
        neckline = batch["neckline"] if refine else None
        made = represent(pairs.image, pairs.parse, pairs.keypoints, "head", size, neckline=neckline)
        mask = pairs.front_mask if refine else pairs.cloth_mask
        garment = garment_input(pairs.cloth, mask, size)
        target = worn_garment(pairs, size)
        out: GMMOutput = network(channels_last(made.channels), channels_last(garment), refine)
        structured = STRUCTURE if refine else 0.0
        parts = {
            "warp": _warp_loss(garment, out.theta, target, size, structured),
            "bending": second_differences(out.theta),
        }
        loss = parts["warp"] + BENDING * parts["bending"]
        for theta in out.earlier:
            earlier = _warp_loss(garment, theta, target, size, structured)
            loss = loss + EARLIER * (earlier + BENDING * second_differences(theta))
        if out.expected_parse is not None:
            parts["parse"], parts["parse_accuracy"] = expected_parse_loss(
                out.expected_parse, pairs.parse, self.weights
            )
            loss = loss + self.aux_weight * parts["parse"]
        return loss, parts

    def validate(self, network: nn.Module) -> Validation:
        device = next(network.parameters()).device
        ious, unseen, predicted, l1s, folds = [], [], [], [], []
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
            if not self.preset.classic:
                bare = warp_garments(cast(GMM, network), *given, align=False)
                predicted.append(mask_iou(bare.mask[:, 0] >= 0.5, worn))
                whole = warp_garments(cast(GMM, network), *given, neckline=False)
                unseen.append(mask_iou(whole.mask[:, 0] >= 0.5, worn))
            if warp.expected_parse is not None:
                expected = F.interpolate(warp.expected_parse, size=full, mode="bilinear", align_corners=False)
                counts.add(expected.argmax(1), pairs.parse)
        figures = {
            "warp_iou": float(torch.cat(ious).mean()), "l1": float(torch.cat(l1s).mean()),
            "folded": float(torch.cat(folds).double().mean()),
        }  # fmt: skip
        if predicted:
            # θ of the two passes, before it is aligned to M_exp and refined
            figures["predicted_iou"] = float(torch.cat(predicted).mean())
            # where the person's shape does not show the neckline that she wears
            figures["outside_iou"] = float(torch.cat(unseen).mean())
        if counts.total:
            figures |= {f"parse_{k}": v for k, v in counts.figures().items() if k in ("accuracy", "mean_iou")}
        columns = torch.cat([pairs.image, pairs.cloth, warp.cloth, target[:, :3]], dim=2)[:8]
        return Validation(figures, {"warps": contact_sheet(columns)})


def worn_garment(pairs: Pairs, size: tuple[int, int]) -> Tensor:
    """The garment as worn, on white, and its mask: (B, 4, *size), RGB in [-1, 1], mask in [0, 1]."""
    mask = has_label(pairs.parse, L.TOP_LABELS)[:, None].float()
    return garment_input(pairs.image, mask, size)


def contact_sheet(columns: Tensor) -> np.ndarray:
    """(n, 3, H, W) in [-1, 1] → one uint8 picture (H, n * W, 3)."""
    out: np.ndarray = grey_levels(columns).transpose(0, 1).flatten(1, 2).cpu().numpy()
    return out


def _warp_loss(
    garment: Tensor, theta: Tensor, target: Tensor, size: tuple[int, int], structured: float
) -> Tensor:
    grid = tps_grid(theta, size)
    colours = sample(garment[:, :3], grid, outside=1.0)
    mask = sample(garment[:, 3:], grid, outside=0.0)
    l1 = (colours - target[:, :3]).abs().mean() + (mask - target[:, 3:]).abs().mean()
    overlap = (1.0 - soft_iou(mask, target[:, 3:])).mean()
    loss = l1 + OVERLAP * overlap + FOLDING * folding(grid, mask, UNFOLDED).mean()
    if structured:
        worn = target[:, 3:]
        seen = F.avg_pool2d(colours * worn + (1.0 - worn), 2)
        loss = loss + structured * structure(seen, F.avg_pool2d(target[:, :3], 2)).mean()
    return loss
