"""Trains and measures the network that tells kinds of garments (`vtcli.core.models.kind`).

    python benchmarks/kinds.py PHOTOS GARMENTS.csv STORE [--street FOLDER] [--gallery FOLDER] [--cache FOLDER]
                               [-o kind.safetensors] [--before kind.safetensors] [--measure]

PHOTOS: a folder of photos of single garments; GARMENTS.csv: file and label of each, as in the public "clothing dataset"
(Pants, Dress, T-Shirt, ...); STORE: a prepared store whose train and test garments are all tops; FOLDER of street photos:
`photos/*.jpg`, `labels/*.png` and, beside it, `labels.json`, as in Clothing Co-Parsing. 200 of the photos, chosen by a hash
of their names, and the store's test garments are held out. `--gallery`: shop photos named for their kind (dresses_00.jpg),
measured only. `--measure`: the weights that come with vtcli are measured as they are, and none trained.

The first three stages keep ImageNet's weights, so that their maps are made once for every view of every picture (`--cache`);
the fourth and fifth and the head are trained on them. Everything is measured as `vtcli tryon` looks at a garment: the whole
picture and the cut-out alone, both mirrored too. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import copy
import csv
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
from vtcli.core.models.kind import KINDS, LEAST_TOP, SIZE, TOPS, KindNet
from vtcli.core.models.lite0 import lite0_scale, load_lite0_state
from vtcli.core.models.load import load_kind, load_outline, load_parser
from vtcli.core.models.weights import read_weights, save_weights, stage_file
from vtcli.core.system.errors import VtcliError
from vtcli.core.tryon.annotate import Annotator
from vtcli.core.tryon.window import whole

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
Sample = tuple[np.ndarray, int]


def view(rgb: np.ndarray, rng: np.random.Generator, white: bool = False) -> np.ndarray:
    """`rgb` (h, w, 3) uint8 whole in (192, 144, 3): turned, scaled, leaning, mirrored, now and then on its side, in another
    light, grey or with its channels exchanged; its edge is repeated, or `white` goes on beside it."""
    (tall, wide), (height, width) = SIZE, rgb.shape[:2]
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


def street_views(photos: Photos, folder: Path) -> Iterator[Sample]:
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
                for _ in range(2):
                    yield view(photos.ground(cut, rng), rng), KINDS.index(kind)


def store_views(photos: Photos, root: Path) -> Iterator[Sample]:
    """Every fourth garment of a store, and every twelfth drawn out to a dress."""
    rng, store = np.random.default_rng(3), PreparedStore.open(root, "train")
    for number, cloth in enumerate(store.read("cloth", range(0, len(store), 4))):
        yield view(cloth, rng, white=True), ANY_TOP
        yield view(photos.ground(cloth, rng), rng), ANY_TOP
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
            yield view(dress, rng, white=True), KINDS.index("dress")


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


@torch.inference_mode()
def chances(net: KindNet, pictures: list[np.ndarray]) -> Tensor:
    """Probabilities (6) of the kinds of one garment in `pictures` (256, 192, 3) uint8 of it, mirrored too."""
    views = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    views = torch.cat([views, views.flip(3)]).contiguous(memory_format=torch.channels_last)
    return net(views).softmax(1).mean(0)


def look(net: KindNet, rgb: np.ndarray, likely: Likely) -> Tensor:
    """What `vtcli tryon` thinks of a garment's picture: probabilities (6)."""
    cut = alone(rgb, likely=likely)
    return chances(net, [whole(rgb).photo(rgb)] + ([cut] if cut is not None else []))


def measure(found: list[Tensor], kinds: list[int]) -> dict[str, float]:
    """Accuracy, and tops refused and others accepted, in shares."""
    probabilities, y = torch.stack(found), torch.tensor(kinds)
    top, accepted = y < len(TOPS), probabilities[:, : len(TOPS)].sum(1) >= LEAST_TOP
    values = {"accuracy": float((probabilities.argmax(1) == y).float().mean())}
    if top.any():
        values["tops refused"] = float((~accepted)[top].float().mean())
    if (~top).any():
        values["others accepted"] = float(accepted[~top].float().mean())
    return {name: round(value, 4) for name, value in values.items()}


def report(net: KindNet, photos: Photos, store: Path, gallery: Path | None) -> dict[str, dict[str, float]]:
    """What is held out, measured."""
    rows = photos.rows(apart=True)
    parser = load_parser(stage_file(None, "parser"))
    likely = Annotator(parser, torch.device("cpu"), kinds=load_kind(None), outline=load_outline(None)).likely
    found = [look(net, photos.read(row), likely) for row in rows]
    out = {f"{HELD_OUT} photos": measure(found, [photos.kinds[row] for row in rows])}
    for row, p in zip(rows, found, strict=True):
        if int(p.argmax()) != photos.kinds[row]:
            print(
                f"  {photos.names[row]}: {KINDS[photos.kinds[row]]} taken for {KINDS[int(p.argmax())]} ({p.max():.0%})"
            )
    test = PreparedStore.open(store, "test")
    kept = [
        float(look(net, c, likely)[: len(TOPS)].sum()) >= LEAST_TOP
        for c in test.read("cloth", range(len(test)))
    ]
    out["the store's test garments"] = {"number": len(kept), "refused": len(kept) - sum(kept)}
    if gallery is not None:
        files = sorted(gallery.glob("*_*.jpg"))
        named = [look(net, np.asarray(open_rgb(file)), likely) for file in files]
        stems = [file.stem.split("_")[0] for file in files]
        kinds = [next(i for i, k in enumerate(KINDS) if stem.startswith(k)) for stem in stems]
        right = sum(int(p.argmax()) == kind for p, kind in zip(named, kinds, strict=True))
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
    options.add_argument("--measure", action="store_true")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    photos = Photos(chosen.photos, chosen.table)
    if chosen.measure:
        net, samples = load_kind(None), 0
    else:
        data = _data(chosen, photos)
        samples = sum(len(y) for _, y in data.values())
        net = train(data, chosen.epochs, chosen.seed, chosen.rate, chosen.before)
    found = report(net, photos, chosen.store, chosen.gallery)
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
