"""Fits the two layers that look at a garment alone: which way up it is, and whether it is several, one over another.

    python benchmarks/one_garment.py turns PHOTOS GARMENTS.csv TRAIN_STORE TEST_STORE -o outline.safetensors
    python benchmarks/one_garment.py several PHOTOS GARMENTS.csv TRAIN_STORE TEST_STORE -o outline.safetensors [--sheet sheet.png]

Both are linear on what the kinds' network sees (`vtcli.core.models.outline`), are added to the weights that
`benchmarks/cutouts.py train` writes, and are measured on the test split and the held-out photos. Arguments as there. `turns`: the
same garments in four positions. `several`: one garment, in any position, against two that lie one over the other.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cutouts import Cut, beyond_doubt, centred, lay
from benchmarks.kinds import KIND_OF, held_out
from vtcli.core.data.images import open_rgb
from vtcli.core.data.store import PreparedStore
from vtcli.core.garments.pieces import find_garment
from vtcli.core.garments.placement import BOX as BOX_ON_CANVAS
from vtcli.core.models.kind import TOPS
from vtcli.core.models.outline import LYING_SIZE, TURNS, OutlineNet
from vtcli.core.models.weights import read_weights, save_weights
from vtcli.core.tryon.photos.judged_garment import SEVERAL
from vtcli.core.tryon.photos.shop_photo import SURE_TURN

EVERY = {"turns": 8, "several": 3}
"""One training garment in so many is enough to tell."""
PAIRS = 1.5
"""Pictures of two garments for one of one."""
CANVAS, TALL = 640, 200
"""Side of the picture on which two garments are laid, and their longer side, in pixels."""
APART = 0.28, 0.65
"""How far apart their middles lie, in their longer sides."""


def positions(cut: Cut, rng: np.random.Generator) -> list[np.ndarray]:
    """A garment alone on white (192, 144, 3), upright and turned by one to three quarters anticlockwise, as it is placed."""
    return [alone(cut, rng, quarters) for quarters in range(TURNS)]


def alone(cut: Cut, rng: np.random.Generator, quarters: int = 0) -> np.ndarray:
    """A garment alone on white, turned by quarters anticlockwise, as it is placed: (192, 144, 3) uint8."""
    box = cut.mask.shape if quarters % 2 == 0 else cut.mask.shape[::-1]
    fit = min(BOX_ON_CANVAS[0] / box[0], BOX_ON_CANVAS[1] / box[1])
    turn = -np.pi / 2 * quarters + rng.normal(0, 0.06)
    move = centred(cut, (256, 192), fit, float(turn), (0.0, 0.0), bool(rng.random() < 0.5))
    view, _ = lay(cut, np.full((256, 192, 3), 255, np.float32), move, (0.0, 1.0, 0.0), 0.0)
    return cv2.resize(view, LYING_SIZE[::-1], interpolation=cv2.INTER_AREA)


def together(cuts: Sequence[Cut], rng: np.random.Generator) -> Cut:
    """Two garments, the second over a part of the first, beside it or anywhere."""
    beside = rng.choice([0.0, np.pi]) + rng.normal(0, 0.3)
    way = beside if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)
    far = TALL * rng.uniform(*APART)
    picture, mask = np.full((CANVAS, CANVAS, 3), 255, np.float32), np.zeros((CANVAS, CANVAS), bool)
    for cut, place in zip(cuts, ((0.0, 0.0), (far * np.cos(way), far * np.sin(way))), strict=True):
        fit = TALL / max(cut.mask.shape) * rng.uniform(0.85, 1.15)
        move = centred(
            cut, (CANVAS, CANVAS), fit, float(rng.normal(0, 0.15)), place, bool(rng.random() < 0.5)
        )
        laid, share = lay(cut, picture, move, (float(rng.uniform(0, 0.3)), 2.0, 2.0), 0.0)
        picture, mask = laid.astype(np.float32), mask | (share > 0.5)
    return Cut.of(picture.astype(np.uint8), mask)


@torch.no_grad()
def maps_of(network: OutlineNet, views: Sequence[np.ndarray]) -> Tensor:
    """What the network sees of `views` (192, 144, 3) uint8: (n, C, 12, 9)."""
    maps = []
    for start in range(0, len(views), 32):
        x = torch.from_numpy(np.stack(views[start : start + 32])).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        with torch.autocast("cpu", torch.bfloat16):
            maps.append(network.seen(x.contiguous(memory_format=torch.channels_last))[-1].float())
    return torch.cat(maps)


def regress(layer: nn.Linear, loss: Callable[[], Tensor]) -> None:
    """Fit the layer by logistic regression (L-BFGS) with a small penalty."""
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        total = loss() + 1e-3 * layer.weight.square().sum()
        total.backward()
        return total

    optimiser.step(closure)


def fit_turns(network: OutlineNet, sources: dict[bool, Iterator[Cut]], sheet: Path | None) -> None:
    """The layer that tells which way up a garment is."""

    def views(cuts: Iterable[Cut], seed: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng(seed)
        found = [view for cut in cuts for view in positions(cut, rng)]
        return maps_of(network, found), torch.arange(TURNS).repeat(len(found) // TURNS)

    (maps, targets), (held, truth) = (views(sources[apart], int(apart)) for apart in (False, True))
    regress(network.turn, lambda: F.cross_entropy(network.turns([maps]), targets))
    with torch.inference_mode():
        chances = network.turns([held]).softmax(1)
    certain = chances.max(1).values > SURE_TURN
    wrong = (chances.argmax(1) != truth) & certain
    upright = truth == 0
    right = float((chances.argmax(1) == truth).float().mean())
    print(f"{len(truth)} views of {int(upright.sum())} held-out garments: {right:.1%} right")
    print(f"upright, surely taken for turned: {int((wrong & upright).sum())} of {int(upright.sum())}")
    print(f"turned, surely seen as turned: {float((certain & ~wrong)[~upright].float().mean()):.1%}")


def fit_several(network: OutlineNet, sources: dict[bool, Iterator[Cut]], sheet: Path | None) -> None:
    """The layer that tells several garments from one."""

    def views(cuts: list[Cut], seed: int) -> tuple[list[np.ndarray], Tensor]:
        rng = np.random.default_rng(seed)
        one = [alone(cut, rng, int(rng.integers(TURNS)) if rng.random() < 0.2 else 0) for cut in cuts]
        pairs = rng.integers(0, len(cuts), (round(PAIRS * len(cuts)), 2))
        two = [alone(together([cuts[i] for i in pair], rng), rng) for pair in pairs]
        return [*one, *two], torch.tensor([0.0] * len(one) + [1.0] * len(two))

    (learned, targets), (held, truth) = (views(list(sources[apart]), int(apart)) for apart in (False, True))
    maps = maps_of(network, learned)
    regress(network.several, lambda: F.binary_cross_entropy_with_logits(network.overlaps([maps]), targets))
    with torch.inference_mode():
        chances = network.overlaps([maps_of(network, held)]).sigmoid()
    told, one = chances > SEVERAL, truth < 0.5
    print(f"two garments, told: {float(told[~one].float().mean()):.1%} of {int((~one).sum())}")
    print(f"one garment, taken for several: {int(told[one].sum())} of {int(one.sum())}")
    if sheet is not None:
        likeliest = torch.argsort(chances * one, descending=True)[:16].tolist()
        least = torch.argsort(chances + one.float())[:16].tolist()
        rows = [np.hstack([held[i] for i in part]) for part in (likeliest, least)]
        Image.fromarray(np.vstack(rows)).save(sheet)


def store_cuts(store: PreparedStore, every: int) -> Iterator[Cut]:
    """The garments of a split."""
    for row in range(0, len(store), every):
        yield Cut.of(store.read("cloth", [row])[0], store.read("garment_mask", [row])[0] > 127)


def tops(photos: Path, table: Path, apart: bool, every: int) -> Iterator[Cut]:
    """The tops of the photos whose cut-out is beyond doubt, of those held out or of the others."""
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    own = np.nonzero(held_out([row["file"] for row in rows]) == apart)[0]
    for row in (rows[i] for i in own[::every]):
        if KIND_OF.get(row["label"], "top") in TOPS:
            rgb = np.asarray(open_rgb(photos / row["file"]))
            if beyond_doubt(rgb, mask := find_garment(rgb).mask):
                yield Cut.of(rgb, mask)


def main() -> None:
    """Fit a layer, measure it, and add it to the weights."""
    fits = {"turns": fit_turns, "several": fit_several}
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("layer", choices=fits)
    options.add_argument("photos", type=Path)
    options.add_argument("table", type=Path)
    options.add_argument("train", type=Path)
    options.add_argument("test", type=Path)
    options.add_argument(
        "-o", "--out", type=Path, required=True, help="the weights that the layer is added to"
    )
    options.add_argument(
        "--sheet", type=Path, help="several: the likeliest of one, and the least likely of two"
    )
    chosen = options.parse_args()
    torch.set_num_threads(1)
    every = EVERY[chosen.layer]
    network = OutlineNet().eval()
    metadata, state = read_weights(chosen.out)
    network.load_state_dict(state, strict=False)
    train, test = PreparedStore.open(chosen.train, "train"), PreparedStore.open(chosen.test, "test")
    sources = {
        False: itertools.chain(
            tops(chosen.photos, chosen.table, False, max(1, every // 2)), store_cuts(train, every)
        ),
        True: itertools.chain(tops(chosen.photos, chosen.table, True, 1), store_cuts(test, 2)),
    }
    fits[chosen.layer](network, sources, chosen.sheet)
    save_weights(chosen.out, network, metadata, whole=True)


if __name__ == "__main__":
    main()
