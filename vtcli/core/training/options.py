"""What a training run was asked to do (it is stored in every checkpoint), and what each stage takes by default."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STAGES = ("parser", "gmm", "tom")


@dataclass(frozen=True)
class StageDefaults:
    """Defaults that depend on the stage and the preset."""

    epochs: float  # passes over the pairs of a run that was given no bound
    batch_size: int  # samples of a global batch
    lr: float  # highest learning rate
    losses: str = ""  # tom: which of its losses, see `TrainOptions.losses`


STAGE_DEFAULTS = {
    ("parser", "lite"): StageDefaults(epochs=30, batch_size=16, lr=1e-3),
    ("gmm", "lite"): StageDefaults(epochs=40, batch_size=32, lr=1e-3),
    ("tom", "lite"): StageDefaults(epochs=40, batch_size=16, lr=1e-3, losses="full"),
    # CP-VTON's published batch size and learning rate
    ("gmm", "paper"): StageDefaults(epochs=40, batch_size=4, lr=1e-4),
    ("tom", "paper"): StageDefaults(epochs=40, batch_size=4, lr=1e-4, losses="cpvton"),
}
"""By stage and preset."""


@dataclass
class TrainOptions:
    """Options of one run. At most one of `steps`, `epochs` and `minutes` bounds it."""

    stage: str  # one of STAGES
    data: Path  # prepared store
    out: Path  # folder for runs; this one goes to out/<stage>
    preset: str = "lite"  # "lite", or "paper" for CP-VTON's networks
    aux: bool = True  # train the auxiliary decoder to M_exp as well (gmm, tom)
    keep: str = "both"  # what the TOM sees of the photo: "head", "outside", or each in half of the batch

    steps: int | None = None  # bound: optimiser steps
    epochs: float | None = None  # bound: passes over the training pairs
    minutes: float | None = None  # bound: time in training and validation, all sittings together
    batch_size: int | None = None  # samples of a global batch; None: the stage's
    lr: float | None = None  # highest learning rate; None: the stage's
    seed: int = 0  # of the first weights, the samples and the augmentation
    warmup: int = 200  # steps of linear warm-up of the learning rate
    weight_decay: float = 0.01  # AdamW's, not applied to norms and biases
    clip: float = 1.0  # largest norm of the gradient; longer ones are scaled down
    ema: float = 0.999  # decay of the weights' moving average
    amp: bool | None = None  # bfloat16 arithmetic; None: where the hardware has it
    compile: bool = False  # torch.compile the network

    val: int = 500  # validation pairs, at most
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
        """The defaults of this stage and preset."""
        return STAGE_DEFAULTS[self.stage, self.preset]

    def to_json(self, names_only: bool = False) -> dict[str, Any]:
        """Options as JSON-ready values; with `names_only` paths are cut to their last part, for files that travel."""

        def text(path: Path) -> str:
            return path.name if names_only else str(path)

        return {
            k: text(v) if isinstance(v, Path) else [text(p) for p in v] if isinstance(v, list) else v
            for k, v in asdict(self).items()
        }
