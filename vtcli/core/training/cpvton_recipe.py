"""The recipe `cpvton` of the stages `gmm` and `tom`: CP-VTON's training as its public code has it (Wang et al., ECCV 2018).

    gmm    |I_warp - I_worn|                                                mean over pixels and colours
    tom    |I_try-on - I| + Σ_i λ_i |φ_i(I_try-on) - φ_i(I)| + |M_cm - M_warp|     φ: VGG19, on the whole picture

I_worn is the garment as worn, on white; M_warp the warped mask, binary. Pairs come as the data set has them: masks and
parses as given, the shop photo not cut out, nothing augmented. Optimiser and schedule are `CPVTON_OPTIMIZER`.
The auxiliary decoders of Ayush et al. (section 2) come on top, where they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pytorch_msssim import ssim
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import has_label
from vtcli.core.data.label_metrics import LabelCounts, mask_iou
from vtcli.core.data.pixels import shares, signed
from vtcli.core.data.store import PreparedStore
from vtcli.core.models.common import GMMOutput, TOMOutput
from vtcli.core.models.cpvton import FeatureExtractor, PaperGMM, warp_as_cpvton
from vtcli.core.models.load import load_gmm
from vtcli.core.models.presets import build_gmm, build_tom
from vtcli.core.models.representation import represent
from vtcli.core.models.tps import jacobian, tps_grid
from vtcli.core.models.weights import sha256, stage_file
from vtcli.core.system.errors import UsageProblem
from vtcli.core.training.logs import contact_sheet
from vtcli.core.training.losses import Lite0Distance, VGG19Distance, expected_parse_loss, label_weights
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.stage import Batch, Order, Rows, Stage, Validation, share_of_batch

SIZE = (256, 192)
"""Height and width of CP-VTON's pictures."""
MASK_FROM = 128 / 255
"""From this value on a pixel of the warped mask is garment: CP-VTON reads masks from 8 bits, `>= 128`."""
FIELDS = ("image", "cloth", "cloth_mask", "parse", "keypoints")
"""What its data set reads of a pair."""
WITHOUT_USE = (
    "extra", "extra_share", "losses", "photos", "backgrounds", "mask_weight", "adversarial_weight",
)  # fmt: skip
"""Options that belong to the recipe `vtcli` alone."""


@dataclass
class Inputs:
    """A batch as CP-VTON's data set gives it: `image`, `cloth` (B, 3, 256, 192) in [-1, 1]; `mask` (B, 1, 256, 192), 0 or
    1; `parse` (B, 256, 192); `person` I_p (B, 22, 256, 192); `worn` (B, 3, 256, 192), the worn garment on white."""

    image: Tensor
    cloth: Tensor
    mask: Tensor
    parse: Tensor
    person: Tensor
    worn: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Inputs:
        """From the store's uint8 fields."""
        image, cloth = (signed(batch[name]).contiguous() for name in ("image", "cloth"))
        parse = batch["parse"]
        garment = has_label(parse, L.TOP_LABELS)[:, None]
        return cls(
            image, cloth, shares(batch["cloth_mask"]), parse,
            represent(image, parse, batch["keypoints"], "head", SIZE).channels, torch.where(garment, image, 1.0),
        )  # fmt: skip


class CPVTONStage(Stage):
    """What both stages share: unaltered pairs in shuffled order, and the auxiliary loss on top."""

    def __init__(self, options: TrainOptions, train: PreparedStore, val: Rows, rows: np.ndarray) -> None:
        super().__init__(options, val, len(rows))
        _check(options, train, self.val_store)
        self.batch_size = options.batch_size or options.defaults.batch_size
        self.lr = options.defaults.lr
        self.train_store, self.rows = train, rows
        self.order = Order(len(rows), self.batch_size, options.seed)
        self.positions = share_of_batch(self.batch_size)
        self.weights = label_weights(options.skin_weight, options.background_weight)

    def batch(self, step: int) -> Batch:
        return _read(self.train_store, self.rows[self.order.rows(step)[self.positions]])

    def metadata(self) -> dict[str, Any]:
        return {
            "stage": self.name, "preset": self.options.preset, "aux": self.options.aux, "keep": "head",
            "recipe": recipe_name(self.options),
        }  # fmt: skip

    def auxiliary_loss(self, expected: Tensor | None, parse: Tensor, parts: dict[str, Tensor]) -> Tensor:
        """M_exp's loss (Ayush et al., section 2), weighted; 0 without the decoder. `parts` get it."""
        if expected is None:
            return torch.zeros((), device=parse.device)
        parts["parse"], parts["parse_accuracy"] = expected_parse_loss(expected, parse, self.weights)
        return self.options.aux_weight * parts["parse"]

    def validation_inputs(self, device: torch.device) -> Iterator[Inputs]:
        """The validation pairs, twenty at a time."""
        for start in range(0, len(self.val_rows), 20):
            batch = _read(self.val_store, self.val_rows[start : start + 20])
            yield Inputs.of({name: field.to(device) for name, field in batch.items()})


class CPVTONGMMStage(CPVTONStage):
    """L1 between the warped and the worn garment; first weights of the extractors from a normal distribution."""

    name = "gmm"
    best_by = "warp_iou"

    def __init__(self, options: TrainOptions, train: PreparedStore, val: Rows, rows: np.ndarray) -> None:
        super().__init__(options, train, val, rows)
        network = build_gmm(options.preset, options.aux)
        assert isinstance(network, PaperGMM)
        draw_first_weights(network)
        self.network: nn.Module = network

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        given = Inputs.of(batch)
        out: GMMOutput = network(given.person, given.cloth)
        warped, _ = warp_as_cpvton(given.cloth, given.mask, tps_grid(out.theta, SIZE))
        parts = {"l1": F.l1_loss(warped, given.worn)}
        return parts["l1"] + self.auxiliary_loss(out.expected_parse, given.parse, parts), parts

    def validate(self, network: nn.Module) -> Validation:
        ious, l1s, folds, counts = [], [], [], LabelCounts()
        for given in self.validation_inputs(next(network.parameters()).device):
            out: GMMOutput = network(given.person, given.cloth)
            grid = tps_grid(out.theta, SIZE)
            warped, mask = warp_as_cpvton(given.cloth, given.mask, grid)
            inside = mask[:, 0] >= 0.5
            ious.append(mask_iou(inside, has_label(given.parse, L.TOP_LABELS)))
            l1s.append((warped - given.worn).abs().mean((1, 2, 3)))
            folds.append(((jacobian(grid) <= 0) & inside[:, 1:, 1:]).flatten(1).any(1))
            _count(counts, out.expected_parse, given.parse)
        metrics = {
            "warp_iou": float(torch.cat(ious).mean()), "l1": float(torch.cat(l1s).mean()),
            "folded": float(torch.cat(folds).cpu().double().mean()), **_parse_metrics(counts),
        }  # fmt: skip
        return Validation(metrics, {"warps": contact_sheet(given.image, given.cloth, warped, given.worn)})


class CPVTONTOMStage(CPVTONStage):
    """L1 and perceptual distance of I_try-on from the photo, L1 of M_cm from the warped mask, each with weight 1. Garments
    are warped on the fly by a trained GMM of CP-VTON's."""

    name = "tom"
    best_by = "ssim"

    def __init__(self, options: TrainOptions, train: PreparedStore, val: Rows, rows: np.ndarray) -> None:
        super().__init__(options, train, val, rows)
        self.gmm_path = stage_file(options.gmm, "gmm")
        self.gmm = load_gmm(self.gmm_path)
        if not isinstance(self.gmm, PaperGMM):
            raise UsageProblem(
                f"{self.gmm_path}: not a GMM of CP-VTON's, which the recipe cpvton needs; train one with "
                "`vtcli train gmm --preset paper`, or name one with --gmm"
            )
        self.vgg19 = VGG19Distance(options.vgg_weights) if options.perceptual == "vgg19" else None
        self.lite0 = Lite0Distance() if options.perceptual == "lite0" else None
        self.network: nn.Module = build_tom(options.preset, options.aux)

    def metadata(self) -> dict[str, Any]:
        return {**super().metadata(), "gmm": sha256(self.gmm_path)}

    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        given = Inputs.of(batch)
        warped, mask = self._warp(given)
        out: TOMOutput = network(given.person, warped, mask)
        tryon = out.tryon(warped)
        parts = {
            "l1": F.l1_loss(tryon, given.image),
            "mask": F.l1_loss(out.composition_mask, (mask >= MASK_FROM).float()),
        }
        loss = parts["l1"] + parts["mask"]
        if self.vgg19 is not None:
            parts["perceptual"] = self.vgg19.to(tryon.device)(tryon, given.image)
            loss = loss + parts["perceptual"]
        if self.lite0 is not None:
            parts["perceptual"] = self.lite0(*self.lite0.to(tryon.device).maps(tryon, given.image))
            loss = loss + self.options.perceptual_weight * parts["perceptual"]
        return loss + self.auxiliary_loss(out.expected_parse, given.parse, parts), parts

    def validate(self, network: nn.Module) -> Validation:
        ssims, l1s, counts = [], [], LabelCounts()
        for given in self.validation_inputs(next(network.parameters()).device):
            warped, mask = self._warp(given)
            out: TOMOutput = network(given.person, warped, mask)
            tryon = out.tryon(warped)
            pictures = (tryon.float() + 1) / 2, (given.image + 1) / 2
            ssims.append(ssim(*pictures, data_range=1.0, size_average=False))
            l1s.append((tryon - given.image).abs().mean((1, 2, 3)))
            _count(counts, out.expected_parse, given.parse)
        metrics = {"ssim": float(torch.cat(ssims).mean()), "l1": float(torch.cat(l1s).mean())}
        shown = out.composition_mask.expand(-1, 3, -1, -1) * 2 - 1
        sheet = contact_sheet(given.image, warped, shown, out.rendered_person, tryon)
        return Validation({**metrics, **_parse_metrics(counts)}, {"tryon_head": sheet})

    @torch.no_grad()
    def _warp(self, given: Inputs) -> tuple[Tensor, Tensor]:
        """I_warp and its mask (B, 1, 256, 192) in [0, 1], by the trained GMM."""
        with torch.autocast(given.image.device.type, enabled=False):  # in float32, as at inference
            out: GMMOutput = self.gmm.to(given.image.device)(given.person, given.cloth)
            return warp_as_cpvton(given.cloth, given.mask, tps_grid(out.theta, SIZE))


def recipe_name(options: TrainOptions) -> str:
    """ "cpvton", or "cpvton-lite0" and "cpvton-none" for a TOM without CP-VTON's perceptual loss."""
    other = options.stage == "tom" and options.perceptual != "vgg19"
    return f"{options.recipe}-{options.perceptual}" if other else options.recipe


@torch.no_grad()
def draw_first_weights(gmm: PaperGMM) -> None:
    """As CP-VTON's code draws them: the extractors' convolutions from a normal distribution of 0.02, their norms' weights
    around 1; biases of convolutions, and the regressor, as PyTorch does."""
    for extractor in (gmm.person_encoder, gmm.cloth_encoder):
        assert isinstance(extractor, FeatureExtractor)
        for layer in extractor.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, 0.0, 0.02)
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight, 1.0, 0.02)
                nn.init.zeros_(layer.bias)


def _check(options: TrainOptions, *stores: PreparedStore) -> None:
    """UsageProblem for options that the recipe has no use for, and for pictures of another size than CP-VTON's."""
    default = TrainOptions(options.stage, options.data, options.out)
    unused = [name for name in WITHOUT_USE if getattr(options, name) != getattr(default, name)]
    if options.perceptual == "vgg19" and options.perceptual_weight != default.perceptual_weight:
        unused.append("perceptual_weight")
    if unused:
        raise UsageProblem(f"--{unused[0].replace('_', '-')}: the recipe cpvton has no use for it")
    if options.stage == "tom" and options.keep != "head":
        raise UsageProblem(f"--keep {options.keep}: the recipe cpvton keeps the head alone, as CP-VTON does")
    for store in stores:
        if store.size != SIZE:
            raise UsageProblem(
                f"{store.root}: holds pictures of {store.size[0]}x{store.size[1]}, the recipe cpvton takes "
                f"{SIZE[0]}x{SIZE[1]}; run `vtcli prepare` with another --size"
            )


def _read(store: PreparedStore, rows: np.ndarray) -> Batch:
    return {name: torch.from_numpy(store.read(name, rows)) for name in FIELDS}


def _count(counts: LabelCounts, expected: Tensor | None, parse: Tensor) -> None:
    if expected is not None:
        logits = F.interpolate(expected, size=SIZE, mode="bilinear", align_corners=False)
        counts.add(logits.argmax(1), parse)


def _parse_metrics(counts: LabelCounts) -> dict[str, float]:
    if not counts.total:
        return {}
    return {f"parse_{k}": v for k, v in counts.metrics().items() if k in ("accuracy", "mean_iou")}
