"""Trains and measures the network that finds the inside of back collars (`vtcli.core.garments.collar_network`).

    python benchmarks/collars.py STORE [-o collar.safetensors] [--steps 700] [--sheet sheet.png]

STORE: a prepared store. What it learns from: garments whose inside a watershed finds, their insides re-coloured (in the
front's own colours, too, where no watershed finds them) and given labels; and the others by their warps onto their own
models: what of them lies on bare skin at the neck is an inside, known but for its edge, and where nothing does they show
none. Measured on the test split: the overlap with the watershed's insides, with those by the warps, and how many it finds
beside the watershed's.
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
from vtcli.core.data.areas import disc
from vtcli.core.data.body_regions import neck_region
from vtcli.core.data.store import PreparedStore
from vtcli.core.garments.clear_collar import clear_collar, largest_part
from vtcli.core.garments.collar_network import SIZE, collar_view, seen_collar
from vtcli.core.models.blocks import conv_block
from vtcli.core.models.folding import fold_batch_norm
from vtcli.core.models.warping import warp_garments
from vtcli.core.models.weights import save_weights
from vtcli.core.system.workers import side_by_side
from vtcli.core.training.pairs import Pairs, read_pairs
from vtcli.core.tryon.networks import Networks

NO_INSIDE, AN_INSIDE = 0.25, 2.0
"""Bare neck under a garment, in per cent of the squared shoulder width, below which it shows no inside, and from which it
shows one. Set by eye on 64 garments."""
HIDDEN = 0.25
"""Hair there, as a share of the bare neck, from which the neck tells nothing."""
ENCLOSED = 0.6
"""Share of an inside's rows with the garment's front to both sides, as the watershed asks for."""
UNSURE = 3
"""Pixels to both sides of the edge of an inside by a warp that are left out of the loss."""
CLEAR, WORN, NONE = 28, 12, 16
"""Samples of a batch: an inside by the watershed, by a warp, none."""


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


def worn_insides(networks: Networks, store: PreparedStore, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What of the garments at `rows` lies on their models' bare necks, bool (n, 256, 192) on the shop photos; and how much
    neck that is, in per cent of the squared shoulder width (n,): nan where hair hides it or no shoulders are seen."""
    pairs = Pairs.of(read_pairs(store, rows))
    given = (pairs.image, pairs.parse, pairs.keypoints, pairs.cloth, pairs.cloth_mask, pairs.cloth_mask)
    grids = warp_garments(networks.gmm, *given, False).grid.numpy()
    masks, necks = pairs.cloth_mask.numpy()[:, 0] > 0.5, neck_region(pairs.parse, pairs.keypoints).numpy()
    insides, bare = np.zeros(masks.shape, bool), np.full(len(rows), np.nan)
    for i, (parse, joints) in enumerate(zip(pairs.parse.numpy(), pairs.keypoints.numpy(), strict=True)):
        if not L.joints_present(joints[[L.NECK, L.R_SHOULDER, L.L_SHOULDER]]).all():
            continue
        across = abs(joints[L.R_SHOULDER, 0] - joints[L.L_SHOULDER, 0])
        height, width = parse.shape
        y, x = np.mgrid[:height, :width]
        near = (abs(x - joints[L.NECK, 0]) < 0.45 * across) & (y < joints[L.NECK, 1] + 0.6 * across)
        across_cloth, down_cloth = (
            ((grids[i, ..., axis] + 1) * side / 2 - 0.5).round().astype(int)
            for axis, side in ((0, width), (1, height))
        )
        there = (across_cloth >= 0) & (across_cloth < width) & (down_cloth >= 0) & (down_cloth < height)
        near &= there
        near[near] &= masks[i][down_cloth[near], across_cloth[near]]
        skin, hair = near & (necks[i] | (parse == L.FACE)), near & (parse == L.HAIR)
        if hair.sum() > HIDDEN * max(1, skin.sum()):
            continue
        bare[i] = 100.0 * skin.sum() / max(1.0, across**2)
        inside = np.zeros(parse.shape, np.uint8)
        inside[down_cloth[skin], across_cloth[skin]] = 1
        inside = cv2.morphologyEx(inside, cv2.MORPH_CLOSE, disc(2))
        inside = cv2.morphologyEx(inside, cv2.MORPH_OPEN, disc(1))
        above = np.logical_or.accumulate(inside[::-1] > 0, 0)[::-1] & masks[i]
        insides[i] = largest_part(above.astype(np.uint8))
        if not _is_bowl(insides[i], masks[i]):
            insides[i], bare[i] = False, np.nan if bare[i] > NO_INSIDE else bare[i]
    return insides, bare


def _is_bowl(inside: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the garment's front lies to both sides of it: between straps it does not."""
    enclosed = []
    for row in np.nonzero(inside.any(1))[0]:
        here = np.nonzero(inside[row])[0]
        a, b = max(0, here[0] - 8), min(mask.shape[1] - 1, here[-1] + 8)
        enclosed.append(mask[row, a] and mask[row, b])
    return bool(enclosed) and float(np.mean(enclosed)) >= ENCLOSED


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


def by_warps(store: PreparedStore, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`worn_insides` of many garments."""
    networks = Networks.load(None, torch.device("cpu"), tom=False)
    parts = [worn_insides(networks, store, part) for part in np.array_split(rows, max(1, len(rows) // 32))]
    insides, bare = (np.concatenate(each) for each in zip(*parts, strict=True))
    return insides, bare


def train(store: PreparedStore, steps: int, seed: int = 0) -> CollarNet:
    """The network after `steps` batches."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    cloths, masks = (
        store.read("cloth", range(len(store))),
        store.read("garment_mask", range(len(store))) > 127,
    )
    insides = np.stack(side_by_side(clear_collar, cloths, masks))
    clear = np.nonzero(insides.any((1, 2)))[0]
    rest = np.setdiff1d(np.arange(len(store)), clear)
    insides[rest], bare = by_warps(store, rest)
    worn, none = rest[(bare > AN_INSIDE) & insides[rest].any((1, 2))], rest[bare < NO_INSIDE]
    insides[none] = False
    print(
        f"{len(clear)} garments with a clear inside, {len(worn)} with one by their warps, {len(none)} without"
    )
    upper = slice(None), slice(store.size[0] // 2)
    cloths, masks, insides = cloths[upper], masks[upper], insides[upper]
    network = CollarNet().to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    counted = torch.ones(CLEAR + WORN + NONE, 1, *SIZE)
    for step in range(steps):
        rows = np.concatenate([rng.choice(r, n) for r, n in ((clear, CLEAR), (worn, WORN), (none, NONE))])
        seen, truth = zip(*(sample(rng, cloths[i], masks[i], insides[i]) for i in rows), strict=True)
        x = torch.from_numpy(np.stack(seen)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        y = torch.from_numpy(np.stack(truth))[:, None]
        by_warp = slice(CLEAR, CLEAR + WORN)
        outer, inner = (
            F.max_pool2d(sign * y[by_warp], UNSURE, 1, UNSURE // 2) * sign for sign in (1.0, -1.0)
        )
        counted[by_warp] = (outer - inner < 0.5).float()
        logits = network(x)
        share, sides = logits.sigmoid() * counted, (1, 2, 3)
        y = y * counted
        dice = 1 - (2 * (share * y).sum(sides) + 20) / ((share + y).sum(sides) + 20)
        loss = (4 * F.binary_cross_entropy_with_logits(logits, y, counted) + dice).mean()
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
    rest = np.array([i for i, inside in enumerate(clear) if not inside.any()])
    worn, bare = by_warps(store, rest)
    apart = [
        (inside & ours[i]).sum() / (inside | ours[i]).sum()
        for i, inside, neck in zip(rest, worn, bare, strict=True)
        if neck > AN_INSIDE and inside.any()
    ]
    print(f"{len(apart)} by warps: overlap {np.mean(apart):.3f}, {np.mean(np.array(apart) > 0.5):.1%} found")
    false = [bool(ours[i].any()) for i, neck in zip(rest, bare, strict=True) if neck < NO_INSIDE]
    print(f"{np.mean(false):.1%} of {len(false)} without one by their warps have one by the network")
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
    options.add_argument("--steps", type=int, default=4000)
    options.add_argument("--sheet", type=Path, help="picture of the insides that the watershed does not find")
    chosen = options.parse_args()
    if chosen.out is not None:
        network = fold_batch_norm(train(PreparedStore.open(chosen.store, "train"), chosen.steps))
        save_weights(chosen.out, network, {"stage": "collar", "preset": "lite", "steps": chosen.steps})
    measure(PreparedStore.open(chosen.store, "test"), chosen.sheet)


if __name__ == "__main__":
    main()
