"""What a try-on must leave alone on a person: hands in front of the torso, and a dress below the new hem.

    python benchmarks/in_front.py triplets/test [--weights FOLDER] [--limit N]

`triplets/test` are chunks of triplets made by `python -m vtcli.core.synthetic triplets`: synthetic people in a garment
A (a dress in 18 % of them), with the truth of them in garment B. They are tried on with the parse and joints they
were drawn with. Printed as JSON:

- `hands`: of the pixels of hands beside or in front of the old garment, the share that is the photo's, bit for bit;
- `dress`: of the pixels inside the old dress and below the new hem by truth, the share that is neither the photo's (3
  levels) nor within `ALIKE` of one of the dress's colours in CIELAB;
- `leaked`: pixels changed outside of the stated region.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import hand_region
from vtcli.core.data.triplets import Triplets, read_triplets
from vtcli.core.garments.colours import apart, lab, palette
from vtcli.core.models.composition import CLOTHES
from vtcli.core.tryon.pipeline import TryOn

ALIKE = 12.0
"""How far a colour may be from the dress's in CIELAB: folds and the shade below a hem."""
BESIDE = 6
"""How near to the old garment a hand counts, in pixels at 256×192."""


def in_front(engine: TryOn, chunks: list[Path], limit: int) -> dict[str, float]:
    """The three figures over at most `limit` triplets of `chunks`."""
    counts = {"hands": [0, 0], "dress": [0, 0], "leaked": [0, 0]}
    for triplets, row in _rows(chunks, limit):
        photo, parse, joints = triplets.person_a[row], triplets.parse_a[row], triplets.keypoints[row]
        cloth, mask = Image.fromarray(triplets.cloth[row]), triplets.cloth_mask[row] > 127
        result = engine.run(
            Image.fromarray(photo), cloth, cloth_mask=mask, parse=parse, keypoints=joints, force=True
        )
        picture = np.asarray(result.image)
        same = (np.abs(picture.astype(int) - photo) <= 0).all(2)
        worn = np.isin(parse, CLOTHES)
        near = cv2.dilate(worn.astype(np.uint8), np.ones((2 * BESIDE + 1,) * 2, np.uint8)) > 0
        hands = hand_region(torch.from_numpy(parse)[None], torch.from_numpy(joints)[None])[0].numpy() & near
        _add(counts["hands"], same[hands])
        _add(counts["leaked"], ~same[~result.region])
        below = worn & np.isin(triplets.parse_b[row], (L.DRESS, *L.LOWER_LABELS))
        if (parse == L.DRESS).any() and below.any():
            close = (np.abs(picture.astype(int) - photo) <= 3).all(2)
            own = apart(lab(picture.astype(np.float32)), palette(photo[worn].astype(np.float32), 8)) <= ALIKE
            _add(counts["dress"], ~(close | own)[below])
    shares = {name: hits / max(1, among) for name, (hits, among) in counts.items()}
    return {**shares, "leaked": counts["leaked"][0], "dress pixels": counts["dress"][1]}


def _rows(chunks: list[Path], limit: int) -> Iterator[tuple[Triplets, int]]:
    left = limit
    for chunk in chunks:
        triplets = read_triplets(chunk)
        for row in range(min(left, len(triplets.keypoints))):
            yield triplets, row
        left -= min(left, len(triplets.keypoints))


def _add(count: list[int], hits: np.ndarray) -> None:
    count[0] += int(hits.sum())
    count[1] += hits.size


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("triplets", type=Path, help="folder of chunks of triplets")
    parser.add_argument("--weights", type=Path, help="weights folder; those that come with vtcli without it")
    parser.add_argument("--limit", type=int, default=200, help="triplets at most")
    options = parser.parse_args()
    chunks = sorted(options.triplets.glob("*.npz"))
    print(json.dumps(in_front(TryOn.load(options.weights, "cpu"), chunks, options.limit), indent=1))


if __name__ == "__main__":
    main()
