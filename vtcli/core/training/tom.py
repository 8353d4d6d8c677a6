"""Stage `tom`: the composition. CP-VTON's losses on I_try-on and M_cm, a perceptual distance, M_exp, and,
where asked for, a discriminator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.store import PreparedStore
from vtcli.core.models.composition import within
from vtcli.core.models.gmm import GMM
from vtcli.core.models.load import load_gmm
from vtcli.core.models.relighting import pattern
from vtcli.core.models.representation import GROWTH, has_label, represent
from vtcli.core.models.tom import TOM, TOM_PRESETS, TOMOutput
from vtcli.core.models.warping import channels_last, warp_garments
from vtcli.core.models.weights import sha256, stage_file
from vtcli.core.system.errors import UsageProblem
from vtcli.core.training.discriminator import Discriminator, discerned, fooled
from vtcli.core.training.gmm import contact_sheet
from vtcli.core.training.losses import (
    Lite0Distance,
    VGG19Distance,
    expected_parse_loss,
    label_weights,
    random_crops,
    structure,
)
from vtcli.core.training.metrics import LabelCounts, ssim
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.pairs import NONE, PairBatches, Pairs, read_pairs
from vtcli.core.training.stage import Batch, Rows, Stage, Validation

MASK_WEIGHT = 1.5
PLAIN_MASK_WEIGHT = 0.02
"""Weights with which M_cm is held to the warped mask, and on plain cloth, where the rendering has the folds and the
light. CP-VTON's losses have 1 everywhere."""
SQUARED_WEIGHT = 5.0
COARSE = 4
"""Weight of squared differences of means over cells of `COARSE` pixels, which CP-VTON's losses do without, like
`structure`. Squares of single pixels would blur them."""
LONGER = 40
"""In half of the batches the region reaches up to so many pixels below the old garment: whoever tries on a shorter one
than she wears has a hole there, and no pair shows what belongs into it."""
HEAD_STRUCTURE = 2.0
HEAD_ADVERSARY = 0.25
"""How much more `structure` counts, and how much less the discriminator, where the head alone is kept: most of such a
picture is a guess, of which form can be asked, but hardly texture."""
ADVERSARY_FROM = 0.2
"""The share of the run after which the discriminator takes part."""


class TOMStage(Stage):
    """Paired people and garments; the garment is warped on the fly by a trained GMM.

    With `keep=both` the first half of each batch keeps the head, the second half all that lies outside of the
    region; people of the second half are set on other backgrounds with probability `options.backgrounds`.
    """

    name = "tom"
    best_by = "ssim"

    def __init__(self, options: TrainOptions, train: PreparedStore, val: Rows, rows: np.ndarray) -> None:
        super().__init__(options, val, len(rows))
        preset = TOM_PRESETS[options.preset]
        self.batch_size = options.batch_size or (4 if preset.classic else 16)
        if options.keep == "both" and self.batch_size % 2:
            raise UsageProblem("--keep both shares each batch between the two: --batch-size must be even")
        self.lr = 1e-4 if preset.classic else 1e-3
        changed = 0.5 if options.backgrounds is None else options.backgrounds
        parts = 2 if options.keep == "both" else 1
        self.pairs = PairBatches(options, train, rows, self.batch_size, changed, parts)
        self.network: nn.Module = TOM(preset, options.aux)
        self.gmm_path = stage_file(options.gmm, "gmm")
        self.gmm: GMM = load_gmm(self.gmm_path)
        self.weights = label_weights(options.skin_weight, options.background_weight)
        self.aux_weight = 0.1 if options.aux_weight is None else options.aux_weight
        self.losses = options.losses or ("cpvton" if preset.classic else "full")
        kind = "none" if self.losses == "l1" else options.perceptual
        self.adversary = Discriminator() if options.adversarial_weight > 0 else None
        self.perceptual = kind
        self.lite0 = Lite0Distance() if kind == "lite0" or self.adversary is not None else None
        self.vgg19 = VGG19Distance(options.vgg_weights) if kind == "vgg19" else None
        self.perceptual_weight = 0.1 if options.perceptual_weight is None else options.perceptual_weight
        self._maps: tuple[list[Tensor], list[Tensor]] | None = None

    def facts(self) -> dict[str, Any]:
        return {
            "stage": "tom",
            "preset": self.options.preset,
            "aux": self.options.aux,
            "keep": self.options.keep,
            "gmm": sha256(self.gmm_path),
        }

    def _halves(self, size: int, more: int = 0) -> list[tuple[str, slice]]:
        """What is kept in which samples of a batch of `size`, the joint one or a rank's share of it, and in `more`
        that follow."""
        if self.options.keep != "both":
            return [(self.options.keep, slice(0, size + more))]
        return [("head", slice(0, size // 2)), ("outside", slice(size // 2, size + more))]

    def batch(self, step: int) -> Batch:
        keep, rows = self._halves(self.batch_size)[-1]
        changeable = rows if keep == "outside" else NONE
        few = slice(rows.start, rows.start + max(1, self.batch_size // 4))
        dressed = NONE if self.adversary is None else few
        return self.pairs.batch(step, changeable, dressed)

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        pairs = Pairs.of(batch)
        count = len(pairs.image)
        against = self.adversary is not None and progress >= ADVERSARY_FROM
        everyone = pairs.and_unpaired(batch) if against else pairs
        # The region's growth varies, so that the old garment's outline cannot be read from the hole.
        growth = int(torch.randint(GROWTH - 4, GROWTH + 5, ()))
        longer = int(torch.randint(-LONGER, LONGER + 1, ()).clamp_min(0))
        channels, regions = [], []
        head = torch.zeros(len(everyone.image), dtype=torch.bool, device=everyone.image.device)
        for keep, rows in self._halves(count, len(everyone.image) - count):
            part = everyone[rows]
            head[rows] = keep == "head"
            made = represent(part.image, part.parse, part.keypoints, keep, _size(part), growth, longer)
            channels.append(made.channels)
            regions.append(made.region)
        region = torch.cat(regions)
        warped, mask = warp_cloth(self.gmm, everyone, head)
        out: TOMOutput = network(torch.cat(channels), warped, mask)
        unpaired = (
            _unpaired_result(everyone, region, warped, mask, out, slice(count, None)) if against else None
        )
        region, warped, mask, out = region[:count], warped[:count], mask[:count], out[:count]
        worn = has_label(pairs.parse, L.TOP_LABELS)[:, None].float()
        given, held = out.composition_mask, torch.ones(())
        if self.losses == "full":
            patterned = pattern(warped, mask) * mask * worn
            out = _let_patterns_be(out, patterned)
            plain = mask * worn - patterned
            held = MASK_WEIGHT + (PLAIN_MASK_WEIGHT - MASK_WEIGHT) * plain
        tryon = out.tryon(warped)
        # Outside of the region the result is the photo; its pixels must not dilute the loss.
        result = within(region, tryon, pairs.image)
        share = region.mean((1, 2, 3), keepdim=True).clamp_min(0.05)
        parts = {
            "l1": ((result - pairs.image).abs() / share).mean(),
            "mask": ((given - mask * worn).abs() * held * region / share).mean(),
        }
        loss = parts["l1"] + self.options.mask_weight * parts["mask"]
        if self.losses == "full":
            # Behind M_cm, too, the rendering should be the person.
            parts["rendered"] = ((out.rendered_person - pairs.image).abs() * region / share).mean()
            # L1 alone settles on the median colour of trousers never seen; squares pull it to the mean.
            parts["squared"] = (F.avg_pool2d(result - pairs.image, COARSE).square() / share).mean()
            form = structure(result, pairs.image) * torch.where(head[:count], HEAD_STRUCTURE, 1.0)
            parts["structure"] = (form / share.flatten()).mean()
            loss = loss + 0.25 * parts["rendered"] + SQUARED_WEIGHT * parts["squared"] + parts["structure"]
        judged = torch.where(head, HEAD_ADVERSARY, 1.0)
        loss = loss + self._seen(result, pairs.image, unpaired, judged, parts)
        if out.expected_parse is not None:
            parts["parse"], parts["parse_accuracy"] = expected_parse_loss(
                out.expected_parse, pairs.parse, self.weights
            )
            loss = loss + self.aux_weight * parts["parse"]
        return loss, parts

    def _seen(
        self, result: Tensor, image: Tensor, unpaired: Tensor | None, judged: Tensor, parts: dict[str, Tensor]
    ) -> Tensor:
        """The losses by features of crops, the perceptual distance and, where there are `unpaired` results, the
        discriminator's, in which results count by `judged` (B,); `parts` get them, too."""
        self._maps = None
        loss = torch.zeros((), device=result.device)
        if self.lite0 is None and self.vgg19 is None:
            return loss
        dice = torch.Generator().manual_seed(int(torch.randint(0, 2**31, ())))
        size = int(image.shape[2]), int(image.shape[3])
        drawn = result if unpaired is None else torch.cat([result, unpaired])
        ours, truth = random_crops(dice, size, drawn, image)
        ours, truth = channels_last(ours), channels_last(truth)
        count = len(result)
        if self.vgg19 is not None:
            parts["perceptual"] = self.vgg19.to(result.device)(ours[:count], truth)
        if self.lite0 is not None:
            ours_maps, truth_maps = self.lite0.to(result.device).maps(ours, truth)
            if self.perceptual == "lite0":
                parts["perceptual"] = self.lite0([x[:count] for x in ours_maps], truth_maps)
            if self.adversary is not None and unpaired is not None:
                parts["fooled"] = fooled(self.adversary(ours_maps), judged)
                loss = loss + self.options.adversarial_weight * parts["fooled"]
                self._maps = [x.detach() for x in ours_maps], truth_maps
        if "perceptual" in parts:
            loss = loss + self.perceptual_weight * parts["perceptual"]
        return loss

    def adversary_loss(self, batch: Batch) -> Tensor | None:
        if self.adversary is None or self._maps is None:
            return None
        drawn, real = self._maps
        return discerned(self.adversary(drawn), self.adversary(real))

    def validate(self, network: nn.Module) -> Validation:
        device = next(network.parameters()).device
        figures: dict[str, float] = {}
        panels = {}
        keeps = [keep for keep, _ in self._halves(self.batch_size)]
        for keep in keeps:
            counts = LabelCounts()
            ssims, l1s = [], []
            for start in range(0, len(self.val_rows), 20):
                batch = read_pairs(self.val_store, self.val_rows[start : start + 20])
                pairs = Pairs.of({k: v.to(device) for k, v in batch.items()})
                made = represent(pairs.image, pairs.parse, pairs.keypoints, keep, _size(pairs))
                warped, mask = warp_cloth(self.gmm, pairs, keep == "head")
                out: TOMOutput = network(made.channels, warped, mask)
                result = within(made.region, out.tryon(warped), pairs.image)
                ssims.append(ssim(result, pairs.image))
                l1s.append((result - pairs.image).abs().mean((1, 2, 3)))
                if out.expected_parse is not None:
                    logits = F.interpolate(
                        out.expected_parse, size=_size(pairs), mode="bilinear", align_corners=False
                    )
                    counts.add(logits.argmax(1), pairs.parse)
            figures |= {
                f"ssim_{keep}": float(torch.cat(ssims).mean()),
                f"l1_{keep}": float(torch.cat(l1s).mean()),
            }
            if counts.total:
                figures |= {
                    f"parse_{k}_{keep}": v
                    for k, v in counts.figures().items()
                    if k in ("accuracy", "mean_iou")
                }
            shown = [
                pairs.image,
                warped,
                out.composition_mask.expand(-1, 3, -1, -1) * 2 - 1,
                out.rendered_person,
                result,
            ]
            panels[f"tryon_{keep}"] = contact_sheet(torch.cat([s[:8] for s in shown], dim=2))
        figures["ssim"] = sum(figures[f"ssim_{keep}"] for keep in keeps) / len(keeps)
        return Validation(figures, panels)


def warp_cloth(gmm: GMM, pairs: Pairs, head: Tensor | bool) -> tuple[Tensor, Tensor]:
    """I_warp (B, 3, H, W) on white in [-1, 1] and its mask (B, 1, H, W), by the trained GMM; `head`: whether the
    head alone is kept, of all or (B,) bool of each."""
    gmm.to(pairs.image.device)
    warp = warp_garments(gmm, pairs.image, pairs.parse, pairs.keypoints, pairs.cloth, pairs.cloth_mask, head)
    return warp.cloth, warp.mask


def _unpaired_result(
    everyone: Pairs, region: Tensor, warped: Tensor, mask: Tensor, out: TOMOutput, rows: slice
) -> Tensor:
    """The results of those at `rows`, who try on another garment than their own: nobody knows what they should look
    like, only the discriminator judges them."""
    region, warped, mask = region[rows], warped[rows], mask[rows]
    out = _let_patterns_be(out[rows], pattern(warped, mask) * mask)
    return within(region, out.tryon(warped), everyone.image[rows])


def _let_patterns_be(out: TOMOutput, patterned: Tensor) -> TOMOutput:
    """`out` with an M_cm that the picture's losses do not reach where the cloth is `patterned` (B, 1, H, W): a print a
    few pixels off costs them more than none, so they would have it painted over."""
    mask = out.composition_mask
    return replace(out, composition_mask=mask + patterned * (mask.detach() - mask))


def _size(pairs: Pairs) -> tuple[int, int]:
    return int(pairs.parse.shape[1]), int(pairs.parse.shape[2])
