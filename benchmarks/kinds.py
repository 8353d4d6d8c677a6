"""Trains and measures the head that tells kinds of garments (`vtcli.core.models.kind`).

    python benchmarks/kinds.py PHOTOS GARMENTS.csv STORE [-o kind.safetensors] [--cache FOLDER]

PHOTOS: a folder of photos of single garments; GARMENTS.csv: file and label of each, as in the public "clothing dataset"
(Pants, Dress, T-Shirt, ...); STORE: a prepared store whose train and test garments are all tops. 200 of the photos,
chosen by a hash of their names, and the store's test garments are held out. The features are made once, with one thread.
"""

from __future__ import annotations

import argparse
import csv
from hashlib import blake2b
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vtcli.core.data.images import open_rgb
from vtcli.core.data.store import PreparedStore
from vtcli.core.models.kind import KINDS, LEAST_TOP, TOPS, KindHead, kind_features
from vtcli.core.models.load import load_parser
from vtcli.core.models.parser import Parser
from vtcli.core.models.weights import save_weights, sha256, stage_file

KIND_OF = {
    "Blazer": "outerwear", "Outwear": "outerwear", "Dress": "dress", "Pants": "trousers", "Shorts": "shorts",
    "Skirt": "skirt",
}  # fmt: skip
"""Labels of the clothing dataset; every other one is a top."""
HELD_OUT = 200
SIZE = (256, 192)


def view(rgb: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
    """`rgb` (h, w, 3) uint8 whole in (256, 192, 3), its edge repeated; with `rng` turned, scaled, mirrored and in another
    light."""
    height, width = rgb.shape[:2]
    scale = min(SIZE[0] / height, SIZE[1] / width)
    move = np.array([[scale, 0, 96 - scale * width / 2], [0, scale, 128 - scale * height / 2], [0, 0, 1]])
    if rng is not None:
        zoom, angle = np.exp(rng.uniform(-0.45, 0.18)), np.deg2rad(rng.normal(0, 8))
        flip = -1.0 if rng.random() < 0.5 else 1.0
        c, s = np.cos(angle) * zoom, np.sin(angle) * zoom
        turn = np.array([[c * flip, -s, 0], [s * flip, c, 0], [0, 0, 1]])
        to, back = np.eye(3), np.eye(3)
        to[:2, 2], back[:2, 2] = (-96, -128), (96 + rng.normal(0, 9), 128 + rng.normal(0, 12))
        move, scale = back @ turn @ to @ move, scale * zoom
    if scale < 0.7:
        rgb = cv2.GaussianBlur(rgb, (0, 0), max(0.3, 0.5 / scale - 0.25))
    out = cv2.warpAffine(rgb, move[:2], SIZE[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if rng is not None:
        gain = np.exp(rng.normal(0, 0.12, 3)) * np.exp(rng.normal(0, 0.15))
        out = np.clip(out * gain + rng.normal(0, 8), 0, 255).astype(np.uint8)
    return np.asarray(out)


@torch.inference_mode()
def features(parser: Parser, pictures: list[np.ndarray]) -> np.ndarray:
    """What the head sees of `pictures` (256, 192, 3) uint8, half precision."""
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    return kind_features(parser, batch.contiguous(memory_format=torch.channels_last)).half().numpy()


def held_out(names: list[str]) -> np.ndarray:
    """Which of the photos are never trained on: the `HELD_OUT` with the smallest hashes."""
    order = np.argsort([blake2b(name.encode(), digest_size=8).hexdigest() for name in names])
    chosen = np.zeros(len(names), bool)
    chosen[order[:HELD_OUT]] = True
    return chosen


def photo_features(parser: Parser, folder: Path, names: list[str]) -> np.ndarray:
    """(n, 2, C, 4, 3): each photo as it is and changed."""
    rng = np.random.default_rng(0)
    pictures = (np.asarray(open_rgb(folder / name)) for name in names)
    return np.stack([features(parser, [view(rgb), view(rgb, rng)]) for rgb in pictures])


def store_features(parser: Parser, root: Path, split: str, step: int) -> np.ndarray:
    """(n, 2, C, 4, 3): every `step`th garment of a store's split, as it is and changed."""
    rng, store = np.random.default_rng(1), PreparedStore.open(root, split)
    rows = range(0, len(store), step)
    return np.stack([features(parser, [view(c), view(c, rng)]) for c in store.read("cloth", rows)])


def train(x: Tensor, y: Tensor, epochs: int, seed: int) -> KindHead:
    """A head trained on features (n, C, 4, 3) and kinds (n): AdamW, cosine, label smoothing, kinds weighted against their
    numbers."""
    torch.manual_seed(seed)
    head = KindHead()
    head.mean.copy_(x.mean((0, 2, 3)))
    head.scale.copy_(1.0 / x.std((0, 2, 3)).clamp_min(1e-3))
    count = torch.bincount(y, minlength=len(KINDS)).float()
    loss_of = nn.CrossEntropyLoss(weight=(count.sum() / count.clamp_min(1)).sqrt(), label_smoothing=0.05)
    optimiser = torch.optim.AdamW(head.parameters(), 1.5e-3, weight_decay=0.05)
    steps = epochs * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1.5e-3, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            batch = x[rows]
            flipped = torch.rand(len(rows)) < 0.5
            batch = torch.where(flipped[:, None, None, None], batch.flip(3), batch)
            optimiser.zero_grad()
            loss_of(head(batch), y[rows]).backward()
            optimiser.step()
            schedule.step()
    return head.eval()


@torch.inference_mode()
def measure(head: KindHead, x: Tensor, y: Tensor) -> dict[str, float]:
    """Accuracy, tops refused and others accepted, in shares."""
    chances = (head(x).softmax(1) + head(x.flip(3)).softmax(1)) / 2
    tops = torch.tensor([k in TOPS for k in KINDS])
    top, accepted = tops[y], chances[:, tops].sum(1) >= LEAST_TOP
    found = {"accuracy": float((chances.argmax(1) == y).float().mean())}
    if top.any():
        found["tops refused"] = float((~accepted)[top].float().mean())
    if (~top).any():
        found["others accepted"] = float(accepted[~top].float().mean())
    return {name: round(value, 4) for name, value in found.items()}


def main() -> None:
    """Features, training, measuring, writing."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("photos", type=Path)
    options.add_argument("table", type=Path)
    options.add_argument("store", type=Path)
    options.add_argument("-o", "--out", type=Path)
    options.add_argument("--cache", type=Path, help="folder for the features, made once")
    options.add_argument("--epochs", type=int, default=40)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    file = stage_file(None, "parser")
    parser = load_parser(file)
    rows = list(csv.DictReader(chosen.table.open(encoding="utf-8")))
    names = [row["file"] for row in rows]
    kinds = torch.tensor([KINDS.index(KIND_OF.get(row["label"], "top")) for row in rows])
    made = {
        "photos": lambda: photo_features(parser, chosen.photos, names),
        "train": lambda: store_features(parser, chosen.store, "train", 12),
        "test": lambda: store_features(parser, chosen.store, "test", 1),
    }
    data: dict[str, Tensor] = {}
    for name, make in made.items():
        cached = chosen.cache / f"{name}.npy" if chosen.cache else None
        array = np.load(cached) if cached and cached.is_file() else make()
        if cached and not cached.is_file():
            np.save(cached, array)
        data[name] = torch.from_numpy(array.astype(np.float32))
    apart = torch.from_numpy(held_out(names))
    photos, tops = data["photos"], data["train"]
    top = KINDS.index("top")
    x = torch.cat([photos[~apart].flatten(0, 1), tops.flatten(0, 1)])
    y = torch.cat([kinds[~apart].repeat_interleave(2), torch.full((2 * len(tops),), top)])
    head = train(x, y, chosen.epochs, chosen.seed)
    test = data["test"]
    found = {
        f"{HELD_OUT} photos": measure(head, photos[apart][:, 0], kinds[apart]),
        "the store's test garments": measure(head, test[:, 0], torch.full((len(test),), top)),
    }
    for name, values in found.items():
        print(name, values)
    if chosen.out:
        metadata = {
            "stage": "kind", "kinds": list(KINDS), "parser": sha256(file), "epochs": chosen.epochs,
            "seed": chosen.seed, "samples": len(x), "validation": found,
        }  # fmt: skip
        save_weights(chosen.out, head, metadata)


if __name__ == "__main__":
    main()
