"""Trains and measures the network that cuts garments out of any background (`vtcli.core.models.outline`).

    python benchmarks/cutouts.py measure PHOTOS GARMENTS.csv STORE [--number 300] [--sheet sheet.png]
    python benchmarks/cutouts.py train PHOTOS GARMENTS.csv STORE -o outline.safetensors [--minutes 20] [--before FILE]
    python benchmarks/cutouts.py refused PHOTOS GARMENTS.csv STORE
    python benchmarks/cutouts.py notches STORE [--sheet sheet.png]

PHOTOS, GARMENTS.csv: photos of single garments and their labels, as for `kinds.py`, with the same 200 held out; STORE: a
prepared store. `measure`: garments of its test split over the backgrounds of the held-out photos, as somebody would lay
them there: the box takes 40 to 90 % of the picture, with a soft light shadow, saved as JPEG; the share that is cut out with
an overlap (IoU) of at least 0.9. `train`: garments of its train split, and those of the other photos whose cut-out is beyond
doubt, over the backgrounds of the other photos and drawn ones, and those photos as they are; `benchmarks/one_garment.py` adds two
layers to its weights. `refused`: of the held-out photos and the test split, what `vtcli tryon` refuses for whatever reason, and what
of the held-out photos of other garments it takes. `notches`: dark garments of the test split that keep pieces of the shop's white, of 15 pixels or more at 256×192, between sleeve and side.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from benchmarks.kinds import KIND_OF, held_out
from vtcli.core.data.images import open_rgb
from vtcli.core.data.store import PreparedStore
from vtcli.core.garments.cutout import garment_mask
from vtcli.core.garments.pieces import find_garment
from vtcli.core.garments.placement import own_colours
from vtcli.core.models.kind import TOPS
from vtcli.core.models.lite0 import load_lite0_state
from vtcli.core.models.load import load_kind, load_outline, load_parser
from vtcli.core.models.outline import OutlineNet
from vtcli.core.models.weights import read_weights, save_weights, stage_file
from vtcli.core.synthetic.backdrops import backdrop_colour
from vtcli.core.system.errors import VtcliError
from vtcli.core.tryon.photos.annotate import Annotator
from vtcli.core.tryon.pipeline import TryOn

FRAME = (512, 384)
"""Height and width of the pictures that are measured."""
BOX = 0.4, 0.9
"""Share of the picture that the garment's box takes where it is measured."""
RIGHT = 0.9
"""Overlap from which a cut-out is right."""
CALM, LIVELY = 4.0, 9.0
"""Standard deviation within 7×7 pixels, in levels of 255, up to which a background is calm, and from which it is lively."""
DARK, WHITE, PIECE = (125, 90), 242, 15
"""Levels of 255: nine tenths of a dark garment are below the first, half below the second; the shop's white is above the third.
Pixels of a piece of white that is seen."""
BESIDE, NECK = 0.22, 0.12
"""How far from the middle sleeves and sides meet, in widths of the garment, and how far from its top, in heights."""
BATCH, DRAWN = 16, 150
"""Samples of a batch, and drawn backgrounds beside those of photos."""
VIEWS = ((256, 192), (256, 192), (192, 256), (224, 224))
"""Sizes that the network sees in training, one a batch."""


@dataclass
class Cut:
    """A garment `rgb` (h, w, 3) uint8 whose edge has its own colours, and its `mask` (h, w) bool."""

    rgb: np.ndarray
    mask: np.ndarray

    @staticmethod
    def of(rgb: np.ndarray, mask: np.ndarray) -> Cut:
        rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        rgb, mask = np.pad(rgb[box], ((4, 4), (4, 4), (0, 0)), mode="edge"), np.pad(mask[box], 4)
        return Cut(own_colours(rgb, mask, 1), mask)


def ground_of(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """The largest strip of a photo that lies beside its garment `mask`; None where the garment's box is not in the middle of
    the picture, or leaves too little."""
    height, width = mask.shape
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    rows, columns = np.nonzero(wide.any(1))[0], np.nonzero(wide.any(0))[0]
    if not 0.1 < mask.mean() < 0.7 or len(rows) < 0.4 * height or len(columns) < 0.4 * width:
        return None
    off = abs(rows[0] + rows[-1] - height) / height, abs(columns[0] + columns[-1] - width) / width
    sides = [rgb[: rows[0]], rgb[rows[-1] + 1 :], rgb[:, : columns[0]], rgb[:, columns[-1] + 1 :]]
    strip = max(sides, key=lambda side: min(side.shape[:2]) if side.size else 0)
    return strip if min(strip.shape[:2]) >= 0.12 * min(height, width) and max(off) < 0.3 else None


def spread(strip: np.ndarray, size: tuple[int, int], start: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """`strip` and its mirror images in turn over `size`, from `start` (shares of the strip)."""
    out = strip
    for axis in (0, 1):
        first = int(start[axis] * out.shape[axis])
        places = np.arange(first, first + size[axis]) % (2 * out.shape[axis])
        out = np.take(out, np.minimum(places, 2 * out.shape[axis] - 1 - places), axis)
    return out


def lay(
    cut: Cut, ground: np.ndarray, move: np.ndarray, shadow: tuple[float, float, float], blur: float
) -> tuple[np.ndarray, np.ndarray]:
    """The garment moved by the affine map `move` (2, 3) onto `ground` (H, W, 3): the picture in uint8, and the garment's
    share of each pixel in [0, 1]. `shadow`: how dark, how soft and how far below, in levels of 1 and in pixels."""
    size = ground.shape[1::-1]
    zoom = float(np.sqrt(abs(np.linalg.det(move[:, :2]))))
    rgb, solid = cut.rgb, cut.mask.astype(np.float32)
    if zoom < 0.8:
        rgb = cv2.GaussianBlur(rgb, (0, 0), max(0.3, 0.5 / zoom - 0.25))
    solid = cv2.GaussianBlur(solid, (0, 0), max(0.35, 0.45 / zoom))
    colours = cv2.warpAffine(rgb, move, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(solid, move, size, flags=cv2.INTER_LINEAR)[..., None]
    dark, soft, below = shadow
    under = np.roll(share[..., 0], (round(below), round(0.6 * below)), (0, 1))
    light = 1.0 - np.float32(dark) * cv2.GaussianBlur(under, (0, 0), soft)[..., None]
    out = ground * light * (1 - share) + colours * share
    if blur > 0.3:
        out = cv2.GaussianBlur(out, (0, 0), blur)
    return out.clip(0, 255).astype(np.uint8), share[..., 0]


def jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    """`rgb` written as JPEG and read again."""
    data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def centred(
    cut: Cut, size: tuple[int, int], zoom: float, turn: float, off: tuple[float, float], flip: bool = False
) -> np.ndarray:
    """The affine map (2, 3) that lays the garment's middle onto the middle of a picture of `size`, `off` by some pixels, `zoom`
    times as large and `turn`ed (radians)."""
    height, width = cut.mask.shape
    c, s = zoom * np.cos(turn), zoom * np.sin(turn)
    linear = np.array([[-c if flip else c, -s], [-s if flip else s, c]])
    to = np.array([size[1] / 2 + off[0], size[0] / 2 + off[1]])
    return np.column_stack([linear, to - linear @ np.array([width / 2, height / 2])])


def composites(
    photos: list[np.ndarray], store: PreparedStore, number: int
) -> list[tuple[np.ndarray, np.ndarray, str]]:
    """`number` pictures of test garments on the grounds of `photos`: picture, garment (bool), and how lively the ground is."""
    rng = np.random.default_rng(5)
    grounds = [g for p in photos if (g := ground_of(p, find_garment(p).mask)) is not None]
    out = []
    for row in rng.choice(len(store), number, replace=number > len(store)):
        cut = Cut.of(store.read("cloth", [row])[0], store.read("garment_mask", [row])[0] > 127)
        strip = grounds[int(rng.integers(len(grounds)))]
        zoom = rng.uniform(1.0, 1.6)
        ground = spread(cv2.resize(strip, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC), FRAME)
        ground = ground.astype(np.float32)
        height, width = cut.mask.shape
        most = min(FRAME[0] / height, FRAME[1] / width)
        share = rng.uniform(*BOX)
        fit = min((share * FRAME[0] * FRAME[1] / (height * width)) ** 0.5, 0.97 * most)
        move = centred(cut, FRAME, fit, float(rng.normal(0, 0.05)), tuple(rng.normal(0, 5, 2)))
        shadow = rng.uniform(0.08, 0.3), rng.uniform(4, 10), rng.uniform(0, 7)
        picture, solid = lay(cut, ground, move, shadow, 0.5)
        out.append((jpeg(picture, int(rng.integers(75, 95))), solid > 0.5, liveliness(ground)))
    return out


def liveliness(ground: np.ndarray) -> str:
    """How much goes on in a background of `FRAME`'s size."""
    grey = cv2.resize(ground.mean(2), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    spreads = np.sqrt(np.maximum(cv2.blur(grey**2, (7, 7)) - cv2.blur(grey, (7, 7)) ** 2, 0))
    level = float(np.median(spreads))
    return "calm" if level < CALM else "lively" if level > LIVELY else "some"


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def measure(chosen: argparse.Namespace) -> None:
    """The share of composites that are cut out rightly, by how lively the background is."""
    photos = _photos(chosen, apart=True)
    rows = composites(photos, PreparedStore.open(chosen.store, "test"), chosen.number)
    likely = _annotator().likely
    found = [find_garment(picture, likely).mask for picture, _, _ in rows]
    values = np.array([overlap(mask, truth) for mask, (_, truth, _) in zip(found, rows, strict=True)])
    names = np.array([name for _, _, name in rows])
    for name in ("calm", "some", "lively"):
        part = values[names == name]
        if len(part):
            print(f"{name} backgrounds: {len(part)}, right {np.mean(part >= RIGHT):.1%}")
    print(f"all: {len(values)}, right {np.mean(values >= RIGHT):.1%}, median overlap {np.median(values):.3f}")
    if chosen.sheet is not None:
        order = np.argsort(values)[:60]
        write_sheet(chosen.sheet, [(rows[i][0], found[i], f"{values[i]:.2f}") for i in order])


def write_sheet(path: Path, cells: list[tuple[np.ndarray, np.ndarray, str]], across: int = 10) -> None:
    """Pictures beside their cut-outs, the rest green, on one sheet."""
    tiles = []
    for rgb, mask, text in cells:
        shown = np.where(mask[..., None], rgb, rgb // 3 + np.array([0, 150, 0], np.uint8))
        pair = np.concatenate(
            [cv2.resize(x, (96, 128), interpolation=cv2.INTER_AREA) for x in (rgb, shown)], 1
        )
        tiles.append(cv2.putText(np.ascontiguousarray(pair), text, (3, 12), 0, 0.4, (255, 0, 0), 1))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    lines = [np.concatenate(tiles[k : k + across], 1) for k in range(0, len(tiles), across)]
    Image.fromarray(np.concatenate(lines)).save(path)


def _photos(chosen: argparse.Namespace, apart: bool) -> list[np.ndarray]:
    names = [row["file"] for row in csv.DictReader(chosen.table.open(encoding="utf-8"))]
    rows = np.nonzero(held_out(names) == apart)[0]
    return [np.asarray(open_rgb(chosen.photos / names[row])) for row in rows]


def beyond_doubt(rgb: np.ndarray, mask: np.ndarray) -> bool:
    """Whether a photo's own cut-out is surely right: one smooth thing in the middle, without holes, of other colours than what
    is around it."""
    if not 0.12 < mask.mean() < 0.7 or ground_of(rgb, mask) is None:
        return False
    border = np.concatenate([mask[:3].ravel(), mask[-3:].ravel(), mask[:, :3].ravel(), mask[:, -3:].ravel()])
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(outlines, key=cv2.contourArea)
    area, length = cv2.contourArea(largest), cv2.arcLength(largest, True)
    if border.mean() > 0.04 or mask.sum() < 0.97 * area or area < 0.97 * mask.sum() or length**2 / area > 55:
        return False
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    within, without = (
        cv2.erode(solid.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0 for solid in (mask, ~mask)
    )
    near = cv2.blur(np.dstack([lab * within[..., None], within]).astype(np.float32), (31, 31))
    far = cv2.blur(np.dstack([lab * without[..., None], without]).astype(np.float32), (31, 31))
    rim = (cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0) & (
        (near[..., 3] > 0.05) & (far[..., 3] > 0.05)
    )
    if not rim.any():
        return False
    apart = np.linalg.norm(near[rim, :3] / near[rim, 3:] - far[rim, :3] / far[rim, 3:], axis=1)
    return bool(np.quantile(apart, 0.1) > 12)


class Samples:
    """What the network learns from: garments of a store, garments of photos, grounds of photos, and whole photos."""

    def __init__(self, photos: list[np.ndarray], store: PreparedStore) -> None:
        self.store, self.grounds, self.cuts = store, [], []
        self.drawn = [(backdrop_colour(256, 256, seed) * 255).astype(np.uint8) for seed in range(DRAWN)]
        self.whole: list[tuple[np.ndarray, np.ndarray]] = []
        for rgb in photos:
            mask = find_garment(rgb).mask
            if (strip := ground_of(rgb, mask)) is not None:
                self.grounds.append(strip)
            if beyond_doubt(rgb, mask):
                self.cuts.append(Cut.of(rgb, mask))
                self.whole.append((rgb, mask))
        print(f"{len(self.grounds)} backgrounds, {len(self.cuts)} cut-outs beyond doubt", flush=True)

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """A picture (H, W, 3) uint8 and the garment's share of each pixel (H, W)."""
        chance = rng.random()
        if chance < 0.15:
            rgb, solid = self._as_it_is(rng, size)
        else:
            rgb, solid = self._laid(
                rng, size, self._garment(rng) if chance < 0.72 else self._photos_garment(rng)
            )
        out = rgb.astype(np.float32)
        if rng.random() < 0.7:
            out = out * _tint(rng, 0.08, 0.12) + np.float32(rng.normal(0, 8))
        if rng.random() < 0.4:
            out = out + rng.standard_normal(out.shape, np.float32) * np.float32(rng.uniform(1, 7))
        out = out.clip(0, 255).astype(np.uint8)
        return (jpeg(out, int(rng.integers(60, 97))) if rng.random() < 0.6 else out), solid

    def _garment(self, rng: np.random.Generator) -> Cut:
        row = int(rng.integers(len(self.store)))
        return Cut.of(self.store.read("cloth", [row])[0], self.store.read("garment_mask", [row])[0] > 127)

    def _photos_garment(self, rng: np.random.Generator) -> Cut:
        return self.cuts[int(rng.integers(len(self.cuts)))]

    def _as_it_is(self, rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        rgb, mask = self.whole[int(rng.integers(len(self.whole)))]
        fit = max(size[0] / len(rgb), size[1] / rgb.shape[1]) * rng.uniform(0.97, 1.15)
        move = centred(Cut(rgb, mask), size, fit, float(rng.normal(0, 0.06)), (0, 0), rng.random() < 0.5)
        soft = cv2.GaussianBlur(rgb, (0, 0), max(0.3, 0.5 / fit - 0.25))
        moved = cv2.warpAffine(soft, move, size[::-1], borderMode=cv2.BORDER_REFLECT)
        solid = cv2.warpAffine(mask.astype(np.float32), move, size[::-1], borderMode=cv2.BORDER_REFLECT)
        return moved, solid

    def _laid(
        self, rng: np.random.Generator, size: tuple[int, int], cut: Cut
    ) -> tuple[np.ndarray, np.ndarray]:
        colours = cut.rgb.astype(np.float32)
        if rng.random() < 0.25:
            colours = colours[..., rng.permutation(3)]
        if rng.random() < 0.5:
            colours = colours * np.exp(rng.normal(0, 0.2, 3)) * np.exp(rng.normal(0, 0.25)) + rng.normal(
                0, 12
            )
        cut = Cut(colours.clip(0, 255).astype(np.uint8), cut.mask)
        height, width = cut.mask.shape
        fit = min(size[0] / height, size[1] / width) * rng.uniform(0.5, 1.08)
        turn = float(rng.normal(0, 0.12)) + (np.pi / 2 * rng.integers(4) if rng.random() < 0.12 else 0.0)
        move = centred(cut, size, fit, turn, tuple(rng.normal(0, 8, 2)), rng.random() < 0.5)
        dark = 0.0 if rng.random() < 0.2 else rng.uniform(0.05, 0.45)
        shadow = dark, rng.uniform(1.0, 6), rng.uniform(-3, 5)
        return lay(cut, self._ground(rng, size), move, shadow, rng.choice([0.0, 0.0, 0.5, 0.9]))

    def _ground(self, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        grounds = self.drawn if rng.random() < 0.25 else self.grounds
        strip = grounds[int(rng.integers(len(grounds)))]
        if rng.random() < 0.3:
            strip = strip.transpose(1, 0, 2)
        zoom = rng.uniform(0.5, 1.4)
        way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
        zoomed = cv2.resize(strip, None, fx=zoom, fy=zoom, interpolation=way)
        ground = spread(zoomed, size, (rng.random(), rng.random())).astype(np.float32)
        if rng.random() < 0.4:
            ground = ground * _tint(rng, 0.15, 0.2)
        if rng.random() < 0.3:  # light from one side
            across = np.linspace(-1, 1, size[1])[None, :, None] * rng.normal(0, 0.2)
            down = np.linspace(-1, 1, size[0])[:, None, None] * rng.normal(0, 0.2)
            ground = ground * (1 + across + down).clip(0.4, 1.6)
        return np.asarray(ground.clip(0, 255).astype(np.float32))


def _tint(rng: np.random.Generator, colour: float, light: float) -> np.ndarray:
    """Factors (3) of another light."""
    return np.asarray((np.exp(rng.normal(0, colour, 3)) * np.exp(rng.normal(0, light))).astype(np.float32))


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy, counted three times as much near the edge, and Dice."""
    near = F.max_pool2d(truth, 7, 1, 3) - -F.max_pool2d(-truth, 7, 1, 3)
    each = F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * (1 + 2 * near)
    share, sides = logits.sigmoid(), (1, 2, 3)
    dice = 1 - (2 * (share * truth).sum(sides) + 1) / ((share + truth).sum(sides) + 1)
    return each.mean() + dice.mean()


def _begun(before: Path | None) -> OutlineNet:
    """The network of a run `before`, or one with ImageNet's encoder. The encoder stays as it is, its batch norms too."""
    network = OutlineNet().to(memory_format=torch.channels_last)
    if before is not None:
        network.load_state_dict(read_weights(before)[1], strict=False)
    else:
        names = network.encoder.state_dict().keys()
        network.encoder.load_state_dict({k: v for k, v in load_lite0_state().items() if k in names})
    network.encoder.requires_grad_(False).eval()
    return network


def train(chosen: argparse.Namespace) -> None:
    """The decoder, by AdamW at a rate that falls to nothing as the minutes (of processor time) pass; averaged weights."""
    torch.set_num_threads(1)
    torch.manual_seed(chosen.seed)
    rng = np.random.default_rng(chosen.seed)
    samples = Samples(_photos(chosen, apart=False), PreparedStore.open(chosen.store, "train"))
    network = _begun(chosen.before)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98), use_buffers=True
    )
    optimiser = torch.optim.AdamW(
        [p for p in network.parameters() if p.requires_grad], chosen.rate, weight_decay=0.02
    )
    begin, step, passed = time.process_time(), 0, 0.0
    while passed < 1.0:
        for group in optimiser.param_groups:
            group["lr"] = (
                chosen.rate * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * np.cos(passed * np.pi / 2) ** 2)
            )
        size = VIEWS[int(rng.integers(len(VIEWS)))]
        pictures, shares = zip(*(samples.draw(rng, size) for _ in range(BATCH)), strict=True)
        x = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        truth = F.avg_pool2d(torch.from_numpy(np.stack(shares).astype(np.float32))[:, None], 2)
        with torch.autocast("cpu", torch.bfloat16):
            maps = network.seen(x.contiguous(memory_format=torch.channels_last))
            logits = network(maps).float()
        loss = loss_of(logits, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        average.update_parameters(network)
        step, passed = step + 1, (time.process_time() - begin) / 60 / chosen.minutes
        if step % 50 == 0:
            right = np.mean([overlap(a, b) for a, b in zip(logits[:, 0] > 0, truth[:, 0] > 0.5, strict=True)])
            print(f"step {step}: loss {float(loss.detach()):.3f}, overlap {right:.3f}", flush=True)
        if step % 200 == 0 or passed >= 1.0:
            metadata = {
                "stage": "outline", "steps": step, "batch": BATCH, "rate": chosen.rate, "seed": chosen.seed,
                "minutes": round(passed * chosen.minutes, 1),
            }  # fmt: skip
            save_weights(chosen.out, average.module, metadata, whole=True)


def _annotator() -> Annotator:
    parser = load_parser(stage_file(None, "parser"))
    return Annotator(parser, torch.device("cpu"), kinds=load_kind(None), outline=load_outline(None))


def refused(chosen: argparse.Namespace) -> None:
    """Garments that are refused, by their kind and the reason's first words."""
    engine = TryOn.load(device="cpu", tom=False)
    rows = list(csv.DictReader(chosen.table.open(encoding="utf-8")))
    apart = [row for row, own in zip(rows, held_out([row["file"] for row in rows]), strict=True) if own]
    store = PreparedStore.open(chosen.store, "test")
    sources: dict[str, list[Callable[[], np.ndarray]]] = {
        "photos of tops": [], "photos of others": [],
        "the store's": [lambda i=i: store.read("cloth", [i])[0] for i in range(len(store))],  # type: ignore[misc]
    }  # fmt: skip
    for row in apart:
        of_top = KIND_OF.get(row["label"], "top") in TOPS
        read = lambda file=chosen.photos / row["file"]: np.asarray(open_rgb(file))  # noqa: E731
        sources["photos of tops" if of_top else "photos of others"].append(read)
    for name, pictures in sources.items():
        reasons: list[str] = []
        for picture in pictures:
            try:
                engine.cut_out(picture())
            except VtcliError as problem:
                reasons.append(" ".join(str(problem).split()[:7]))
        print(f"{name}: {len(reasons)} of {len(pictures)} refused")
        for reason, times in Counter(reasons).most_common():
            print(f"  {times} {reason} …")


def notches(chosen: argparse.Namespace) -> None:
    """Dark garments with pieces of white."""
    store = PreparedStore.open(chosen.store, "test")
    cells, number = [], 0
    for row in range(len(store)):
        rgb = store.read("cloth", [row])[0]
        given = store.read("cloth_mask", [row])[0] > 127
        if not is_dark(rgb, given):
            continue
        number += 1
        mask = garment_mask(rgb)
        if pieces := white_pieces(rgb, mask):
            print(f"{store.manifest.entries[row].cloth}: {pieces}")
            cells.append((rgb, mask, str(max(pieces))))
    print(f"{len(cells)} of {number} dark garments keep pieces of white")
    if chosen.sheet is not None and cells:
        write_sheet(chosen.sheet, cells)


def is_dark(rgb: np.ndarray, mask: np.ndarray) -> bool:
    """Whether a garment has no light parts of its own."""
    levels = rgb[mask].max(1)
    return len(levels) >= 500 and np.quantile(levels, 0.9) < DARK[0] and np.median(levels) < DARK[1]


def white_pieces(rgb: np.ndarray, mask: np.ndarray) -> list[int]:
    """Pixels of each piece of the shop's white in a cut-out that is seen, between sleeve and side: what is white further in
    is a print, and at the neck a label or a keyhole."""
    white = ((rgb.min(2) > WHITE) & mask).astype(np.uint8)
    _, _, stats, centres = cv2.connectedComponentsWithStats(white, connectivity=4)
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    beside = abs(centres[:, 0] - (columns[0] + columns[-1]) / 2) > BESIDE * len(columns)
    below = centres[:, 1] - rows[0] > NECK * len(rows)
    seen_ones = (stats[:, cv2.CC_STAT_AREA] >= PIECE) & beside & below
    return [int(area) for area in stats[1:, cv2.CC_STAT_AREA][seen_ones[1:]]]


def main() -> None:
    """Measure, train, or count notches."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = options.add_subparsers(required=True)
    todo: dict[str, Callable[[argparse.Namespace], None]] = {
        "measure": measure, "train": train, "refused": refused, "notches": notches,
    }  # fmt: skip
    for name, function in todo.items():
        part = parts.add_parser(name)
        part.set_defaults(function=function)
        if name != "notches":
            part.add_argument("photos", type=Path)
            part.add_argument("table", type=Path)
        part.add_argument("store", type=Path)
        if name == "train":
            part.add_argument("-o", "--out", type=Path, required=True)
            part.add_argument("--minutes", type=float, default=20.0, help="of processor time")
            part.add_argument("--rate", type=float, default=3e-3)
            part.add_argument("--seed", type=int, default=0)
            part.add_argument("--before", type=Path, help="weights of an earlier run to go on from")
        elif name != "refused":
            part.add_argument("--number", type=int, default=300)
            part.add_argument("--sheet", type=Path, help="picture of the worst")
    chosen = options.parse_args()
    chosen.function(chosen)


if __name__ == "__main__":
    main()
