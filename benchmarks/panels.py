"""Contact sheets of the same 24 pairs of a prepared test split, to be looked at after every change of quality.

    python benchmarks/panels.py prepared panels --weights runs

writes `paired-head.png`, `paired-outside.png`, `unpaired-head.png` and `unpaired-outside.png`: per pair the
person, the garment, the warp pasted on the person, M_cm, I_rp, M_exp, and the result.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import grey_levels, signed
from vtcli.core.data.store import PreparedStore
from vtcli.core.data.validation import write_half
from vtcli.core.system import runtime
from vtcli.core.training.pairs import Pairs, read_pairs
from vtcli.core.tryon.composing.composer import compose_batch
from vtcli.core.tryon.networks import Networks, People

PAIRS = 24


def fixed_pairs(store: PreparedStore, pairing: str) -> tuple[np.ndarray, np.ndarray]:
    """Positions of 24 people, evenly spread over the split, and of their garments."""
    if pairing == "paired":
        rows = np.arange(PAIRS) * len(store) // PAIRS
        return rows, rows
    listed = store.manifest.unpaired
    chosen = [listed[i * len(listed) // PAIRS] for i in range(PAIRS)]
    people = np.array([store.index(person) for person, _ in chosen])
    return people, np.array([store.cloth_index(cloth) for _, cloth in chosen])


def sheet(networks: Networks, store: PreparedStore, pairing: str, keep: str) -> Image.Image:
    """The contact sheet: two pairs a row, seven pictures a pair."""
    people_rows, cloth_rows = fixed_pairs(store, pairing)
    rows: list[np.ndarray] = []
    for start in range(0, PAIRS, 8):
        batch = read_pairs(store, people_rows[start : start + 8], cloth_rows[start : start + 8])
        pairs = Pairs.of({k: v.to(networks.device) for k, v in batch.items()})
        people = People(pairs.image, pairs.parse, pairs.keypoints)
        warp = networks.warp(people, pairs.cloth, pairs.cloth_mask, pairs.front_mask, keep)
        cells = [pairs.image, pairs.cloth, warp.mask * warp.cloth + (1 - warp.mask) * pairs.image]
        if networks.tom is not None:
            composition = networks.compose(people, warp, keep)
            cells += [composition.composition_mask.expand(-1, 3, -1, -1) * 2 - 1, composition.rendered_person]
            if composition.expected_parse is not None:
                colours = torch.from_numpy(L.LIP_PALETTE)[composition.expected_parse.argmax(1).cpu()]
                cells.append(signed(colours))
            photos, cloths = (grey_levels(x).cpu().numpy() for x in (pairs.image, pairs.cloth))
            masks = (pairs.cloth_mask[:, 0] > 0.5).cpu().numpy()
            pictures = compose_batch(photos, people, cloths, masks, warp, composition, keep)
            cells.append(signed(torch.from_numpy(pictures)))
        rows += [_row([cell[i] for cell in cells]) for i in range(len(pairs.parse))]
    pairs_of_rows = [np.concatenate(rows[i : i + 2], axis=1) for i in range(0, len(rows), 2)]
    return Image.fromarray(np.concatenate(pairs_of_rows))


def _row(cells: list[Tensor]) -> np.ndarray:
    row: np.ndarray = grey_levels(torch.cat([c.cpu() for c in cells], dim=2)[None])[0].numpy()
    return row


def main() -> None:
    """Parse the command line and write the sheets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--warps", action="store_true", help="the GMM alone")
    arguments = parser.parse_args()
    store = PreparedStore.open(arguments.data, arguments.split)
    if arguments.split == "test":  # the other half is not looked at
        store = write_half(store, "choosing", arguments.out / "choosing")
    networks = Networks.load(
        arguments.weights, runtime.choose_device(arguments.device), tom=not arguments.warps
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    for pairing in ("paired", "unpaired"):
        for keep in ("warp",) if arguments.warps else ("head", "outside"):
            sheet(networks, store, pairing, keep).save(arguments.out / f"{pairing}-{keep}.png")


if __name__ == "__main__":
    main()
