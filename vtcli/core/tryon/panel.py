"""The contact sheet of one try-on: everything between the two photos and the picture."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vtcli.core.data import labels as L

LIMBS = (
    (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
    (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip


def parse_picture(parse: np.ndarray) -> np.ndarray:
    """A parse map (H, W) in LIP's colours, (H, W, 3) uint8."""
    out: np.ndarray = L.LIP_PALETTE[parse]
    return out


def pose_picture(photo: np.ndarray, parse: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Parse colours over the photo, joints and limbs on top: all of one size (H, W)."""
    shown = np.where(parse[..., None] > 0, photo // 2 + parse_picture(parse) // 2, photo)
    shown = np.ascontiguousarray(shown)
    thick = max(1, photo.shape[0] // 200)
    there = L.joints_present(keypoints)
    for a, b in LIMBS:
        if there[a] and there[b]:
            ends = [(int(keypoints[j, 0]), int(keypoints[j, 1])) for j in (a, b)]
            cv2.line(shown, ends[0], ends[1], (255, 255, 255), thick, cv2.LINE_AA)
    for j in np.nonzero(there)[0]:
        cv2.circle(
            shown, (int(keypoints[j, 0]), int(keypoints[j, 1])), 2 * thick, (255, 220, 0), -1, cv2.LINE_AA
        )
    return shown


def grid_picture(size: tuple[int, int], step: int = 16) -> np.ndarray:
    """A regular grid of lines, to be warped like a garment: (H, W, 3) uint8."""
    out = np.full((*size, 3), 255, np.uint8)
    out[::step], out[:, ::step] = (200, 60, 60), (60, 60, 200)
    return out


def contact_sheet(
    cells: list[tuple[str, np.ndarray | Tensor]], height: int = 512, columns: int = 4
) -> Image.Image:
    """Pictures, arrays (h, w, 3) or tensors (1, h, w, 3) uint8 of any sizes, with captions, in rows of `columns`, each `height` pixels
    high."""
    caption = 22
    font = ImageFont.load_default(15)
    resized = []
    for name, array in cells:
        if isinstance(array, Tensor):
            array = array[0].cpu().numpy()
        picture = Image.fromarray(np.ascontiguousarray(array)).convert("RGB")
        width = max(1, round(picture.width * height / picture.height))
        how = Image.Resampling.LANCZOS if picture.height > height else Image.Resampling.BICUBIC
        resized.append((name, picture.resize((width, height), how)))
    rows = [resized[i : i + columns] for i in range(0, len(resized), columns)]
    gap = 8
    width = max(sum(p.width + gap for _, p in row) for row in rows) + gap
    sheet = Image.new("RGB", (width, len(rows) * (height + caption + gap) + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        x, y = gap, gap + r * (height + caption + gap)
        for name, picture in row:
            draw.text((x + 2, y + 2), name, fill=(40, 40, 40), font=font)
            sheet.paste(picture, (x, y + caption))
            x += picture.width + gap
    return sheet
