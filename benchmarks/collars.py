"""Trains and measures the network that finds the inside of back collars (`vtcli.core.garments.collar_network`).

    python benchmarks/collars.py STORE [-o collar.safetensors] [--steps 700] [--sheet sheet.png]

STORE: a prepared store. What it learns from: garments whose inside a watershed finds, their insides re-coloured (in the
front's own colours, too, where no watershed finds them) and given labels; and garments that show none, as their warps
onto their own models tell: nothing of them lies on bare skin at the neck. Measured on the test split: the overlap with
the watershed's insides, and how many it finds beside them.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.store import PreparedStore
from vtcli.core.garments.clear_collar import clear_collar
from vtcli.core.garments.collar_network import SIZE, collar_view, seen_collar
from vtcli.core.models.blocks import conv_block
from vtcli.core.models.folding import fold_batch_norm
from vtcli.core.models.warping import warp_garments
from vtcli.core.models.weights import save_weights
from vtcli.core.system.workers import side_by_side
from vtcli.core.training.pairs import Pairs, read_pairs
from vtcli.core.tryon.networks import Networks

NO_INSIDE = 0.25
"""Bare neck under a garment, in per cent of the squared shoulder width, below which it shows no inside."""
POSITIVE, NEGATIVE = 32, 16
"""Samples of a batch with an inside and without."""


class CollarNet(nn.Module):
    """What `collar_view` shows (B, 4, 64, 96) → logits (B, 1, 64, 96)."""

    def __init__(self, widths: tuple[int, ...] = (16, 24, 40, 64)) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Sequential(*conv_block(4, widths[0]))])
        for a, b in itertools.pairwise(widths):
            self.down.append(
                nn.Sequential(nn.Sequential(*conv_block(a, b, stride=2)), nn.Sequential(*conv_block(b, b)))
            )
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList(nn.Sequential(*conv_block(a + b, b)) for a, b in pairs)
        self.out = nn.Conv2d(widths[0], 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        features = []
        for level in self.down:
            x = level(x)
            features.append(x)
        for level, skip in zip(self.up, features[-2::-1], strict=True):
            larger = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = level(torch.cat([larger, skip], 1))
        out: Tensor = self.out(x)
        return out


def bare_necks(networks: Networks, store: PreparedStore, rows: np.ndarray) -> np.ndarray:
    """How much of each garment at `rows` lies on its model's bare neck, in per cent of the squared shoulder width; infinite
    where no shoulders are seen."""
    pairs = Pairs.of(read_pairs(store, rows))
    given = (pairs.image, pairs.parse, pairs.keypoints, pairs.cloth, pairs.cloth_mask, pairs.cloth_mask)
    covered = warp_garments(networks.gmm, *given, False).mask[:, 0].numpy() > 0.5
    out = np.full(len(rows), np.inf)
    for i, (parse, joints) in enumerate(zip(pairs.parse.numpy(), pairs.keypoints.numpy(), strict=True)):
        if not L.joints_present(joints[[L.NECK, L.R_SHOULDER, L.L_SHOULDER]]).all():
            continue
        across = abs(joints[L.R_SHOULDER, 0] - joints[L.L_SHOULDER, 0])
        y, x = np.mgrid[: parse.shape[0], : parse.shape[1]]
        near = (abs(x - joints[L.NECK, 0]) < 0.3 * across) & (y < joints[L.NECK, 1] + 0.5 * across)
        bare = near & covered[i] & np.isin(parse, (L.BACKGROUND, L.FACE))
        out[i] = 100.0 * bare.sum() / max(1.0, across**2)
    return out


def sample(
    rng: np.random.Generator, photo: np.ndarray, mask: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A garment changed at random: what the network sees (64, 96, 4), and where the inside is, (64, 96) in [0, 1]."""
    photo, mask, inside = photo.astype(np.float32), mask.copy(), inside.copy()
    if inside.any():
        if rng.random() < 0.7:
            photo = _recoloured(rng, photo, mask, inside)
        if rng.random() < 0.5:
            _add_label(rng, photo, mask, inside)
    if rng.random() < 0.7:
        photo = photo * rng.uniform(0.75, 1.15, 3) + rng.normal(0, 10)
    if rng.random() < 0.3:
        photo = 255.0 - photo
    photo = np.clip(photo, 0, 255)
    turn = cv2.getRotationMatrix2D((96.0, 60.0), rng.normal(0, 4), float(np.exp(rng.uniform(-0.25, 0.2))))
    turn[:, 2] += rng.normal(0, (5, 4))
    photo, mask, inside = (
        cv2.warpAffine(x, turn, (mask.shape[1], mask.shape[0]), borderValue=255 if x is photo else 0)
        for x in (photo, mask.astype(np.uint8), inside.astype(np.float32))
    )
    rows = np.nonzero(mask.any(1))[0]
    seen, move = collar_view(photo, mask > 0, int(rows[0]) if len(rows) else 0)
    truth = cv2.warpAffine(cv2.GaussianBlur(inside, (0, 0), 0.6), move, SIZE[::-1])
    if rng.random() < 0.5:
        seen, truth = seen[:, ::-1], truth[:, ::-1]
    return np.ascontiguousarray(seen, np.float32), np.ascontiguousarray(truth)


def _recoloured(
    rng: np.random.Generator, photo: np.ndarray, mask: np.ndarray, inside: np.ndarray
) -> np.ndarray:
    """The inside in the front's colour, a darker one, a grey or any, with its own texture or the front's."""
    ring = cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    ring &= mask & ~(cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    if not ring.any():
        return photo
    front = photo[ring].mean(0)
    choices: list[Callable[[], np.ndarray]] = [
        lambda: front + rng.normal(0, 5, 3), lambda: front * rng.uniform(0.5, 0.95),
        lambda: np.full(3, rng.uniform(20, 250)) + rng.normal(0, 6, 3), lambda: rng.uniform(0, 255, 3),
    ]  # fmt: skip
    colour = choices[int(rng.choice(4, p=(0.3, 0.35, 0.15, 0.2)))]()
    texture = photo - photo[inside].mean(0)
    if rng.random() < 0.5:
        moved = -int(rng.integers(15, 40)), int(rng.integers(-20, 20))
        texture = np.roll(photo, moved, (0, 1)) - front
    soft = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 0.7)[..., None]
    return photo + soft * (colour + texture * rng.uniform(0.5, 1.1) - photo)


def _add_label(rng: np.random.Generator, photo: np.ndarray, mask: np.ndarray, inside: np.ndarray) -> None:
    """A label at the upper rim, which may stand out above it; in place."""
    rows, columns = np.nonzero(inside)
    wide, tall = int(rng.integers(5, 22)), int(rng.integers(4, 13))
    top = max(0, int(rows.min()) + int(rng.integers(-4, 4)))
    left = int(np.median(columns[rows < rows.min() + 6])) - wide // 2 + int(rng.integers(-4, 5))
    where = slice(top, top + tall), slice(max(0, left), left + wide)
    ground = rng.uniform(0, 255)
    photo[where] = ground + rng.normal(0, 5, 3)
    if rng.random() < 0.6:
        photo[where][rng.random(photo[where].shape[:2]) < 0.25] = 255.0 - ground
    mask[where] = inside[where] = True


def train(store: PreparedStore, steps: int, seed: int = 0) -> CollarNet:
    """The network after `steps` batches."""
    torch.manual_seed(seed)
    rng, networks = np.random.default_rng(seed), Networks.load(None, torch.device("cpu"), tom=False)
    cloths, masks = (
        store.read("cloth", range(len(store))),
        store.read("garment_mask", range(len(store))) > 127,
    )
    insides = side_by_side(clear_collar, cloths, masks)
    with_one = np.array([i for i, inside in enumerate(insides) if inside.any()])
    rest = np.setdiff1d(np.arange(len(store)), with_one)
    bare = [bare_necks(networks, store, part) for part in np.array_split(rest, max(1, len(rest) // 32))]
    without = rest[np.concatenate(bare) < NO_INSIDE]
    print(f"{len(with_one)} garments with an inside, {len(without)} without")
    upper = slice(None), slice(store.size[0] // 2)
    cloths, masks, insides = cloths[upper], masks[upper], np.stack(insides)[upper]
    network = CollarNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        rows = np.concatenate([rng.choice(with_one, POSITIVE), rng.choice(without, NEGATIVE)])
        seen, truth = zip(*(sample(rng, cloths[i], masks[i], insides[i]) for i in rows), strict=True)
        x = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        y = torch.from_numpy(np.stack(truth))[:, None]
        logits = network(x)
        share, sides = logits.sigmoid(), (1, 2, 3)
        dice = 1 - (2 * (share * y).sum(sides) + 20) / ((share + y).sum(sides) + 20)
        loss = (4 * F.binary_cross_entropy_with_logits(logits, y) + dice).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {float(loss.detach()):.3f}", flush=True)
    return network.eval()


def measure(store: PreparedStore, sheet: Path | None) -> None:
    """The shipped network on a split, against the watershed."""
    cloths, masks = (
        store.read("cloth", range(len(store))),
        store.read("garment_mask", range(len(store))) > 127,
    )
    clear = side_by_side(clear_collar, cloths, masks)
    ours = side_by_side(seen_collar, cloths, masks)
    both = [(a & b).sum() / (a | b).sum() for a, b in zip(clear, ours, strict=True) if a.any()]
    print(
        f"{len(both)} insides by the watershed: overlap {np.mean(both):.3f}, {np.mean(np.array(both) > 0.5):.1%} found"
    )
    more = [i for i, (a, b) in enumerate(zip(clear, ours, strict=True)) if b.any() and not a.any()]
    print(f"{len(more)} of the {sum(not a.any() for a in clear)} others have one by the network")
    if sheet is not None and more:
        cells = []
        for i in more[:96]:
            cell = cloths[i, :112].copy()
            cell[ours[i][:112]] = cell[ours[i][:112]] // 2 + np.array((127, 0, 127), np.uint8)
            cells.append(cell)
        cells += [np.zeros_like(cells[0])] * (-len(cells) % 12)
        lines = [np.concatenate(cells[k : k + 12], 1) for k in range(0, len(cells), 12)]
        Image.fromarray(np.concatenate(lines, 0)).save(sheet)


def main() -> None:
    """Train where an output is named; measure the network that comes with vtcli."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("store", type=Path)
    options.add_argument("-o", "--out", type=Path, help="train, and write the weights there")
    options.add_argument("--steps", type=int, default=700)
    options.add_argument("--sheet", type=Path, help="picture of the insides that the watershed does not find")
    chosen = options.parse_args()
    if chosen.out is not None:
        network = fold_batch_norm(train(PreparedStore.open(chosen.store, "train"), chosen.steps))
        save_weights(chosen.out, network, {"stage": "collar", "preset": "lite", "steps": chosen.steps})
    measure(PreparedStore.open(chosen.store, "test"), chosen.sheet)


if __name__ == "__main__":
    main()
