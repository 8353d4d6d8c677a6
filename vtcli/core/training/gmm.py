"""Stage `gmm`: the warp, and M_exp's cross-entropy (Ayush et al., section 2).

The paper's GMM learns a spline: L1 between the warped and the worn garment, as CP-VTON, and mask L1, overlap, bending and
folding, which are vtcli's own. Lite's learns a dense flow (`flow_losses.py`); it sees the neckline that is worn in the
first half of each batch only, so that it learns necklines from garments.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.arms import arm_places
from vtcli.core.data.body_regions import has_label
from vtcli.core.data.label_metrics import LabelCounts, mask_iou
from vtcli.core.data.sleeves import sleeve_ends
from vtcli.core.data.store import PreparedStore
from vtcli.core.models.common import GMM, GMMOutput, garment_input
from vtcli.core.models.presets import build_gmm
from vtcli.core.models.representation import represent
from vtcli.core.models.tps import jacobian, sample, second_differences, tps_grid
from vtcli.core.models.warping import keypoints_at, warp_garments
from vtcli.core.training.flow_losses import flow_loss
from vtcli.core.training.logs import contact_sheet
from vtcli.core.training.losses import expected_parse_loss, folding, label_weights, soft_iou
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.pairs import PairBatches, Pairs, read_pairs
from vtcli.core.training.resident import ResidentPairs
from vtcli.core.training.stage import Batch, Rows, Stage, Validation

# Weights of the spline's losses. They are vtcli's own: CP-VTON's GMM has the L1 between the garments alone.
BENDING_WEIGHT = 0.05  # second differences of the grid of control points
OVERLAP_WEIGHT = 0.3  # one minus the soft IoU of the masks, beside their L1
FOLDING_WEIGHT = 2.0  # how far the warp's Jacobian determinant falls below LEAST_DETERMINANT
LEAST_DETERMINANT = 0.15  # area ratio; a warp folds at 0
SLEEVE_WEIGHT = 1.0  # distance of the sleeve end that the garment's picture tells from where it is worn


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
        self.gmm, self.network = gmm, gmm  # the latter may be wrapped, for several processes
        self.weights = label_weights(options.skin_weight, options.background_weight)
        self.resident: ResidentPairs | None = None

    def metadata(self) -> dict[str, Any]:
        return {"stage": "gmm", "preset": self.options.preset, "aux": self.options.aux}

    def batch(self, step: int) -> Batch:
        neckline = torch.from_numpy(self.pairs.positions < self.batch_size / 2)
        batch = {**self.pairs.batch(step), "neckline": neckline}
        if not self.gmm.cpvton_inputs:
            batch["sleeves"] = worn_sleeves(batch["parse"], batch["keypoints"])
        return batch

    def reside(self, device: torch.device) -> None:
        self.weights = self.weights.to(device)
        sleeves = None if self.gmm.cpvton_inputs else _sleeves_of
        self.resident = ResidentPairs(self.pairs, device, sleeves)

    def resident_batch(self) -> Batch:
        assert self.resident is not None
        batch = {**self.resident.batch(), "neckline": self.resident.positions < self.batch_size / 2}
        return {"sleeves" if name == "more" else name: values for name, values in batch.items()}

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        size = self.gmm.input_size
        pairs = Pairs.of(batch)
        neckline = None if self.gmm.cpvton_inputs else batch["neckline"]
        given = (pairs.given_image, pairs.given_parse, pairs.keypoints)
        person = represent(*given, "head", size, neckline=neckline)
        mask = pairs.cloth_mask if self.gmm.cpvton_inputs else pairs.front_mask
        garment = self.gmm.garment_input(pairs.cloth, mask, size)
        target = worn_garment(pairs, size)
        arms = None
        if not self.gmm.cpvton_inputs:
            arms = arm_places(keypoints_at(pairs.keypoints, size[0] / pairs.image.shape[2]), size)
        out: GMMOutput = network(person.channels, garment, arms)
        if out.flow:
            loss, parts = flow_loss(out.flow, out.theta, out.expected_parse, garment, target, pairs)
        else:
            parts = {
                "warp": spline_loss(garment, out.theta, target, self.gmm.outside),
                "bending": second_differences(out.theta),
            }
            loss = parts["warp"] + BENDING_WEIGHT * parts["bending"]
        if out.expected_parse is not None:
            parts["parse"], parts["parse_accuracy"] = expected_parse_loss(
                out.expected_parse, pairs.parse, self.weights
            )
            loss = loss + self.options.aux_weight * parts["parse"]
        if out.sleeve is not None:
            parts["sleeve"] = sleeve_loss(out.sleeve, batch["sleeves"])
            loss = loss + SLEEVE_WEIGHT * parts["sleeve"]
        return loss, parts

    def validate(self, network: nn.Module) -> Validation:
        device = next(network.parameters()).device
        ious, outside_ious, l1s, folds, sleeves = [], [], [], [], []
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
            if not self.gmm.cpvton_inputs:
                outside = warp_garments(cast(GMM, network), *given, neckline=False)
                outside_ious.append(mask_iou(outside.mask[:, 0] >= 0.5, worn))
            if warp.sleeve is not None:
                sleeves.append(sleeve_loss(warp.sleeve, worn_sleeves(batch["parse"], batch["keypoints"])))
            if warp.expected_parse is not None:
                expected = F.interpolate(warp.expected_parse, size=full, mode="bilinear", align_corners=False)
                counts.add(expected.argmax(1), pairs.parse)
        metrics = {
            "warp_iou": float(torch.cat(ious).mean()), "l1": float(torch.cat(l1s).mean()),
            "folded": float(torch.cat(folds).cpu().double().mean()),
        }  # fmt: skip
        if outside_ious:
            # with a person representation that does not show the worn neckline
            metrics["outside_iou"] = float(torch.cat(outside_ious).mean())
        if sleeves:
            metrics["sleeve"] = float(torch.stack(sleeves).mean())  # mean distance, as a share of the arm
        if counts.total:
            metrics |= {f"parse_{k}": v for k, v in counts.metrics().items() if k in ("accuracy", "mean_iou")}
        sheet = contact_sheet(pairs.image, pairs.cloth, warp.cloth, target[:, :3])
        return Validation(metrics, {"warps": sheet})


def worn_garment(pairs: Pairs, size: tuple[int, int]) -> Tensor:
    """The garment as worn, on white, and its mask: (B, 4, *size), RGB in [-1, 1], mask in [0, 1]."""
    mask = has_label(pairs.parse, L.TOP_LABELS)[:, None].float()
    return garment_input(pairs.image, mask, size)


def worn_sleeves(parse: Tensor, keypoints: Tensor) -> Tensor:
    """Between what places the sleeves of `parse` (B, H, W) end, (B, 2, 2): the right and the left arm's last place of
    cloth and first of skin; NaN for an arm that is not seen well enough."""
    ends = [
        [
            (end.cloth, end.skin) if end is not None else (math.nan, math.nan)
            for end in sleeve_ends(labels, joints)
        ]
        for labels, joints in zip(parse.numpy(), keypoints.numpy(), strict=True)
    ]
    return torch.tensor(ends)


def _sleeves_of(sample: dict[str, np.ndarray]) -> np.ndarray:
    parse, keypoints = (torch.from_numpy(sample[name]) for name in ("parse", "keypoints"))
    out: np.ndarray = worn_sleeves(parse, keypoints).numpy()
    return out


def sleeve_loss(sleeve: Tensor, worn: Tensor) -> Tensor:
    """Mean distance of `sleeve` (B,) from the intervals `worn` (B, 2, 2) of the arms that are seen. A scalar."""
    worn = worn.to(sleeve.device)
    distance = F.relu(worn[..., 0] - sleeve[:, None]) + F.relu(sleeve[:, None] - worn[..., 1])
    seen = ~worn[..., 0].isnan()
    return torch.where(seen, distance, 0.0).sum() / seen.sum().clamp_min(1)


def spline_loss(garment: Tensor, theta: Tensor, target: Tensor, outside: float | None) -> Tensor:
    """L1 of colours and mask, mask overlap and folding of `garment` warped by `theta`, against `target`.

    Both garments (B, 4, H, W): RGB in [-1, 1], and mask; `theta` (B, 2 · control points); `outside`: the colour beyond the
    shop photo, as for `sample`. A scalar.
    """
    grid = tps_grid(theta, (garment.shape[2], garment.shape[3]))
    colours = sample(garment[:, :3], grid, outside)
    mask = sample(garment[:, 3:], grid, outside=0.0)
    l1 = (colours - target[:, :3]).abs().mean() + (mask - target[:, 3:]).abs().mean()
    overlap = (1.0 - soft_iou(mask, target[:, 3:])).mean()
    return l1 + OVERLAP_WEIGHT * overlap + FOLDING_WEIGHT * folding(grid, mask, LEAST_DETERMINANT).mean()
