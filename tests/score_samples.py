"""Small stores and results folders, drawn from scikit-image's own pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import typer
from PIL import Image, ImageFilter
from skimage import data
from typer.testing import CliRunner, Result

from vtcli.cli import score
from vtcli.core.data.results import ResultPair, ResultsInfo
from vtcli.core.data.store import Entry, Manifest, PreparedStore, write_manifest, write_shard

SIZE = (176, 168)
"""Large enough for MS-SSIM's five scales, not square, so that a swap of sides shows."""
LABELS = np.array([0, 2, 5, 9, 13, 14, 15, 16], dtype=np.uint8)

Edit = Callable[[Image.Image, int], Image.Image]
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(score.score)


def blur(radius: float, step: float = 0.0) -> Edit:
    """A blur, `step` stronger with every picture."""
    return lambda image, i: image.filter(ImageFilter.GaussianBlur(radius + step * i))


def make_store(
    root: Path, count: int, seen: Sequence[int] = (), size: tuple[int, int] = SIZE
) -> PreparedStore:
    """`count` crops of photographs as persons p0, p1, … in garments c0, c1, …; parses are made of blocks."""
    height, width = size
    generator = np.random.default_rng(7)
    sources = [data.astronaut(), data.cat(), data.coffee(), data.chelsea()]
    images, parses = [], []
    for i in range(count):
        source = sources[i % len(sources)]
        top, left = (
            generator.integers(0, side - part) for side, part in zip(source.shape, size, strict=False)
        )
        images.append(source[top : top + height, left : left + width])
        blocks = LABELS[generator.integers(0, len(LABELS), (8, 8))]
        parses.append(np.kron(blocks, np.ones((height // 8 + 1, width // 8 + 1), np.uint8))[:height, :width])
    write_shard(
        root,
        0,
        {
            "image": np.stack(images),
            "cloth": np.stack(images)[:, ::-1],
            **dict.fromkeys(
                ("cloth_mask", "garment_mask", "front_mask"), np.full((count, height, width), 255, np.uint8)
            ),
            "parse": np.stack(parses),
            "keypoints": np.zeros((count, 18, 3), np.float32),
        },
    )
    entries = [Entry(f"p{i}", f"c{i}", seen=i in seen) for i in range(count)]
    write_manifest(root, Manifest("test", size, entries))
    return PreparedStore.open(root)


def make_results(
    folder: Path,
    store: PreparedStore,
    edit: Edit,
    *,
    paired: bool = True,
    keep: str = "head",
    kind: str = "tryon",
    weights: str = "a",
    count: int | None = None,
    parse_shift: int | None = None,
    names: Callable[[str], str] = lambda name: name,
    figures: dict[str, dict[str, float]] | None = None,
) -> Path:
    """Results that are `edit`s of the store's photos; `parse_shift` moves its parses into `parse/`."""
    (folder / "images").mkdir(parents=True)
    entries = store.manifest.entries[:count]
    pairs = []
    for i, entry in enumerate(entries):
        cloth = entry.cloth if paired else entries[(i + 1) % len(entries)].cloth
        name = names(entry.name if paired else f"{entry.name}_{cloth}")
        image = Image.fromarray(store.read("image", [i])[0])
        edit(image, i).save(folder / "images" / f"{name}.png")
        if parse_shift is not None:
            (folder / "parse").mkdir(exist_ok=True)
            parse = np.roll(store.read("parse", [i])[0], parse_shift, axis=1)
            Image.fromarray(parse).save(folder / "parse" / f"{name}.png")
        pairs.append(ResultPair(name, entry.name, cloth))
    ResultsInfo(
        kind, keep, "paired" if paired else "unpaired", "test", str(store.root), store.size, pairs,
        weights={"gmm": weights * 64}, options={"preset": "lite"}, seconds=1.5, figures=figures or {},
    ).save(folder)  # fmt: skip
    return folder


def run_score(*arguments: object) -> Result:
    """`vtcli score` with `arguments`."""
    return CliRunner().invoke(app, [str(a) for a in arguments])
