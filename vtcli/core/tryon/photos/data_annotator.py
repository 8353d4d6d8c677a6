"""vtcli's networks as `prepare` asks them about a data set: who is in its photos, and where its garments are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from vtcli.core.data.pixels import likeliest, signed
from vtcli.core.models.load import load_outline, load_parser
from vtcli.core.models.parser import INPUT_SIZE
from vtcli.core.models.weights import sha256, stage_file
from vtcli.core.system import runtime
from vtcli.core.tryon.photos.annotate import SURE, Annotator
from vtcli.core.tryon.photos.shop_photo import found_garment


class DataAnnotator:
    """Parse maps and joints at any size, and garments' masks on any background. `sha256`: of the parser's weights."""

    def __init__(self, annotator: Annotator, sha256: str) -> None:
        self.annotator, self.sha256 = annotator, sha256

    @classmethod
    def load(cls, weights: Path | None, device: str) -> DataAnnotator:
        """The networks of a folder; None: those that come with vtcli."""
        parser = stage_file(weights, "parser")
        outline = load_outline(weights)
        annotator = Annotator(load_parser(parser), runtime.choose_device(device), SURE, outline=outline)
        return cls(annotator, sha256(parser))

    def people(self, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Photos (n, H, W, 3) uint8 → parse (n, H, W) uint8 and keypoints (n, 18, 3) float32. Photos of another size than
        256×192 are parsed at that size and the result is enlarged."""
        size = photos.shape[1:3]
        pictures = signed(torch.from_numpy(photos).to(self.annotator.device))
        if size != INPUT_SIZE:
            pictures = F.interpolate(pictures, INPUT_SIZE, mode="bilinear", antialias=True)
        prediction = self.annotator(pictures)
        probabilities, keypoints = prediction.probabilities, prediction.keypoints.cpu().numpy().copy()
        if size != INPUT_SIZE:
            probabilities = F.interpolate(probabilities, size, mode="bilinear")
            keypoints[..., :2] *= np.array([size[1] / INPUT_SIZE[1], size[0] / INPUT_SIZE[0]], np.float32)
        return likeliest(probabilities).cpu().numpy(), keypoints.astype(np.float32)

    def garment(self, picture: np.ndarray) -> np.ndarray | None:
        """The garment on a shop photo (H, W, 3) uint8, (H, W) bool, as `tryon` cuts it out; None without a network that finds it
        on any background."""
        return None if self.annotator.outline is None else found_garment(self.annotator, picture).mask
