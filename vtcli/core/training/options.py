"""What a training run was asked to do (it is stored in every checkpoint), and what each stage takes by default."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vtcli.core.system.errors import UsageProblem

STAGES = ("parser", "gmm", "tom")
RECIPES = ("vtcli", "cpvton")
"""How GMM and TOM are trained: vtcli's own way, or CP-VTON's (`cpvton_recipe.py`). `docs/recipes.md` has a table."""


@dataclass(frozen=True)
class OptimizerSettings:
    """How the weights follow the gradient: AdamW, or with a decay of 0 plain Adam."""

    betas: tuple[float, float] = (0.9, 0.999)  # decay of the moments
    weight_decay: float = 0.01  # AdamW's, not applied to norms and biases
    warmup: int = 200  # steps of linear warm-up of the learning rate
    final_lr: float = 0.01  # share of the learning rate that half a cosine ends at; 1: the rate is constant
    clip: float = 1.0  # largest norm of the gradient; longer ones are scaled down; inf: none are
    ema: float = 0.999  # decay of the weights' moving average; 0: the weights themselves
    amp: bool | None = None  # bfloat16 arithmetic; None: where the hardware has it
    channels_last: bool = True  # where it is faster; on CPUs BatchNorm's training step is less exact in it


CPVTON_OPTIMIZER = OptimizerSettings(
    betas=(0.5, 0.999), weight_decay=0.0, warmup=1, final_lr=1.0, clip=math.inf, ema=0.0, amp=False,
    channels_last=False,
)  # fmt: skip
"""CP-VTON's code: Adam at a constant rate (it builds a scheduler and never steps it), in float32."""


@dataclass(frozen=True)
class StageDefaults:
    """Defaults that depend on the stage, the preset and the recipe."""

    batch_size: int  # samples of a global batch
    lr: float  # highest learning rate
    epochs: float | None = None  # passes over the pairs of a run that was given no bound
    steps: int | None = None  # the same in optimiser steps
    losses: str = ""  # tom: which of its losses, see `TrainOptions.losses`
    aux: bool = True  # whether the auxiliary decoder is trained
    keep: str = "both"  # tom: what it sees of the photo
    perceptual: str = "lite0"  # tom: which perceptual loss, see `TrainOptions.perceptual`
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)


STAGE_DEFAULTS = {
    ("parser", "lite", "vtcli"): StageDefaults(epochs=30, batch_size=16, lr=1e-3),
    ("gmm", "lite", "vtcli"): StageDefaults(epochs=40, batch_size=32, lr=1e-3),
    ("tom", "lite", "vtcli"): StageDefaults(epochs=40, batch_size=16, lr=1e-3, losses="full"),
    # CP-VTON's published batch size and learning rate
    ("gmm", "paper", "vtcli"): StageDefaults(epochs=40, batch_size=4, lr=1e-4),
    ("tom", "paper", "vtcli"): StageDefaults(epochs=40, batch_size=4, lr=1e-4, losses="cpvton"),
    # at 128×96 a batch of 4 leaves the processor idle
    ("gmm", "paper-small", "vtcli"): StageDefaults(epochs=40, batch_size=16, lr=5e-4),
    ("tom", "paper-small", "vtcli"): StageDefaults(epochs=40, batch_size=16, lr=5e-4, losses="cpvton"),
    # and everything else of its code as well
    ("gmm", "paper", "cpvton"): StageDefaults(
        steps=200_000, batch_size=4, lr=1e-4, aux=False, optimizer=CPVTON_OPTIMIZER
    ),
    ("tom", "paper", "cpvton"): StageDefaults(
        steps=200_000,
        batch_size=4,
        lr=1e-4,
        aux=False,
        keep="head",
        perceptual="vgg19",
        optimizer=CPVTON_OPTIMIZER,
    ),
}
"""By stage, preset and recipe."""


def stage_defaults(stage: str, preset: str, recipe: str) -> StageDefaults:
    """The defaults; UsageProblem where there is no such stage, preset or recipe, or they do not go together."""
    if stage not in STAGES:
        raise UsageProblem(f"unknown stage {stage!r}; one of {', '.join(STAGES)}")
    if recipe not in RECIPES:
        raise UsageProblem(f"unknown recipe {recipe!r}; one of {', '.join(RECIPES)}")
    if (stage, preset, "vtcli") not in STAGE_DEFAULTS:
        raise UsageProblem(f"the {stage} has no preset {preset!r}")
    if (stage, preset, recipe) not in STAGE_DEFAULTS:
        raise UsageProblem(f"--recipe {recipe}: is for CP-VTON's networks, --preset paper, not for {preset}")
    return STAGE_DEFAULTS[stage, preset, recipe]


def usual_recipe(preset: str) -> str:
    """The recipe of a run that names none: each preset's own."""
    return "cpvton" if preset == "paper" else "vtcli"


@dataclass
class TrainOptions:
    """Options of one run. At most one of `steps`, `epochs` and `minutes` bounds it."""

    stage: str  # one of STAGES
    data: Path  # prepared store
    out: Path  # folder for runs; this one goes to out/<stage>
    preset: str = "lite"  # a name in `models/presets.py`: "paper" for CP-VTON's networks
    recipe: str = "vtcli"  # one of RECIPES (gmm, tom); "cpvton" with the preset "paper" alone
    aux: bool = True  # train the auxiliary decoder to M_exp as well (gmm, tom)
    keep: str = "both"  # what the TOM sees of the photo: "head", "outside", or each in half of the batch

    steps: int | None = None  # bound: optimiser steps
    epochs: float | None = None  # bound: passes over the training pairs
    minutes: float | None = None  # bound: time in training and validation, all sittings together
    batch_size: int | None = None  # samples of a global batch; None: the stage's
    lr: float | None = None  # highest learning rate; None: the stage's
    seed: int = 0  # of the first weights, the samples and the augmentation
    optimizer: OptimizerSettings | None = None  # how the weights follow the gradient; None: the recipe's
    amp: bool | None = None  # bfloat16 arithmetic; None: the recipe's
    compile: bool = False  # torch.compile the network
    resident: bool = False  # keep the samples in the device's memory and make batches there (gmm, tom)

    val: int = 500  # validation pairs, at most; there are as many as the half for choosing has
    validate_every: int | None = None  # steps between validations; None: the stage's
    checkpoint_minutes: float = 5.0  # minutes between checkpoints

    init: Path | None = None  # weights to start from, a file or a folder
    gmm: Path | None = (
        None  # the trained GMM whose warps the TOM learns from; None: the one that comes with vtcli
    )
    photos: list[Path] = field(
        default_factory=list
    )  # labelled photos: parser learns from them, tom takes backgrounds
    extra: Path | None = None  # a second store to mix in, of synthetic people for example
    extra_share: float = 0.05  # probability with which a sample comes from `extra`
    others: list[Path] = field(
        default_factory=list
    )  # results folders: the people in other garments (gmm, tom)
    other_share: float = 0.65  # probability with which a person is given as in one of `others`
    triplets: Path | None = None  # synthetic triplets: unpaired try-ons with truth (gmm, tom)
    triplet_share: float = 0.3  # probability with which a sample is a triplet
    backgrounds: float = 0.5  # tom: probability that a person kept with keep=outside gets another background

    skin_weight: float = 2.0  # class weight of face, arms and legs in M_exp's cross-entropy
    background_weight: float = 2.0  # class weight of the background in M_exp's cross-entropy
    aux_weight: float = 0.1  # multiplier on M_exp's loss
    losses: str | None = None  # tom: "full", "cpvton" (L1, perceptual, M_cm) or "l1"; None: the preset's
    mask_weight: float = 1.0  # tom: multiplier on the composition-mask loss
    perceptual: str = "lite0"  # tom: "lite0", "vgg19" (the paper's) or "none"
    perceptual_weight: float = 0.1  # tom: multiplier on the perceptual loss
    vgg_weights: Path | None = None  # tom: torchvision's vgg19 weights; None: torch hub's cache
    adversarial_weight: float = 0.0  # tom: multiplier on the generator's loss; 0: no discriminator

    @property
    def defaults(self) -> StageDefaults:
        """The defaults of this stage, preset and recipe; UsageProblem where the three do not go together."""
        return stage_defaults(self.stage, self.preset, self.recipe)

    def to_json(self, names_only: bool = False) -> dict[str, Any]:
        """Options as JSON-ready values; with `names_only` paths are cut to their last part, for files that travel."""

        def text(path: Path) -> str:
            return path.name if names_only else str(path)

        return {
            k: text(v) if isinstance(v, Path) else [text(p) for p in v] if isinstance(v, list) else v
            for k, v in asdict(self).items()
        }
