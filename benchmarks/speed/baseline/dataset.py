"""A sample per call, from VITON's files, with Pillow: the pipeline of both of CP-VTON's stages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

SIZE = (256, 192)
HEAD, GARMENT = (1, 2, 4, 13), (5, 6, 7)
RADIUS = 5


class PairDataset(Dataset[dict[str, Tensor | str]]):
    """`root/split` in VITON's layout. With `warps` the TOM's sample: the garment as the first stage has written it."""

    def __init__(self, root: Path, split: str, warps: Path | None = None) -> None:
        self.folder, self.warps = root / split, warps
        lines = (root / f"{split}_pairs.txt").read_text().splitlines()
        self.names = [tuple(line.split()) for line in lines]
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)]
        )

    def __len__(self) -> int:
        return len(self.names)

    def _grey(self, image: Image.Image) -> Tensor:
        return transforms.functional.to_tensor(image) * 2 - 1

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        person, garment = self.names[index]
        folder = self.folder
        if self.warps is None:
            cloth = self.transform(Image.open(folder / "cloth" / garment))
            mask_file = (folder / "cloth-mask" / garment).with_suffix(".png")
            mask_file = mask_file if mask_file.exists() else mask_file.with_suffix(".jpg")
        else:
            cloth = self.transform(Image.open(self.warps / "warp-cloth" / person))
            mask_file = self.warps / "warp-mask" / person
        mask = np.asarray(Image.open(mask_file).convert("L"))
        mask = torch.from_numpy((mask >= 128).astype(np.float32))[None]

        image = self.transform(Image.open(folder / "image" / person))
        parse = np.asarray(Image.open((folder / "image-parse" / person).with_suffix(".png")))
        body = (parse > 0).astype(np.float32)
        head = np.isin(parse, HEAD).astype(np.float32)
        worn = torch.from_numpy(np.isin(parse, GARMENT).astype(np.float32))
        shape = Image.fromarray((body * 255).astype(np.uint8))
        shape = shape.resize((SIZE[1] // 16, SIZE[0] // 16), Image.Resampling.BILINEAR)
        shape = shape.resize((SIZE[1], SIZE[0]), Image.Resampling.BILINEAR)
        kept = torch.from_numpy(head)
        head_image = image * kept - (1 - kept)
        worn_image = image * worn + (1 - worn)

        pose_file = folder / "pose" / f"{Path(person).stem}_keypoints.json"
        pose_label = json.loads(pose_file.read_text())["people"][0]
        points = np.array(pose_label.get("pose_keypoints") or pose_label["pose_keypoints_2d"]).reshape(-1, 3)
        pose = torch.zeros(len(points), *SIZE)
        all_joints = Image.new("L", (SIZE[1], SIZE[0]))
        draw_all = ImageDraw.Draw(all_joints)
        for i, (x, y, _) in enumerate(points):
            one = Image.new("L", (SIZE[1], SIZE[0]))
            draw = ImageDraw.Draw(one)
            if x > 1 and y > 1:
                box = (x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
                draw.rectangle(box, "white", "white")
                draw_all.rectangle(box, "white", "white")
            pose[i] = self._grey(one)[0]
        return {
            "name": person, "cloth": cloth, "cloth_mask": mask, "image": image, "worn": worn_image,
            "agnostic": torch.cat([self._grey(shape), head_image, pose]), "pose_image": self._grey(all_joints),
        }  # fmt: skip


def loader(
    dataset: PairDataset, batch_size: int, workers: int, shuffle: bool
) -> DataLoader[dict[str, Tensor]]:
    """Batches by `workers` processes."""
    return DataLoader(
        dataset, batch_size, shuffle, num_workers=workers, pin_memory=torch.cuda.is_available(),
        prefetch_factor=1 if workers else None,
    )  # fmt: skip
