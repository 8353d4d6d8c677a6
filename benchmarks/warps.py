"""Ways to warp, and what each part of the GMM's training is worth, at equal samples.

    python benchmarks/warps.py STORE OUT --others OTHERS --triplets TRIPLETS [--steps 300] [--batch-size 16] [--only flow ...]

STORE: a prepared VITON folder; OTHERS: the training people in other garments (the README's recipe has the command); TRIPLETS:
`python -m vtcli.core.synthetic triplets`, with a train and a test split. Trains the `VARIANTS` of lite's GMM, all with the same
samples in the same order, then measures each on the pairs for choosing (`vtcli.core.data.validation`) and on the test triplets.
They begin with the features and the decoder of the weights that come with vtcli (`--from-nothing`: with random ones); what makes
the warp of them begins anew. Runs that are there are kept, one that was stopped is resumed. Writes OUT/warps.md and warps.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.on_triplets import on_triplets
from vtcli.core.data.pixels import likeliest
from vtcli.core.data.store import PreparedStore
from vtcli.core.data.validation import half
from vtcli.core.models.common import GMM, GMMOutput
from vtcli.core.models.flow import spline_offsets
from vtcli.core.models.lite_gmm import LiteGMM, LiteGMMSettings, SplineRegressor
from vtcli.core.models.load import load_gmm
from vtcli.core.models.presets import GMM_PRESETS, build_gmm
from vtcli.core.models.warping import Warp, warp_garments
from vtcli.core.models.weights import read_metadata, read_weights, save_weights, stage_file
from vtcli.core.scoring.pictures import StorePicture
from vtcli.core.scoring.sleeve_scores import arms_in, report
from vtcli.core.system import runtime
from vtcli.core.training.options import STAGE_DEFAULTS, OptimizerSettings, TrainOptions
from vtcli.core.training.pairs import Pairs, read_pairs
from vtcli.core.training.run import run
from vtcli.core.tryon.networks import People

CPU = torch.device("cpu")

PARTS = 3
"""A trunk and two sleeves, for tops."""
BATCH = 25


class SplineGMM(LiteGMM):
    """The spline of 5×5 points is all of the warp; M_exp sees the garment so warped."""

    def __init__(self, settings: LiteGMMSettings, aux: bool) -> None:
        super().__init__(settings, aux)
        for level in self.levels:
            level.correct.requires_grad_(False)  # it is zero


class PartsGMM(SplineGMM):
    """A spline for each part of the garment, and where each part lies on the person (after GP-VTON, Xie et al., CVPR 2023,
    whose parts have flows of their own)."""

    def __init__(self, settings: LiteGMMSettings, aux: bool) -> None:
        super().__init__(settings, aux)
        cells = settings.input_size[0] // 16 * (settings.input_size[1] // 16)
        self.regressor = SplineRegressor(cells + 2 * settings.widths[-1], cells)
        self.parts = nn.ModuleList(
            SplineRegressor(cells + 2 * settings.widths[-1], cells) for _ in range(PARTS - 1)
        )
        self.places = nn.Conv2d(settings.decoder_widths[0], PARTS, 3, padding=1)

    def forward(self, representation: Tensor, garment: Tensor, arms: Tensor | None = None) -> GMMOutput:
        person, cloth, matched, sleeve = self.encode(representation, garment, arms)
        thetas = [regressor(matched) for regressor in (self.regressor, *self.parts)]
        _, features = self.refine(person, cloth, thetas[0])
        assert features is not None
        shares = self.places(features).float().softmax(1)
        size = (shares.shape[2], shares.shape[3])
        splines = torch.stack([spline_offsets(theta, size) for theta in thetas], dim=1)
        flow = (shares[:, :, None] * splines).sum(1)
        expected = F.pixel_shuffle(self.parse_head(features), 2) if self.parse_head is not None else None
        return GMMOutput(thetas[0], expected, [flow], sleeve)


class NoSleevesGMM(LiteGMM):
    """Nothing tells where the garment's own sleeves end."""

    def __init__(self, settings: LiteGMMSettings, aux: bool) -> None:
        super().__init__(settings, aux)
        self.sleeve_head = None  # type: ignore[assignment]


@dataclass(frozen=True)
class Settings(LiteGMMSettings):
    """Lite's sizes, for another network."""

    network: type[LiteGMM] = LiteGMM

    def build(self, aux: bool) -> GMM:
        """The network with fresh weights; `aux`: with the auxiliary decoder."""
        return self.network(self, aux)


@dataclass(frozen=True)
class Variant:
    """A way to warp or to train: its network, and whether it has the auxiliary decoder and what its people are given in."""

    name: str
    network: type[LiteGMM] = LiteGMM
    aux: bool = True
    others: bool = True
    triplets: bool = True


VARIANTS = (
    Variant("flow"),
    Variant("spline", SplineGMM),
    Variant("parts", PartsGMM),
    Variant("flow, no triplets", triplets=False),
    Variant("flow, nobody in other garments", others=False),
    Variant("flow, neither", triplets=False, others=False),
    Variant("flow, no sleeve head", NoSleevesGMM),
    Variant("flow, no M_exp", aux=False),
)
COLUMNS = {
    "warp IoU": 4,
    "triplets: warp, median distance (pixels)": 2,
    "triplets: level line, 90th percentile (degrees)": 1,
    "triplets: M_exp mean IoU": 3,
    "triplets: hem, mean error (torso lengths)": 3,
    "sleeve end: mean error": 3,
    "sleeve end: slope on the garment's own": 3,
    "sleeve end: slope on the worn one": 3,
}  # fmt: skip
"""Figure and its digits."""


def register(variant: Variant) -> str:
    """The preset of a variant's network, for this process."""
    name = variant.network.__name__
    GMM_PRESETS.setdefault(name, Settings(network=variant.network))
    STAGE_DEFAULTS.setdefault(("gmm", name, "vtcli"), STAGE_DEFAULTS["gmm", "lite", "vtcli"])
    return name


def begun(variant: Variant, preset: str, file: Path) -> Path:
    """A weights file for the variant to begin with: the features that come with vtcli, and a warp from nothing."""
    network = build_gmm(preset, variant.aux)
    own, known = network.state_dict(), read_weights(stage_file(None, "gmm"))[1]
    kept = {name: x for name, x in known.items() if name in own and not _makes_the_warp(name)}
    network.load_state_dict({**own, **kept})
    file.parent.mkdir(parents=True, exist_ok=True)
    save_weights(file, network, {"stage": "gmm", "preset": preset, "aux": variant.aux})
    return file


def _makes_the_warp(name: str) -> bool:
    return name.startswith("regressor.") or ".correct." in name


def train(variant: Variant, base: TrainOptions, from_nothing: bool) -> Path:
    """The variant's weights, trained if they are not there."""
    preset = register(variant)
    torch.manual_seed(base.seed)
    start = None if from_nothing else begun(variant, preset, base.out / "begun" / f"{preset}.safetensors")
    options = replace(
        base, preset=preset, init=start, aux=variant.aux, out=base.out / variant.name.replace(" ", "-"),
        others=base.others if variant.others else [], triplets=base.triplets if variant.triplets else None,
    )  # fmt: skip
    folder = options.out / "gmm"
    if not (folder / "final.safetensors").is_file():
        resume = (folder / "last.safetensors").is_file()
        run(options, "auto", lambda event: None, resume)
    return folder / "final.safetensors"


def on_pairs(gmm: GMM, store: PreparedStore, rows: np.ndarray) -> dict[str, float]:
    """Sleeve ends of M_exp, each person in the next one's garment, against the garments' own and the worn ones."""
    cloths = np.roll(rows, -1)
    parses: list[np.ndarray] = []
    for start in range(0, len(rows), BATCH):
        part = slice(start, start + BATCH)
        pairs = Pairs.of(read_pairs(store, rows[part], cloths[part]))
        people = People(pairs.image, pairs.parse, pairs.keypoints)
        _, labels = dressed(gmm, people, pairs.cloth, pairs.cloth_mask, pairs.front_mask)
        if labels is None:
            return {}
        parses.extend(labels)
    people, garments = ([StorePicture(store.root, int(row)) for row in which] for which in (rows, cloths))
    found = report(arm for picture in arms_in(parses, people, garments) for arm in picture)
    if found is None:
        return {}
    return {
        "sleeve end: mean error": found.error,
        "sleeve end: slope on the garment's own": found.on_garment,
        "sleeve end: slope on the worn one": found.on_worn,
    }


def dressed(
    gmm: GMM, people: People, cloth: Tensor, mask: Tensor, front: Tensor
) -> tuple[Warp, np.ndarray | None]:
    """As `on_triplets` asks for it."""
    warp = warp_garments(
        gmm, people.image, people.parse, people.keypoints, cloth, mask, front, neckline=False
    )
    if warp.expected_parse is None:
        return warp, None
    full = F.interpolate(warp.expected_parse, size=people.size, mode="bilinear", align_corners=False)
    return warp, likeliest(full).numpy()


def table(found: dict[str, dict[str, float]]) -> str:
    """One row for each variant, as Markdown."""
    lines = [f"| | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, figures in found.items():
        cells = [f"{figures[c]:.{n}f}" if c in figures else "" for c, n in COLUMNS.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parse the command line, train, measure, print and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--others", type=Path, required=True)
    parser.add_argument("--triplets", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--from-nothing", action="store_true")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=[variant.name for variant in VARIANTS])
    options = parser.parse_args()
    base = TrainOptions(
        "gmm", options.data, options.out, steps=options.steps, batch_size=options.batch_size,
        validate_every=options.steps, checkpoint_minutes=2.0, optimizer=OptimizerSettings(warmup=20, ema=0.99), others=[options.others], triplets=options.triplets,
    )  # fmt: skip
    runtime.keep_memory()
    store = PreparedStore.open(options.data, "test")
    rows = half(store, "choosing")
    found: dict[str, dict[str, float]] = {}
    for variant in VARIANTS:
        if options.only and variant.name not in options.only:
            continue
        file = train(variant, base, options.from_nothing)
        gmm = load_gmm(file)
        figures = {"warp IoU": float(read_metadata(file)["figures"]["warp_iou"])}
        found[variant.name] = {
            **figures,
            **on_triplets(options.triplets / "test", partial(dressed, gmm), torch.device("cpu")),
            **on_pairs(gmm, store, rows),
        }
        (options.out / "warps.json").write_text(json.dumps(found, indent=1) + "\n")
        (options.out / "warps.md").write_text(table(found))
        print(table({variant.name: found[variant.name]}), flush=True)


if __name__ == "__main__":
    main()
