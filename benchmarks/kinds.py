"""Trains and measures what tells kinds of garments (`vtcli.core.models.kind`).

    python benchmarks/kinds.py PHOTOS GARMENTS.csv STORE [--street FOLDER] [--gallery FOLDER] [--cache FOLDER]
                               [-o kind.safetensors] [--before kind.safetensors] [--head] [--measure]

PHOTOS: a folder of photos of single garments; GARMENTS.csv: file and label of each, as in the public "clothing dataset"
(Pants, Dress, T-Shirt, ...); STORE: a prepared store whose train and test garments are all tops; FOLDER of street photos:
`photos/*.jpg`, `labels/*.png` and, beside it, `labels.json`, as in Clothing Co-Parsing. 200 of the photos, chosen by a hash
of their names, and the store's test garments are held out. `--gallery`: shop photos named for their kind (dresses_00.jpg),
measured only. `--measure`: the weights that come with vtcli are measured as they are, and none trained.

The first three stages keep ImageNet's weights, so that their maps are made once for every view of every picture (`--cache`);
the fourth and fifth and the head are trained on them. Everything is measured as `vtcli tryon` looks at a garment: the whole
picture and the cut-out alone, both mirrored too. Needs the extra `train`.

`--head`: instead of the network, what is linear in the parser's view is trained, in minutes, and cross-validated; it goes
with the parser that comes with vtcli.
"""

from __future__ import annotations

import argparse
import copy
import csv
import itertools
import json
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.images import open_rgb
from vtcli.core.data.store import PreparedStore
from vtcli.core.garments.cutout import Likely
from vtcli.core.garments.pieces import find_garment
from vtcli.core.garments.placement import place, without_hook
from vtcli.core.models.folding import fold_batch_norm
from vtcli.core.models.kind import GROUPS, KINDS, SIZE, TOPS, Kind, KindHead, KindNet, summary
from vtcli.core.models.lite0 import lite0_scale, load_lite0_state
from vtcli.core.models.load import load_kind, load_kind_head, load_outline, load_parser
from vtcli.core.models.weights import read_weights, save_weights, sha256, stage_file
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
FROZEN = 3
"""Stages that are not trained."""
PER_PHOTO, PER_CUT = 10, 5
"""Views of each photo and of each cut-out; every epoch sees one."""
PER_EPOCH = {"cuts": 500, "street": 350, "store": 350}
"""Views of each source that an epoch sees, beside one of each photo."""
HEAD_VIEWS, HEAD_STORE = 2, 800
"""For `KindHead`: changed views of each photo and of each cut-out, beside both as they are; changed views of the store, and
as many garments of it as they are."""
HEAD_WEIGHTS = {"plain": 1.0, "changed": 0.5, "street": 0.5, "store": 0.5}
HEAD_DECAY, FOLDS, LEAST_SPREAD = 0.01, 5, 0.03
"""Weight of the squares of the weights; parts of the photos, each left out once to measure on."""
Sample = tuple[np.ndarray, int]


def view(
    rgb: np.ndarray, rng: np.random.Generator, white: bool = False, size: tuple[int, int] = SIZE
) -> np.ndarray:
    """`rgb` (h, w, 3) uint8 whole in `size`: turned, scaled, leaning, mirrored, now and then on its side, in another
    light, grey or with its channels exchanged; its edge is repeated, or `white` goes on beside it."""
    (tall, wide), (height, width) = size, rgb.shape[:2]
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


def small(rgb: np.ndarray) -> np.ndarray:
    """`rgb` of 3:4 in (192, 144, 3)."""
    return np.asarray(cv2.resize(rgb, SIZE[::-1], interpolation=cv2.INTER_AREA))


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


def photo_views(photos: Photos) -> Iterator[Sample]:
    rng = np.random.default_rng(0)
    for row in photos.rows(apart=False):
        rgb = photos.read(row)
        for _ in range(PER_PHOTO - 1):
            yield view(rgb, rng), photos.kinds[row]
        yield small(whole(rgb).photo(rgb)), photos.kinds[row]


def cut_views(photos: Photos) -> Iterator[Sample]:
    rng = np.random.default_rng(1)
    for row in photos.rows(apart=False):
        if (cut := alone(photos.read(row))) is not None:
            for _ in range(PER_CUT - 1):
                yield view(photos.ground(cut, rng), rng), photos.kinds[row]
            yield small(cut), photos.kinds[row]


def street_views(
    photos: Photos, folder: Path, views: int = 2, size: tuple[int, int] = SIZE
) -> Iterator[Sample]:
    """What people wear in the street, cut out by its labels."""
    rng = np.random.default_rng(2)
    names: list[str] = json.loads((folder.parent / "labels.json").read_text())
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
                for _ in range(views):
                    yield view(photos.ground(cut, rng), rng, size=size), KINDS.index(kind)


def store_views(photos: Photos, root: Path, size: tuple[int, int] = SIZE) -> Iterator[Sample]:
    """Every fourth garment of a store, and every twelfth drawn out to a dress."""
    rng, store = np.random.default_rng(3), PreparedStore.open(root, "train")
    for number, cloth in enumerate(store.read("cloth", range(0, len(store), 4))):
        yield view(cloth, rng, white=True, size=size), ANY_TOP
        yield view(photos.ground(cloth, rng), rng, size=size), ANY_TOP
        rows = np.nonzero((cloth < 235).any((1, 2)))[0]
        if number % 3 or len(rows) < 60:
            continue
        waist, hem = int(rows[0] + (rows[-1] - rows[0]) * rng.uniform(0.45, 0.7)), rows[-1]
        length, flare = int((hem - waist) * rng.uniform(3.5, 6.4)), rng.uniform(-0.1, 0.9)
        skirt = cv2.resize(cloth[waist:hem], (192, length), interpolation=cv2.INTER_CUBIC)
        for row in range(length):
            across = (np.arange(192) - 96) / (1 + flare * row / length) + 96
            skirt[row] = skirt[row][across.clip(0, 191).astype(int)]
        dress = np.concatenate([cloth[:waist], skirt, cloth[hem:]])
        for _ in range(2):
            yield view(dress, rng, white=True, size=size), KINDS.index("dress")


@torch.inference_mode()
def early_maps(net: KindNet, samples: Iterator[Sample]) -> tuple[Tensor, Tensor]:
    """What the frozen stages see of `samples` (n, C, 24, 18), half precision, and their targets (n)."""
    maps, targets, batch = [], [], []

    def flush() -> None:
        pictures = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        x = lite0_scale(pictures.contiguous(memory_format=torch.channels_last))
        with torch.autocast("cpu", torch.bfloat16):
            x = F.relu6(net.encoder.bn1(net.encoder.conv_stem(x)))
            maps.append(net.encoder.blocks[:FROZEN](x).half().contiguous())
        batch.clear()

    for picture, target in samples:
        batch.append(picture)
        targets.append(target)
        if len(batch) == 32:
            flush()
    if batch:
        flush()
    return torch.cat(maps), torch.tensor(targets)


def _start(before: Path | None = None) -> KindNet:
    """ImageNet's encoder and a head that says nothing yet, or the weights of a run `before`."""
    net = KindNet()
    if before is not None:
        net.load_state_dict(read_weights(before)[1])
    else:
        names = net.encoder.state_dict().keys()
        net.encoder.load_state_dict({k: v for k, v in load_lite0_state().items() if k in names})
        nn.init.kaiming_normal_(net.neck.weight)
        for layer in (net.neck.bias, net.out.weight, net.out.bias):
            nn.init.zeros_(layer)
    for module in net.modules():
        if hasattr(module, "conv_dw"):  # depthwise convolutions are slow backwards in half precision
            module.conv_dw = Float32(module.conv_dw)
    return net.to(memory_format=torch.channels_last)


class Float32(nn.Module):
    """`layer` in single precision, whatever the others have."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return self.layer(x.float())


def _epoch(sizes: dict[str, int], rng: np.random.Generator) -> np.ndarray:
    """Rows of one epoch: a view of each photo, and `PER_EPOCH` of the other sources."""
    rows, start = [], 0
    for name, size in sizes.items():
        if name == "photos":
            rows.append(
                np.arange(size // PER_PHOTO) * PER_PHOTO + rng.integers(0, PER_PHOTO, size // PER_PHOTO)
            )
        else:
            rows.append(start + rng.choice(size, min(size, PER_EPOCH[name]), replace=False))
        start += size
    chosen = np.concatenate(rows)
    rng.shuffle(chosen)
    return chosen


def _loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy (n) with a label smoothing of 0.06, kinds weighted against their numbers; `ANY_TOP`: of top and outerwear
    together."""
    chances = logits.log_softmax(1)
    kind = targets.clamp_max(len(KINDS) - 1)
    named = -(0.94 * chances.gather(1, kind[:, None])[:, 0] + 0.06 * chances.mean(1)) * weights[kind]
    return torch.where(targets == ANY_TOP, -torch.logsumexp(chances[:, : len(TOPS)], 1), named)


def train(
    data: dict[str, tuple[Tensor, Tensor]], epochs: int, seed: int, rate: float, before: Path | None = None
) -> KindNet:
    """Stages four and five and the head: AdamW, one cycle, EMA, mirrored copies and, in every third batch, mixup."""
    torch.manual_seed(seed)
    rng, net, batch = np.random.default_rng(seed), _start(before), 32
    x, y = (torch.cat([pair[i] for pair in data.values()]) for i in (0, 1))
    sizes = {name: len(pair[1]) for name, pair in data.items()}
    count = torch.bincount(data["photos"][1], minlength=len(KINDS)).float()
    weights = (count.sum() / count.clamp_min(1)).sqrt()
    weights = weights * count.sum() / (weights * count).sum()
    late, net.encoder.blocks = net.encoder.blocks[FROZEN:], net.encoder.blocks[:FROZEN]
    trained = nn.ModuleList([late, net.neck, net.out])
    flat = [p for p in trained.parameters() if p.ndim == 1]
    groups = [
        {"params": [p for p in trained.parameters() if p.ndim > 1], "weight_decay": 0.05},
        {"params": flat, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, rate)
    steps = len(_epoch(sizes, np.random.default_rng(0))) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=steps * epochs, pct_start=0.15
    )
    average, step = copy.deepcopy(trained), 0
    net.drop.train()
    late.eval()  # the batch norms keep ImageNet's statistics
    for epoch in range(epochs):
        rows, total = _epoch(sizes, rng), 0.0
        for part in rows[: steps * batch].reshape(steps, batch):
            maps, targets = x[part].float(), y[part]
            mirrored = torch.rand(batch) < 0.5
            maps = torch.where(mirrored[:, None, None, None], maps.flip(3), maps)
            other, share = torch.randperm(batch), 1.0
            if rng.random() < 0.35:
                share = float(rng.beta(0.2, 0.2))
                maps = share * maps + (1 - share) * maps[other]
            with torch.autocast("cpu", torch.bfloat16):
                logits = net.judge(late(maps.contiguous(memory_format=torch.channels_last))).float()
            loss = share * _loss(logits, targets, weights) + (1 - share) * _loss(
                logits, targets[other], weights
            )
            optimiser.zero_grad()
            loss.mean().backward()
            optimiser.step()
            schedule.step()
            step, total = step + 1, total + float(loss.detach().mean())
            with torch.no_grad():
                for kept, new in zip(average.parameters(), trained.parameters(), strict=True):
                    kept.lerp_(new, 1 - min(0.995, (1 + step) / (10 + step)))
        print(f"epoch {epoch + 1}/{epochs}: loss {total / steps:.3f}", flush=True)
    return _whole(net, average)


def _whole(net: KindNet, trained: nn.ModuleList) -> KindNet:
    """A network of `net`'s frozen stages and what was `trained`."""
    net.encoder.blocks.extend(trained[0])
    net.neck, net.out = trained[1], trained[2]
    for module in net.modules():
        if isinstance(getattr(module, "conv_dw", None), Float32):
            module.conv_dw = module.conv_dw.layer
    return net.eval()


SummedUp = tuple[Tensor, Tensor, Tensor, Tensor]
"""Summaries (n, 2784), targets (n), weights (n), and rows of the photos (n), -1 for what is none."""


def head_views(chosen: argparse.Namespace, photos: Photos) -> Iterator[tuple[np.ndarray, int, float, int]]:
    """Pictures (256, 192, 3), their targets and weights, and the rows of their photos (-1: of none)."""
    rng, likely, size = np.random.default_rng(4), _as_shipped().likely, (256, 192)
    plain, changed = HEAD_WEIGHTS["plain"], HEAD_WEIGHTS["changed"]
    for row in photos.rows(apart=False):
        rgb, kind = photos.read(row), photos.kinds[row]
        photo = whole(rgb).photo(rgb)
        cut = alone(rgb, likely=likely)
        cut = photo if cut is None else cut
        yield photo, kind, plain, row
        yield cut, kind, plain, row
        for _ in range(HEAD_VIEWS):
            yield view(rgb, rng, size=size), kind, changed, row
            yield view(photos.ground(cut, rng), rng, size=size), kind, changed, row
    store = PreparedStore.open(chosen.store, "train")
    whole_store = np.linspace(0, len(store) - 1, HEAD_STORE).astype(int).tolist()
    others: dict[str, Iterator[Sample]] = {
        "store": itertools.chain(
            ((cloth, ANY_TOP) for cloth in store.read("cloth", whole_store)),
            itertools.islice(store_views(photos, chosen.store, size), HEAD_STORE),
        )
    }
    if chosen.street is not None:
        others["street"] = street_views(photos, chosen.street, 1, size)
    for name, samples in others.items():
        for picture, target in samples:
            yield picture, target, HEAD_WEIGHTS[name], -1


@torch.inference_mode()
def summed_up(samples: Iterator[tuple[np.ndarray, int, float, int]]) -> SummedUp:
    """What the parser that comes with vtcli sees of `samples`."""
    parser = fold_batch_norm(load_parser(stage_file(None, "parser")))
    found, rest = [], []
    while batch := list(itertools.islice(samples, 16)):
        labels, _, maps = parser.with_maps(_signed([sample[0] for sample in batch]))
        found.append(summary(labels, maps))
        rest.extend(sample[1:] for sample in batch)
    targets, weights, rows = (torch.tensor(column) for column in zip(*rest, strict=True))
    return torch.cat(found), targets, weights, rows


def fit_head(data: SummedUp, seen: Tensor) -> KindHead:
    """The linear classifier with the least loss on the samples `seen` (n) bool: L-BFGS. Spreads are those of photos that
    are not changed."""
    x, y, weights, rows = (column[seen] for column in data)
    head = KindHead()
    plain = x[(rows >= 0) & (weights == HEAD_WEIGHTS["plain"])]
    mean, spread = plain.mean(0), plain.std(0).clamp_min(LEAST_SPREAD)
    head.spread.copy_(torch.stack([(group**2).mean().sqrt() for group in spread.split(GROUPS)]))
    x = (x - mean) / head.scale()
    kind = y.clamp_max(len(KINDS) - 1)
    count = torch.bincount(kind[rows >= 0], minlength=len(KINDS)).float().clamp_min(1)
    # Kinds are weighted against their numbers, by the fourth root: more of it names more tops wrongly.
    weights = weights * (count.sum() / count)[kind] ** 0.25
    weights = weights / weights.sum()
    layer = nn.Linear(x.shape[1], len(KINDS))
    for values in layer.parameters():
        nn.init.zeros_(values)
    optimiser = torch.optim.LBFGS(layer.parameters(), max_iter=80, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        total = (_loss(layer(x), y, torch.ones(len(KINDS))) * weights).sum()
        total = total + HEAD_DECAY * (layer.weight**2).sum()
        total.backward()
        return total

    optimiser.step(loss)
    with torch.no_grad():
        head.out.weight.copy_(layer.weight)
        head.out.bias.copy_(layer.bias - layer.weight @ (mean / head.scale()))
    return head.requires_grad_(False).eval()


@torch.inference_mode()
def left_out(data: SummedUp, photos: Photos) -> dict[str, float]:
    """What `KindHead` alone is worth on training photos, each judged without having been trained on."""
    x, _, weights, rows = data
    training = photos.rows(apart=False)
    place = torch.full((len(photos.names),), -1)
    place[torch.tensor(training)] = torch.from_numpy(np.random.default_rng(5).permutation(len(training)))
    fold = torch.where(rows >= 0, place[rows.clamp_min(0)] % FOLDS, -1)
    plain = weights == HEAD_WEIGHTS["plain"]
    chances = torch.zeros(len(photos.names), len(KINDS))
    for number in range(FOLDS):
        with torch.inference_mode(False):
            head = fit_head(tuple(column.clone() for column in data), fold != number)
        seen = plain & (fold == number)
        logits = head.out(x[seen] / head.scale())
        chances.index_add_(0, rows[seen], logits.softmax(1) / 2)
    kinds = [Kind(tuple(row)) for row in chances[torch.tensor(training)].tolist()]
    return measure(kinds, [photos.kinds[row] for row in training])


def train_head(chosen: argparse.Namespace, photos: Photos) -> None:
    """Summaries, cross-validation, training, measuring, writing."""
    cached = chosen.cache / "head.pt" if chosen.cache else None
    if cached and cached.is_file():
        data: SummedUp = torch.load(cached)
    else:
        data = summed_up(head_views(chosen, photos))
        if cached:
            torch.save(data, cached)
    data = tuple(column.clone() for column in data)
    crossed = left_out(data, photos)
    print(f"alone, {FOLDS} folds of the training photos", crossed, flush=True)
    head = fit_head(data, torch.ones(len(data[1]), dtype=torch.bool))
    found = report(load_kind(None), head, photos, chosen.store, chosen.gallery)
    for name, values in found.items():
        print(name, values)
    if chosen.out:
        parser = stage_file(None, "parser")
        metadata = {
            "stage": "kind_head", "kinds": list(KINDS), "parser": sha256(parser), "samples": len(data[1]),
            "folds": crossed, "validation": found,
        }  # fmt: skip
        save_weights(chosen.out, head, metadata, whole=True)


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


def report(
    net: KindNet, head: KindHead | None, photos: Photos, store: Path, gallery: Path | None
) -> dict[str, dict[str, float]]:
    """What is held out, measured."""
    rows, likely = photos.rows(apart=True), _as_shipped().likely
    parser = load_parser(stage_file(None, "parser"))
    annotator = Annotator(parser, torch.device("cpu"), WEAK, net, head=head)
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


def _data(chosen: argparse.Namespace, photos: Photos) -> dict[str, tuple[Tensor, Tensor]]:
    makers: dict[str, Callable[[], Iterator[Sample]]] = {
        "photos": lambda: photo_views(photos),
        "cuts": lambda: cut_views(photos),
        "street": lambda: street_views(photos, chosen.street),
        "store": lambda: store_views(photos, chosen.store),
    }
    data = {}
    for name, make in makers.items():
        if name == "street" and chosen.street is None:
            continue
        cached = chosen.cache / f"{name}.pt" if chosen.cache else None
        if cached and cached.is_file():
            data[name] = torch.load(cached, mmap=True)
            continue
        data[name] = early_maps(_start().eval(), make())
        if cached:
            torch.save(data[name], cached)
    return data


def main() -> None:
    """Maps, training, measuring, writing."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("photos", type=Path)
    options.add_argument("table", type=Path)
    options.add_argument("store", type=Path)
    options.add_argument("--street", type=Path)
    options.add_argument("--gallery", type=Path)
    options.add_argument("--cache", type=Path, help="folder for the maps, made once")
    options.add_argument("-o", "--out", type=Path)
    options.add_argument("--epochs", type=int, default=12)
    options.add_argument("--rate", type=float, default=1.5e-3)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--before", type=Path, help="weights of an earlier run to go on from")
    options.add_argument("--head", action="store_true", help="train what is linear in the parser's view")
    options.add_argument("--measure", action="store_true")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    photos = Photos(chosen.photos, chosen.table)
    if chosen.head and not chosen.measure:
        train_head(chosen, photos)
        return
    net, head, samples = load_kind(None), load_kind_head(None), 0
    if not chosen.measure:
        data = _data(chosen, photos)
        samples = sum(len(y) for _, y in data.values())
        net = train(data, chosen.epochs, chosen.seed, chosen.rate, chosen.before)
    found = report(net, head, photos, chosen.store, chosen.gallery)
    for name, values in found.items():
        print(name, values)
    if chosen.out and not chosen.measure:
        metadata = {
            "stage": "kind", "kinds": list(KINDS), "epochs": chosen.epochs, "rate": chosen.rate, "seed": chosen.seed,
            "samples": samples, "validation": found,
        }  # fmt: skip
        save_weights(chosen.out, net, metadata, whole=True)


if __name__ == "__main__":
    main()
