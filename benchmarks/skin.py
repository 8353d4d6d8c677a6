"""Skin that is drawn: is it the person's, and is it the true one?

    python benchmarks/skin.py STORE RESULTS TRIPLETS/test [--limit N]

STORE: a prepared test split; RESULTS: unpaired try-ons of it with `vtcli tryon --data ... --save-parse`, `keep=outside`, as
`benchmarks/quality.py` leaves them in `choosing/unpaired`; TRIPLETS/test: chunks of triplets made by
`python -m vtcli.core.synthetic triplets`. Printed as JSON, distances in CIELAB (CIE 1976):

- `own`: people in long sleeves who try on a top with short sleeves or none: the distance of the median colour of the arms that
  are drawn from that of the person's lower face, neck and hands; the median over people, and their worst tenth;
- `truth`: triplets: the distance of what is drawn where the truth has bare skin and the photo the old garment; the median over
  pixels and triplets, and the worst tenth of the triplets;
- `ssim`: of the results against the truth, over the stated region.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import neck_region
from vtcli.core.data.sleeves import sleeve_ends
from vtcli.core.data.store import PreparedStore
from vtcli.core.data.triplets import read_triplets
from vtcli.core.garments.colours import lab, length
from vtcli.core.models.composition import CLOTHES
from vtcli.core.tryon.composing.filling import own_skin
from vtcli.core.tryon.photos.annotate import certain
from vtcli.core.tryon.pipeline import TryOn

LONG, SHORT = 0.8, 0.5
"""Where sleeves end that are long at least, and short at most: 0 is the shoulder, 1 the wrist."""
LEAST = 100
"""Pixels of drawn skin at 256×192 that are enough."""


def own(store: PreparedStore, results: Path) -> dict[str, Any]:
    """The figures of `own`, and of how many people."""
    people = {entry.name: i for i, entry in enumerate(store.manifest.entries)}
    cloths = {entry.cloth: i for i, entry in enumerate(store.manifest.entries)}
    count = range(len(people))
    parses, joints = store.read("parse", count), np.asarray(store.read("keypoints", count), np.float32)
    apart = []
    for pair in json.loads((results / "results.json").read_text())["pairs"]:
        i, j = people[pair["person"]], cloths[pair["cloth"]]
        ends = [[end.middle for end in sleeve_ends(parses[k], joints[k]) if end is not None] for k in (i, j)]
        if not all(ends) or min(ends[0]) < LONG or max(ends[1]) > SHORT:
            continue
        picture, expected = (
            np.asarray(Image.open(results / kind / f"{pair['name']}.png")) for kind in ("images", "parse")
        )
        drawn = np.isin(expected, L.ARM_LABELS) & np.isin(parses[i], CLOTHES)
        drawn = cv2.erode(drawn.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        seen = _bare(parses[i], joints[i])
        if min(drawn.sum(), seen.sum()) >= LEAST:
            photo = store.read("image", [i])[0]
            made, theirs = (
                np.median(lab(x.astype(np.float32)), axis=0) for x in (picture[drawn], photo[seen])
            )
            apart.append(float(np.linalg.norm(made - theirs)))
    return {**_spread(apart), "people": len(apart)}


def _bare(parse: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Where a person's own skin is seen, (256, 192) bool."""
    labels = torch.from_numpy(parse)[None]
    neck = neck_region(labels, torch.from_numpy(joints)[None])[0].numpy()
    return own_skin(certain(labels)[0].numpy(), neck, np.isin(parse, CLOTHES))


def truth(engine: TryOn, folder: Path, limit: int) -> dict[str, Any]:
    """The figures of `truth` and `ssim`, over at most `limit` triplets."""
    apart, similar = [], []
    for chunk in sorted(folder.glob("*.npz")):
        triplets = read_triplets(chunk)
        for row in range(min(limit - len(similar), len(triplets.keypoints))):
            photo, true = triplets.person_a[row], triplets.person_b[row]
            result = engine.run(
                Image.fromarray(photo), Image.fromarray(triplets.cloth[row]),
                cloth_mask=triplets.cloth_mask[row] > 127, parse=triplets.parse_a[row],
                keypoints=triplets.keypoints[row], force=True,
            )  # fmt: skip
            picture = np.asarray(result.image)
            _, ssim = structural_similarity(
                picture, true, channel_axis=2, gaussian_weights=True, sigma=1.5,
                use_sample_covariance=False, data_range=255, full=True,
            )  # fmt: skip
            similar.append(float(ssim.mean(2)[result.region].mean()))
            bare = np.isin(triplets.parse_b[row], L.ARM_LABELS) | triplets.neck_b[row]
            bare &= np.isin(triplets.parse_a[row], CLOTHES)
            if bare.sum() >= LEAST:
                both = (lab(x[bare].astype(np.float32)) for x in (picture, true))
                apart.append(float(np.median(length(np.subtract(*both)))))
    return {"truth": _spread(apart) | {"triplets": len(apart)}, "ssim": float(np.mean(similar))}


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "worst tenth": float(np.quantile(values, 0.9))}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("store", type=Path, help="prepared test split")
    parser.add_argument("results", type=Path, help="unpaired try-ons of it, with M_exp")
    parser.add_argument("triplets", type=Path, help="folder of chunks of triplets")
    parser.add_argument("--limit", type=int, default=200, help="triplets at most")
    chosen = parser.parse_args()
    found = {"own": own(PreparedStore.open(chosen.store), chosen.results)}
    print(
        json.dumps(found | truth(TryOn.load(device="cpu"), chosen.triplets, chosen.limit), indent=1),
        flush=True,
    )


if __name__ == "__main__":
    main()
