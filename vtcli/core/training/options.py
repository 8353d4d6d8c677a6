"""What a training run was asked to do; it is stored in every checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STAGES = ("parser", "gmm", "tom")


@dataclass
class TrainOptions:
    """Options of one run. Exactly one of `steps`, `epochs` and `minutes` bounds it.

    `photos` are folders of labelled photos beside the store (parser only); `gmm` is the trained GMM whose warps
    the TOM learns from. `extra` is a second store (drawn people, say) that gives
    `extra_share` of the samples. A loss weight of None takes the stage's own. `losses`
    are the TOM's: "full", "cpvton" (L1, perceptual, M_cm) or "l1"; None: the preset's own.
    """

    stage: str
    data: Path
    out: Path
    preset: str = "lite"
    aux: bool = True
    keep: str = "both"
    steps: int | None = None
    epochs: float | None = None
    minutes: float | None = None
    batch_size: int | None = None
    lr: float | None = None
    seed: int = 0
    val: int = 500
    validate_every: int | None = None
    checkpoint_minutes: float = 5.0
    init: Path | None = None
    gmm: Path | None = None
    photos: list[Path] = field(default_factory=list)
    extra: Path | None = None
    extra_share: float = 0.05
    losses: str | None = None
    perceptual: str = "lite0"
    vgg_weights: Path | None = None
    perceptual_weight: float | None = None
    mask_weight: float = 1.0
    skin_weight: float = 2.0
    background_weight: float = 2.0
    aux_weight: float | None = None
    adversarial_weight: float = 0.0
    backgrounds: float | None = None
    amp: bool | None = None
    compile: bool = False
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    warmup: int = 200

    def to_json(self, names_only: bool = False) -> dict[str, Any]:
        """Options as JSON-ready values; with `names_only` paths are cut to their last part, for files that travel."""

        def text(path: Path) -> str:
            return path.name if names_only else str(path)

        return {
            k: text(v) if isinstance(v, Path) else [text(p) for p in v] if k == "photos" else v
            for k, v in asdict(self).items()
        }
