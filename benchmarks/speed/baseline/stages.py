"""Training steps, inference, and the two stages over a split with image files between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.optim import Adam

from benchmarks.speed.baseline.dataset import PairDataset, loader
from benchmarks.speed.baseline.networks import GMM, UNet, warp

Batch = dict[str, Tensor]


def gmm_step(device: torch.device) -> Callable[[Batch], None]:
    """One training step of the first stage."""
    network = GMM().to(device).train()
    optimizer = Adam(network.parameters(), 1e-4, betas=(0.5, 0.999))

    def step(batch: Batch) -> None:
        grid, _ = network(batch["agnostic"], batch["cloth"])
        loss = F.l1_loss(warp(batch["cloth"], grid), batch["worn"])
        # The mask and a regular grid are warped beside it, for its logs' pictures.
        warp(batch["cloth_mask"], grid, "zeros"), warp(batch["cloth"], grid, "zeros")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def tom_step(device: torch.device) -> Callable[[Batch], None]:
    """One training step of the second stage, without the perceptual loss; `cloth` is the warped garment."""
    network = UNet().to(device).train()
    optimizer = Adam(network.parameters(), 1e-4, betas=(0.5, 0.999))

    def step(batch: Batch) -> None:
        rendered, mask = network(batch["agnostic"], batch["cloth"])
        tryon = batch["cloth"] * mask + rendered * (1 - mask)
        loss = F.l1_loss(tryon, batch["image"]) + F.l1_loss(mask, batch["cloth_mask"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def inference(device: torch.device) -> Callable[[Batch], Tensor]:
    """Both networks in a row, as its tests run them (eval mode)."""
    gmm, unet = GMM().to(device).eval(), UNet().to(device).eval()

    def run(batch: Batch) -> Tensor:
        with torch.no_grad():
            grid, _ = gmm(batch["agnostic"], batch["cloth"])
            warped = warp(batch["cloth"], grid)
            warp(batch["cloth_mask"], grid, "zeros")
            rendered, mask = unet(batch["agnostic"], warped)
            return warped * mask + rendered * (1 - mask)

    return run


def test_split(root: Path, split: str, out: Path, workers: int, device: torch.device) -> int:
    """Both stages over a split, warps written and read again; returns the number of pictures."""
    gmm, unet = GMM().to(device).eval(), UNet().to(device).eval()
    for name in ("warp-cloth", "warp-mask", "try-on"):
        (out / name).mkdir(parents=True, exist_ok=True)
    count = 0
    with torch.no_grad():
        for batch in loader(PairDataset(root, split), 4, workers, False):
            cloth, agnostic = batch["cloth"].to(device), batch["agnostic"].to(device)
            grid, _ = gmm(agnostic, cloth)
            _save(warp(cloth, grid), batch["name"], out / "warp-cloth")
            _save(
                warp(batch["cloth_mask"].to(device), grid, "zeros") * 2 - 1, batch["name"], out / "warp-mask"
            )
        for batch in loader(PairDataset(root, split, out), 4, workers, False):
            agnostic, warped = batch["agnostic"].to(device), batch["cloth"].to(device)
            rendered, mask = unet(agnostic, warped)
            _save(warped * mask + rendered * (1 - mask), batch["name"], out / "try-on")
            count += len(agnostic)
    return count


def _save(images: Tensor, names: list[str], folder: Path) -> None:
    for image, name in zip(images.cpu(), names, strict=True):
        array = ((image.clamp(-1, 1) + 1) * 0.5 * 255).numpy().astype(np.uint8)
        Image.fromarray(array[0] if len(array) == 1 else array.transpose(1, 2, 0)).save(folder / name)
