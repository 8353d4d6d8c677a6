"""A VITON folder of any length, made of a smaller one: its pairs over and over, each marked so that none is like
another by content."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

CELL = 8
BITS = 16


def _marked(path: Path, number: int) -> Image.Image:
    """The picture with `number` in binary along its upper edge, in squares that JPEG does not blur away."""
    pixels = np.array(Image.open(path).convert("RGB"))
    for bit in range(BITS):
        pixels[:CELL, bit * CELL : (bit + 1) * CELL] = 255 * (number >> bit & 1)
    return Image.fromarray(pixels)


def make_viton(source: Path, out: Path, counts: dict[str, int]) -> Path:
    """Write `out` with `counts[split]` pairs, taken from the same splits of `source`; returns `out`."""
    start = 0
    for split, count in counts.items():
        pairs = [line.split() for line in (source / f"{split}_pairs.txt").read_text().splitlines() if line]
        lines = []
        for name in ("image", "cloth", "cloth-mask", "image-parse", "pose"):
            (out / split / name).mkdir(parents=True, exist_ok=True)
        for number in range(start, start + count):
            person, cloth = (Path(name).stem for name in pairs[number % len(pairs)])
            names = f"{number:06d}_0", f"{number:06d}_1"
            lines.append(f"{names[0]}.jpg {names[1]}.jpg")
            _marked(source / split / "image" / f"{person}.jpg", number).save(
                out / split / "image" / f"{names[0]}.jpg", quality=95
            )
            shutil.copy(source / split / "cloth" / f"{cloth}.jpg", out / split / "cloth" / f"{names[1]}.jpg")
            mask = next((source / split / "cloth-mask").glob(f"{cloth}.*"))
            shutil.copy(mask, out / split / "cloth-mask" / f"{names[1]}{mask.suffix}")
            shutil.copy(
                source / split / "image-parse" / f"{person}.png",
                out / split / "image-parse" / f"{names[0]}.png",
            )
            shutil.copy(
                source / split / "pose" / f"{person}_keypoints.json",
                out / split / "pose" / f"{names[0]}_keypoints.json",
            )
        (out / f"{split}_pairs.txt").write_text("\n".join(lines) + "\n")
        start += count
    return out
