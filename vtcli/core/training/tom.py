"""Stage `tom`: the composition. CP-VTON's losses on I_try-on and M_cm, a perceptual distance, M_exp's cross-entropy,
and, if asked for, a discriminator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from pytorch_msssim import ssim
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import DILATION, has_label
from vtcli.core.data.label_metrics import LabelCounts
from vtcli.core.data.store import PreparedStore
from vtcli.core.models.blocks import cell_means
from vtcli.core.models.common import GMM, TOMOutput
from vtcli.core.models.composition import within
from vtcli.core.models.load import load_gmm
from vtcli.core.models.presets import build_tom
from vtcli.core.models.relighting import pattern
from vtcli.core.models.representation import represent
from vtcli.core.models.warping import Warp, channels_last, warp_garments
from vtcli.core.models.weights import sha256, stage_file
from vtcli.core.system.errors import UsageProblem
from vtcli.core.training.discriminator import Discriminator, discriminator_loss, generator_loss
from vtcli.core.training.logs import contact_sheet
from vtcli.core.training.losses import (
    Lite0Distance,
    VGG19Distance,
    expected_parse_loss,
    label_weights,
    multi_scale_ssim_loss,
    random_crops,
)
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.pairs import NONE, PairBatches, Pairs, read_pairs
from vtcli.core.training.resident import ResidentPairs
from vtcli.core.training.stage import Batch, Rows, Stage, Validation

# CP-VTON's losses are L1, perceptual and M_cm, each with weight 1. What `--losses full` has beside them is vtcli's own.
MASK_WEIGHT = 1.5  # pull of M_cm to the warped mask on patterned cloth
PLAIN_MASK_WEIGHT = 0.02  # the same on plain cloth, where the rendering has the folds and the light
RENDERED_WEIGHT = 0.25  # L1 of I_rp, behind M_cm as well
SQUARED_WEIGHT = (
    8.0  # squared differences of means over cells; L1 alone settles on the median colour of unseen trousers
)
SQUARED_CELL = 4  # side of such a cell in pixels; squares of single pixels would blur
HEAD_SSIM_WEIGHT = 2.0  # multi-scale SSIM of samples with keep=head; 1 for the others
HEAD_GENERATOR_WEIGHT = (
    0.25  # the generator's loss there: most of the picture is a guess, whose texture is not known
)
SKIN_GENERATOR_WEIGHT = (
    1.0  # what it counts more where arms are bare: their form is known, and blurred skin is seen first
)
DISCRIMINATOR_FROM = 0.2  # share of the run after which the discriminator takes part
DILATION_JITTER = (
    4  # pixels by which the region's growth varies, so that the old garment's outline cannot be read from it
)
LONGER = 40  # most pixels below the old garment that the region reaches, in half of the batches: under a shorter garment
# there is a hole, and no pair shows what belongs there


class TOMStage(Stage):
    """Paired people and garments; the garment is warped on the fly by a trained GMM.

    With `keep=both` the first half of each batch keeps the head, the second half all that lies outside of the
    region; people of the second half are set on other backgrounds with probability `options.backgrounds`.
    """

    name = "tom"
    best_by = "ssim"
    variants = 6  # of the region's growth, and of the place of the crops

    def __init__(self, options: TrainOptions, train: PreparedStore, val: Rows, rows: np.ndarray) -> None:
        super().__init__(options, val, len(rows))
        self.batch_size = options.batch_size or options.defaults.batch_size
        if options.keep == "both" and self.batch_size % 2:
            raise UsageProblem("--keep both shares each batch between the two: --batch-size must be even")
        self.lr = options.defaults.lr
        parts = 2 if options.keep == "both" else 1
        self.pairs = PairBatches(options, train, rows, self.batch_size, options.backgrounds, parts)
        self.network: nn.Module = build_tom(options.preset, options.aux)
        self.gmm_path = stage_file(options.gmm, "gmm")
        self.gmm: GMM = load_gmm(self.gmm_path)
        self.weights = label_weights(options.skin_weight, options.background_weight)
        self.losses = options.losses or options.defaults.losses
        self.perceptual = "none" if self.losses == "l1" else options.perceptual
        self.discriminator = Discriminator() if options.adversarial_weight > 0 else None
        needs_lite0 = self.perceptual == "lite0" or self.discriminator is not None
        self.lite0 = Lite0Distance() if needs_lite0 else None
        self.vgg19 = VGG19Distance(options.vgg_weights) if self.perceptual == "vgg19" else None
        self.resident: ResidentPairs | None = None
        self._maps: tuple[list[Tensor], list[Tensor]] | None = None
        """Lite0's maps of the last generated and real crops, for the discriminator's own step."""

    def metadata(self) -> dict[str, Any]:
        return {
            "stage": "tom",
            "preset": self.options.preset,
            "aux": self.options.aux,
            "keep": self.options.keep,
            "gmm": sha256(self.gmm_path),
        }

    def _halves(self, size: int, more: int = 0) -> list[tuple[str, slice]]:
        """What is kept in which samples of a batch of `size` (the global one or a rank's share of it), and in `more`
        samples after them."""
        if self.options.keep != "both":
            return [(self.options.keep, slice(0, size + more))]
        return [("head", slice(0, size // 2)), ("outside", slice(size // 2, size + more))]

    def batch(self, step: int) -> Batch:
        keep, rows = self._halves(self.batch_size)[-1]
        changeable = rows if keep == "outside" else NONE
        return self.pairs.batch(step, changeable, NONE if self.discriminator is None else self._quarter(rows))

    def reside(self, device: torch.device) -> None:
        self.weights = self.weights.to(device)
        self.resident = ResidentPairs(self.pairs, device, None)

    def resident_batch(self) -> Batch:
        assert self.resident is not None
        keep, rows = self._halves(self.batch_size)[-1]
        changeable = self.resident.positions >= rows.start if keep == "outside" else None
        return self.resident.batch(changeable, None if self.discriminator is None else self._quarter(rows))

    def phase(self, progress: float) -> int:
        return int(self._judged(progress))

    def _quarter(self, rows: slice) -> slice:
        """The samples of `rows` whose people also try on another garment."""
        return slice(rows.start, rows.start + max(1, self.batch_size // 4))

    def _judged(self, progress: float) -> bool:
        return self.discriminator is not None and progress >= DISCRIMINATOR_FROM

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        pairs = Pairs.of(batch)
        count = len(pairs.image)
        judged = self._judged(progress)
        everyone = pairs.and_unpaired(batch) if judged else pairs
        channels, region, head = self._representations(everyone, count)
        warp = warp_cloth(self.gmm, everyone, head, corrected=self.resident is None)
        warped, mask = warp.cloth, warp.mask
        out: TOMOutput = network(channels, warped, mask, warp_parse=warp.expected_parse)
        unpaired = (
            _unpaired_result(everyone, region, warped, mask, out, slice(count, None)) if judged else None
        )
        region, warped, mask, out = region[:count], warped[:count], mask[:count], out[:count]
        result, loss, parts = self._paired_losses(pairs, region, warped, mask, out, head[:count])
        weights = _generator_weights(head, pairs.parse) if judged else None
        loss = loss + self._feature_losses(result, pairs.image, unpaired, weights, parts)
        if out.expected_parse is not None:
            parts["parse"], parts["parse_accuracy"] = expected_parse_loss(
                out.expected_parse, pairs.parse, self.weights
            )
            loss = loss + self.options.aux_weight * parts["parse"]
        return loss, parts

    def _representations(self, people: Pairs, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Channels and region of each person, and whether the head alone is kept (B,) bool; the first `count` are
        paired."""
        growth = drawn(DILATION - DILATION_JITTER, DILATION + DILATION_JITTER)
        longer = max(0, drawn(-LONGER, LONGER))
        channels, regions = [], []
        head = torch.zeros(len(people.image), dtype=torch.bool, device=people.image.device)
        for keep, rows in self._halves(count, len(people.image) - count):
            part = people[rows]
            head[rows] = keep == "head"
            given = (part.given_image, part.given_parse, part.keypoints)
            person = represent(*given, keep, _size(part), growth, longer)
            channels.append(person.channels)
            regions.append(person.region)
        return torch.cat(channels), torch.cat(regions), head

    def _paired_losses(
        self, pairs: Pairs, region: Tensor, warped: Tensor, mask: Tensor, out: TOMOutput, head: Tensor
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """The result (B, 3, H, W), and the losses by pixels against the photo: their sum and parts.

        Outside of the region the result is the photo. All are divided by the region's share of the picture, so that
        the pixels outside do not dilute them.
        """
        worn = has_label(pairs.parse, L.TOP_LABELS)[:, None].float()
        composition_mask, mask_pull = out.composition_mask, torch.ones(())
        if self.losses == "full":
            patterned = pattern(warped, mask) * mask * worn
            out = _detach_where_patterned(out, patterned)
            plain = mask * worn - patterned
            mask_pull = MASK_WEIGHT + (PLAIN_MASK_WEIGHT - MASK_WEIGHT) * plain
        tryon = out.tryon(warped)
        result = within(region, tryon, pairs.image)
        share = region.mean((1, 2, 3), keepdim=True).clamp_min(0.05)
        parts = {
            "l1": ((result - pairs.image).abs() / share).mean(),
            "mask": ((composition_mask - mask * worn).abs() * mask_pull * region / share).mean(),
        }
        loss = parts["l1"] + self.options.mask_weight * parts["mask"]
        if self.losses == "full":
            parts["rendered"] = ((out.rendered_person - pairs.image).abs() * region / share).mean()
            parts["squared"] = (cell_means(result - pairs.image, SQUARED_CELL).square() / share).mean()
            ssim_loss = multi_scale_ssim_loss(result, pairs.image) * torch.where(head, HEAD_SSIM_WEIGHT, 1.0)
            parts["multi_scale_ssim"] = (ssim_loss / share.flatten()).mean()
            loss = loss + RENDERED_WEIGHT * parts["rendered"] + SQUARED_WEIGHT * parts["squared"]
            loss = loss + parts["multi_scale_ssim"]
        return result, loss, parts

    def _feature_losses(
        self,
        result: Tensor,
        image: Tensor,
        unpaired: Tensor | None,
        weights: Tensor | None,
        parts: dict[str, Tensor],
    ) -> Tensor:
        """The losses by features of crops: the perceptual distance and, where there are `unpaired` results, the
        generator's, in which the results, paired and unpaired, count by `weights` (B, 1, H, W). `parts` get both."""
        self._maps = None
        loss = torch.zeros((), device=result.device)
        if self.lite0 is None and self.vgg19 is None:
            return loss
        rng = torch.Generator().manual_seed(int(torch.randint(0, 2**31, ())))
        size = int(image.shape[2]), int(image.shape[3])
        generated = result if unpaired is None else torch.cat([result, unpaired])
        ours, truth, *crops = random_crops(
            rng, size, generated, image, *([] if weights is None else [weights])
        )
        ours, truth = channels_last(ours), channels_last(truth)
        count = len(result)
        if self.vgg19 is not None:
            parts["perceptual"] = self.vgg19.to(result.device)(ours[:count], truth)
        if self.lite0 is not None:
            ours_maps, truth_maps = self.lite0.to(result.device).maps(ours, truth)
            if self.perceptual == "lite0":
                parts["perceptual"] = self.lite0([x[:count] for x in ours_maps], truth_maps)
            if self.discriminator is not None and crops:
                parts["generator"] = generator_loss(self.discriminator(ours_maps), crops[0])
                loss = loss + self.options.adversarial_weight * parts["generator"]
                self._maps = [x.detach() for x in ours_maps], truth_maps
        if "perceptual" in parts:
            loss = loss + self.options.perceptual_weight * parts["perceptual"]
        return loss

    def discriminator_loss(self, batch: Batch) -> Tensor | None:
        if self.discriminator is None or self._maps is None:
            return None
        generated, real = self._maps
        return discriminator_loss(self.discriminator(generated), self.discriminator(real))

    def validate(self, network: nn.Module) -> Validation:
        metrics: dict[str, float] = {}
        panels = {}
        keeps = [keep for keep, _ in self._halves(self.batch_size)]
        for keep in keeps:
            of_keep, panels[f"tryon_{keep}"] = self._validate_keep(network, keep)
            metrics |= {f"{key}_{keep}": value for key, value in of_keep.items()}
        metrics["ssim"] = sum(metrics[f"ssim_{keep}"] for keep in keeps) / len(keeps)
        return Validation(metrics, panels)

    def _validate_keep(self, network: nn.Module, keep: str) -> tuple[dict[str, float], np.ndarray]:
        """Metrics of one way of keeping, and a contact sheet of the last pairs."""
        device = next(network.parameters()).device
        counts = LabelCounts()
        ssims, l1s = [], []
        for start in range(0, len(self.val_rows), 20):
            batch = read_pairs(self.val_store, self.val_rows[start : start + 20])
            pairs = Pairs.of({k: v.to(device) for k, v in batch.items()})
            person = represent(pairs.image, pairs.parse, pairs.keypoints, keep, _size(pairs))
            warp = warp_cloth(self.gmm, pairs, keep == "head")
            warped, mask = warp.cloth, warp.mask
            out: TOMOutput = network(person.channels, warped, mask, warp_parse=warp.expected_parse)
            result = within(person.region, out.tryon(warped), pairs.image)
            # The definition is that of `vtcli score`, which takes scikit-image's, on 8-bit pictures.
            ssims.append(
                ssim((result.float() + 1) / 2, (pairs.image + 1) / 2, data_range=1.0, size_average=False)
            )
            l1s.append((result - pairs.image).abs().mean((1, 2, 3)))
            if out.expected_parse is not None:
                logits = F.interpolate(
                    out.expected_parse, size=_size(pairs), mode="bilinear", align_corners=False
                )
                counts.add(logits.argmax(1), pairs.parse)
        metrics = {"ssim": float(torch.cat(ssims).mean()), "l1": float(torch.cat(l1s).mean())}
        if counts.total:
            metrics |= {f"parse_{k}": v for k, v in counts.metrics().items() if k in ("accuracy", "mean_iou")}
        mask_shown = out.composition_mask.expand(-1, 3, -1, -1) * 2 - 1
        return metrics, contact_sheet(pairs.image, warped, mask_shown, out.rendered_person, result)


def drawn(low: int, high: int) -> int:
    """A whole number from `low` to `high` from the CPU's generator."""
    return int(torch.randint(low, high + 1, ()))


def warp_cloth(gmm: GMM, pairs: Pairs, head: Tensor | bool, corrected: bool = True) -> Warp:
    """The garments warped by the trained GMM; `head`: whether only the head is kept, of all or (B,) bool of each;
    `corrected` as in `warp_garments`."""
    gmm.to(pairs.image.device)
    given = (pairs.given_image, pairs.given_parse, pairs.keypoints, pairs.cloth, pairs.cloth_mask)
    with torch.autocast(pairs.image.device.type, enabled=False):  # in float32, as at inference
        return warp_garments(gmm, *given, pairs.front_mask, head, corrected)


def _generator_weights(head: Tensor, parse: Tensor) -> Tensor:
    """How much each pixel counts in the generator's loss, (B, 1, H, W). `head` (B,) bool: whose head alone is kept; `parse`
    (n, H, W) of the first n of them, the paired ones, whose bare arms are known."""
    weights = torch.where(head, HEAD_GENERATOR_WEIGHT, 1.0).view(-1, 1, 1, 1).repeat(1, 1, *parse.shape[1:])
    weights[: len(parse)] += SKIN_GENERATOR_WEIGHT * has_label(parse, L.ARM_LABELS)[:, None]
    return weights


def _unpaired_result(
    everyone: Pairs, region: Tensor, warped: Tensor, mask: Tensor, out: TOMOutput, rows: slice
) -> Tensor:
    """The results at `rows`, of people in another garment than their own: there is no truth, so that only the
    discriminator judges them."""
    region, warped, mask = region[rows], warped[rows], mask[rows]
    out = _detach_where_patterned(out[rows], pattern(warped, mask) * mask)
    return within(region, out.tryon(warped), everyone.given_image[rows])


def _detach_where_patterned(out: TOMOutput, patterned: Tensor) -> TOMOutput:
    """`out` with M_cm detached where the cloth is `patterned` (B, 1, H, W) in [0, 1].

    A print a few pixels off costs the picture's losses more than no print: they would have it painted over.
    """
    mask = out.composition_mask
    return replace(out, composition_mask=mask + patterned * (mask.detach() - mask))


def _size(pairs: Pairs) -> tuple[int, int]:
    return int(pairs.parse.shape[1]), int(pairs.parse.shape[2])
