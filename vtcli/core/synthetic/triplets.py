"""Triplets, the truth for unpaired try-on: a person in A, the shop photo of B, the same person in B, and
where each visible spot of B lies in the shop photo. Written in chunks (`vtcli.core.data.triplets`)."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vtcli.core.data.labels import UPPER_CLOTHES
from vtcli.core.data.triplets import pack_triplet, read_about, write_chunk
from vtcli.core.synthetic.dressing import dress_outfit, outfit_over_dress, pose_person, usual_outfit
from vtcli.core.synthetic.garments import SyntheticGarment
from vtcli.core.synthetic.people import SyntheticPerson
from vtcli.core.synthetic.render import RenderedPerson, draw_dressed
from vtcli.core.synthetic.scene import SIZE
from vtcli.core.synthetic.shop import shop_photo
from vtcli.core.synthetic.variety import random_dress, random_garment_varied, random_person_varied
from vtcli.core.synthetic.worn import correspondence
from vtcli.core.system.errors import VtcliError

CHUNK = 50
"""Triplets in a file."""
SCENES = 3
"""Which make of people and garments: raised whenever the same seed gives other pictures."""
_SPREAD = 4.0
"""Pixels of the shop photo that the rays of one pixel may lie apart; more means that they hit two layers."""


@dataclass
class Triplet:
    """`person_a` wears `garment_a`, `person_b` is the same person, pose and backdrop in `garment_b`; `cloth`
    (H, W, 3) uint8 and `cloth_mask` (H, W) uint8 0/255 are garment B's shop photo.

    `correspondence` (H, W, 2) float32: for each pixel of person_b's photo where garment B's outside is
    visible the place (x, y) in `cloth`, in pixels whose centres have whole coordinates; NaN elsewhere, and
    where the shop photo does not show the spot.
    """

    person: SyntheticPerson
    garment_a: SyntheticGarment
    garment_b: SyntheticGarment
    person_a: RenderedPerson
    person_b: RenderedPerson
    cloth: np.ndarray
    cloth_mask: np.ndarray
    correspondence: np.ndarray


def triplet_rng(seed: int, split: str, number: int) -> np.random.Generator:
    """The generator of triplet `number` of a split; no triplet depends on another, nor on any pair."""
    return np.random.default_rng([seed, {"train": 0, "test": 1}[split], number, 3])


def draw_triplet(rng: np.random.Generator, size: tuple[int, int] = SIZE, samples: int = 2) -> Triplet:
    """One random triplet of `size` (height, width); the two garments have nothing to do with each other.

    In 18 % of them garment A is a dress, whose lower part shows below garment B in person_b.
    """
    person = random_person_varied(rng)
    wears_dress = bool(rng.uniform() < 0.18)
    garment_a = random_dress(rng) if wears_dress else random_garment_varied(rng)
    garment_b = random_garment_varied(rng)
    if wears_dress:
        person = replace(person, skirt=None, leg_end=9.0)
        outfits = (dress_outfit(person, garment_a), outfit_over_dress(garment_b, garment_a))
    else:
        outfits = (usual_outfit(person, garment_a), usual_outfit(person, garment_b))
    stance = pose_person(person, size, samples)
    person_a, _ = draw_dressed(stance, outfits[0])
    person_b, worn = draw_dressed(stance, outfits[1])
    cloth, mask, shop = shop_photo(garment_b, size, samples)
    places = _per_pixel(correspondence(worn, shop), samples)
    places[person_b.parse != UPPER_CLOTHES] = np.nan
    return Triplet(person, garment_a, garment_b, person_a, person_b, cloth, mask, places)


def _per_pixel(rays: np.ndarray, samples: int) -> np.ndarray:
    """(H, W, 2) in pixels from a correspondence of rays: the mean of a pixel's rays, if most have one."""
    blocks = [rays[y::samples, x::samples] for y in range(samples) for x in range(samples)]
    there = [np.isfinite(block[..., 0]) for block in blocks]
    count = sum(t.astype(np.uint8) for t in there)
    total = sum(np.where(t[..., None], block, 0) for t, block in zip(there, blocks, strict=True))
    mean = total / np.maximum(count, 1)[..., None]
    apart = np.zeros(count.shape, np.float32)
    for t, block in zip(there, blocks, strict=True):
        away = np.abs(block - mean)
        apart = np.maximum(apart, np.where(t, np.maximum(away[..., 0], away[..., 1]), 0))
    good = (2 * count > samples * samples) & (apart < _SPREAD * samples)
    return np.where(good[..., None], mean / samples - 0.5, np.nan).astype(np.float32)


def _write_chunk(out: Path, first: int, count: int, *, seed: int, split: str, size: tuple[int, int],
                 samples: int) -> int:  # fmt: skip
    """Draw and write triplets `first` to `first + count - 1`, unless the file is there; returns `count`."""
    path = out / split / f"{first:06d}.npz"
    numbers = range(first, first + count)
    about = {"scenes": SCENES, "seed": seed, "split": split, "numbers": list(numbers), "size": list(size),
             "samples": samples}  # fmt: skip
    if path.exists() and _holds(path, about):
        return count
    pieces, joints, garments = [], [], []
    for number in numbers:
        t = draw_triplet(triplet_rng(seed, split, number), size, samples)
        a, b = t.person_a, t.person_b
        pieces.append(pack_triplet(a, b, t.cloth, t.cloth_mask, t.correspondence))
        joints.append(a.keypoints)
        garments.append({"a": asdict(t.garment_a), "b": asdict(t.garment_b), "pose": t.person.pose_name})
    write_chunk(path, pieces, np.stack(joints), {**about, "triplets": garments})
    return count


def _holds(path: Path, about: dict[str, Any]) -> bool:
    """Whether a file has these triplets already; False for a shorter start of them, which is made anew."""
    there = read_about(path)
    numbers, wanted = there.get("numbers", []), about["numbers"]
    shorter = min(len(numbers), len(wanted))
    same = all(there.get(key) == value for key, value in about.items() if key != "numbers")
    if not same or numbers[:shorter] != wanted[:shorter]:
        raise VtcliError(f"{path}: holds other triplets; remove it or name another folder")
    return len(numbers) >= len(wanted)


def write_triplets(out: Path, count: int, seed: int = 0, first: int = 0, split: str = "train",
                   size: tuple[int, int] = SIZE, samples: int = 2, jobs: int = 1) -> Iterator[int]:  # fmt: skip
    """Write triplets `first` to `first + count - 1` of a split as `out/SPLIT/FIRST.npz`, 50 to a file.

    Yields how many triplets each finished file holds. Files that are there already, from the same seed, are
    left; those of another raise VtcliError. `jobs` processes share the files. A triplet depends on seed,
    split and its number alone.
    """
    work = partial(_write_chunk, Path(out), seed=seed, split=split, size=size, samples=samples)
    starts = range(first, first + count, CHUNK)
    counts = [min(CHUNK, first + count - start) for start in starts]
    if jobs <= 1:
        yield from map(work, starts, counts)
        return
    context = multiprocessing.get_context("spawn")
    try:
        # each process has one core: OpenCV would start a thread for every core in each
        with ProcessPoolExecutor(jobs, context, cv2.setNumThreads, (1,)) as pool:
            yield from pool.map(work, starts, counts)
    except BrokenProcessPool as problem:
        raise VtcliError(
            f"{out}: a process was ended (too little memory?); run again with fewer --jobs (what is there stays)"
        ) from problem
