"""What people carry in front of their tops: trains the head that finds it, and measures it.

    python benchmarks/carried.py STORE STREET [--measure] [--steps N] [--out FILE]

STORE: a prepared VITON store; STREET: a folder with `train` and `val`, each with photos/, labels/ and labels.json, of
which labels "bag", "purse" and "wallet" are carried things. Half of VITON's people get a drawn thing
(`vtcli/core/training/things.py`). The parser that comes with vtcli gives the maps and is not trained. Printed as JSON,
of things as `vtcli tryon` uses them (`vtcli/core/tryon/carried.py`):

- `drawn`: on the test pairs for choosing, with a drawn thing each: the share of the things' pixels over top, arms or
  background within the region that changes that are found, and of what is found the share that is right;
- `false`: of the same people with nothing drawn, the share on whom anything is found, and on whom more than 1 % of the
  top is; things they really carry count as false;
- `street`: found and right, as above, over the clothes of street photos.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import outside_region
from vtcli.core.data.pixels import signed
from vtcli.core.data.store import PreparedStore
from vtcli.core.data.validation import half
from vtcli.core.models.carried import CarriedHead
from vtcli.core.models.load import load_carried, load_parser
from vtcli.core.models.parser import INPUT_SIZE, Parser
from vtcli.core.models.weights import DEFAULT_FOLDER, save_weights, stage_file
from vtcli.core.system import runtime
from vtcli.core.training import augment
from vtcli.core.training.things import put_thing
from vtcli.core.tryon.annotate import Annotator
from vtcli.core.tryon.carried import carried_things

THINGS = ("bag", "purse", "wallet")
UNSURE = (
    "accessories",
    "belt",
    "bracelet",
    "necklace",
    "tie",
    "scarf",
    "ring",
    "watch",
    "earrings",
    "gloves",
)
"""Street labels that are neither: some of them are worn in front of a top."""
BATCH, RATE = 16, 2e-3
STREET_SHARE, DRAWN_SHARE = 0.35, 0.5
"""Share of the samples that are street photos; of the others, the share that get a drawn thing."""


class Street:
    """Street photos, with maps (H, W) of 1 where a thing is carried, 255 where it is not known."""

    def __init__(self, folder: Path) -> None:
        names = json.loads(
            next(
                f for f in (folder / "labels.json", folder.parent / "labels.json") if f.is_file()
            ).read_text()
        )
        table = np.zeros(256, np.uint8)
        for i, name in enumerate(names):
            table[i] = 1 if name in THINGS else 255 if name in UNSURE else 0
        self.photos, self.maps, self.people = [], [], []
        for file in sorted((folder / "photos").glob("*.jpg")):
            label = cv2.imread(str(folder / "labels" / f"{file.stem}.png"), cv2.IMREAD_UNCHANGED)
            rows, columns = np.nonzero(label)
            if len(rows):
                self.photos.append(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB))
                self.maps.append(table[label])
                self.people.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))

    def sample(
        self, rng: np.random.Generator, i: int, tall: float, jitter: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Photo `i`, cropped to the share `tall` of the person from the head down."""
        left, top, right, bottom = self.people[i]
        height = (bottom - top) * tall
        center = ((left + right) / 2, top + 0.47 * height)
        moved = ((0.75, 1.15), 0.1, 8.0) if jitter else ((0.95, 0.95), 0.0, 0.0)
        matrix = augment.affine(rng, center, height, INPUT_SIZE, *moved)
        if jitter and rng.random() < 0.5:
            matrix = augment.mirror(matrix, INPUT_SIZE[1])
        return (
            augment.warp_image(self.photos[i], matrix, INPUT_SIZE),
            augment.warp_labels(self.maps[i], matrix, INPUT_SIZE, outside=255),
        )


def _batch(
    rng: np.random.Generator, store: PreparedStore, street: Street, textures: list[np.ndarray]
) -> tuple[Tensor, Tensor]:
    images, maps = [], []
    for _ in range(BATCH):
        if rng.random() < STREET_SHARE:
            tall = float(rng.choice([1.05, 0.8, 0.55, 0.42]))
            image, seen = street.sample(rng, int(rng.integers(len(street.photos))), tall, True)
        else:
            image, seen = _person(rng, store, textures)
        images.append(augment.degrade(rng, augment.colour(rng, image)))
        maps.append(seen)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(maps))


def _person(
    rng: np.random.Generator, store: PreparedStore, textures: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """One of VITON's people, with a drawn thing or two or none."""
    row = [int(rng.integers(len(store)))]
    image, parse, joints = (store.read(name, row)[0].copy() for name in ("image", "parse", "keypoints"))
    seen = np.zeros(parse.shape, np.uint8)
    if rng.random() < DRAWN_SHARE:
        for _ in range(1 + int(rng.random() < 0.25)):
            thing = put_thing(rng, image, parse, joints, textures)
            if thing is not None:
                seen |= thing
    matrix = augment.affine(
        rng, (image.shape[1] / 2, image.shape[0] / 2), image.shape[0], INPUT_SIZE, (0.85, 1.3), 0.08, 8.0
    )
    if rng.random() < 0.5:
        matrix = augment.mirror(matrix, INPUT_SIZE[1])
    return augment.warp_image(image, matrix, INPUT_SIZE), augment.warp_labels(seen, matrix, INPUT_SIZE)


def _loss(logits: Tensor, maps: Tensor) -> Tensor:
    """Binary cross-entropy and one minus the soft overlap, at the logits' size."""
    target = maps[:, None, :: maps.shape[1] // logits.shape[2], :: maps.shape[2] // logits.shape[3]]
    known, wanted = (target != 255).float(), (target == 1).float()
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none") * known
    chance = logits.sigmoid() * known
    overlap = 2 * (chance * wanted).sum() / ((chance + wanted).sum() + 1)
    return entropy.mean() * 4 + 1.0 - overlap


def train(store: PreparedStore, street: Street, parser: Parser, steps: int) -> CarriedHead:
    """The head, after `steps` batches."""
    torch.manual_seed(0)
    rng, head = np.random.default_rng(0), CarriedHead().train()
    textures = list(store.read("cloth", range(0, len(store), max(1, len(store) // 60))))
    optimiser = torch.optim.AdamW(head.parameters(), RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    device = torch.device("cpu")
    for step in range(steps):
        images, maps = _batch(rng, store, street, textures)
        with torch.no_grad(), runtime.autocast(device, runtime.has_bfloat16(device)):
            merged, finest = parser.maps(signed(images).contiguous(memory_format=torch.channels_last))
        loss = _loss(head(merged.float(), finest.float()), maps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 50 == 49:
            print(f"step {step + 1}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
    return head.eval()


def _shares(found: list[np.ndarray], truth: list[np.ndarray], where: list[np.ndarray]) -> dict[str, float]:
    hit = sum(int((f & t & w).sum()) for f, t, w in zip(found, truth, where, strict=True))
    return {
        "found": hit / max(1, sum(int((t & w).sum()) for t, w in zip(truth, where, strict=True))),
        "right": hit / max(1, sum(int((f & w).sum()) for f, w in zip(found, where, strict=True))),
    }


def measure(store: PreparedStore, street: Street, annotator: Annotator) -> dict[str, Any]:
    """The figures."""
    rng, rows = np.random.default_rng(1), half(store, "choosing")
    textures = list(store.read("cloth", rows[:60]))
    found, truth, where, anything, much = [], [], [], 0, 0
    for row in rows:
        image, parse, joints = (store.read(name, [row])[0].copy() for name in ("image", "parse", "keypoints"))
        top = np.isin(parse, L.TOP_LABELS)
        region = outside_region(torch.from_numpy(parse)[None], torch.from_numpy(joints)[None])[0].numpy()
        alone = carried_things(annotator.look(image))
        alone &= region
        anything += bool(alone.any())
        much += bool((alone & top).sum() > 0.01 * top.sum())
        thing = put_thing(rng, image, parse, joints, textures)
        if thing is not None:
            found.append(carried_things(annotator.look(image)))
            truth.append(thing)
            where.append(region)
    drawn = _shares(found, truth, where)
    found, truth, where = [], [], []
    for i in range(len(street.photos)):
        image, labels = street.sample(rng, i, 0.6, False)
        seen = annotator.look(image)
        found.append(carried_things(seen))
        truth.append(labels == 1)
        worn = np.isin(seen.parse[0].numpy(), (*L.TOP_LABELS, *L.ARM_LABELS))
        around = cv2.dilate(worn.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        where.append(around & (labels != 255))
    count = len(rows)
    return {
        "drawn": drawn, "false": {"anything": anything / count, "much": much / count},
        "street": _shares(found, truth, where), "people": count, "street photos": len(street.photos),
    }  # fmt: skip


def main() -> None:
    """Parse the command line, train, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("store", type=Path)
    parser.add_argument("street", type=Path)
    parser.add_argument(
        "--measure", action="store_true", help="measure the weights that come with vtcli, train none"
    )
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER / "carried.safetensors")
    options = parser.parse_args()
    network = load_parser(stage_file(None, "parser"))
    if options.measure:
        head = load_carried(None)
    else:
        store = PreparedStore.open(options.store, "train")
        head = train(store, Street(options.street / "train"), network, options.steps)
        save_weights(options.out, head, {"stage": "carried"})
    annotator = Annotator(network, torch.device("cpu"), carried=head)
    print(
        json.dumps(
            measure(PreparedStore.open(options.store, "test"), Street(options.street / "val"), annotator),
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
