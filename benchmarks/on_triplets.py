"""Figures of unpaired try-on of synthetic people, where the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.label_metrics import LabelCounts
from vtcli.core.data.pixels import signed
from vtcli.core.data.triplets import TripletChunks
from vtcli.core.garments.masks import find_masks
from vtcli.core.models.warping import Warp
from vtcli.core.scoring.cut import hem, level_angles, warp_distance
from vtcli.core.tryon.networks import People

Dress = Callable[[People, Tensor, Tensor, Tensor], tuple[Warp, np.ndarray | None]]
"""People in garments, masks and fronts → the warp and M_exp's labels (B, 256, 192), or None without the decoder."""


def on_triplets(folder: Path, dress: Dress, device: torch.device) -> dict[str, float]:
    """`folder` holds triplets of a test split. The warp's median distance from the true place in pixels, the 90th percentile of
    the level line's angle in degrees, M_exp's mean IoU, and the hem's mean error in torso lengths."""
    chunks = TripletChunks(folder)
    distances, angles, hems = [], [], []
    counts = LabelCounts()
    height, width = chunks.size

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array))[None].to(device)

    for number in range(len(chunks)):
        triplet = chunks.read(number)
        masks = find_masks(np.ascontiguousarray(triplet["cloth"]), triplet["cloth_mask"] > 127)
        image, cloth = (signed(tensor(triplet[name])) for name in ("person_a", "cloth"))
        people = People(image, tensor(triplet["parse_a"]), tensor(triplet["keypoints"]))
        mask, front = (tensor(m.astype(np.float32))[:, None] for m in (masks.whole, masks.front))
        warp, expected = dress(people, cloth, mask, front)
        grid = (warp.grid_at(chunks.size)[0].cpu().numpy() + 1) / 2 * (width - 1, height - 1)
        places = triplet["correspondence"]
        step = height // places.shape[0]
        distances.append(warp_distance(grid[::step, ::step], places))
        angles.append(level_angles(grid[::step, ::step], places))
        if expected is None:
            continue
        # What stays of a dress below a new top is a skirt, for M_exp as for the truth.
        truth = np.where(triplet["parse_b"] == L.DRESS, L.SKIRT, triplet["parse_b"])
        counts.add(*(torch.from_numpy(labels)[None].long() for labels in (expected[0], truth)))
        ours, true = (hem(labels, triplet["keypoints"]) for labels in (expected[0], truth))
        if ours is not None and true is not None:
            hems.append(abs(ours - true))
    out = {
        "triplets: warp, median distance (pixels)": float(np.median(np.concatenate(distances))),
        "triplets: level line, 90th percentile (degrees)": float(np.percentile(np.concatenate(angles), 90)),
    }
    if counts.total:
        out["triplets: M_exp mean IoU"] = counts.metrics()["mean_iou"]
        out["triplets: hem, mean error (torso lengths)"] = float(np.mean(hems))
    return out
