"""A VITON folder of synthetic pairs, and two loose photos."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image

from vtcli.core.data.labels import LIP_PALETTE
from vtcli.core.synthetic.bodies import ArmPose, Pose
from vtcli.core.synthetic.garments import SyntheticGarment, random_garment
from vtcli.core.synthetic.people import SyntheticPerson, random_person
from vtcli.core.synthetic.render import RenderedPerson, draw_person
from vtcli.core.synthetic.scene import SIZE
from vtcli.core.synthetic.shop import draw_cloth
from vtcli.core.system.files import write_atomically


@dataclass
class SyntheticPair:
    """A person in a garment, and the garment's shop photo."""

    person: SyntheticPerson
    garment: SyntheticGarment
    rendered: RenderedPerson
    cloth: np.ndarray
    cloth_mask: np.ndarray


def pair_rng(seed: int, split: str, number: int) -> np.random.Generator:
    """The generator of pair `number` of a split; no pair depends on another."""
    return np.random.default_rng([seed, {"train": 0, "test": 1}[split], number])


def draw_pair(rng: np.random.Generator, size: tuple[int, int] = SIZE, samples: int = 2) -> SyntheticPair:
    """One random pair of `size` (height, width)."""
    person, garment = random_person(rng), random_garment(rng)
    cloth, mask = draw_cloth(garment, size, samples)
    return SyntheticPair(person, garment, draw_person(person, garment, size, samples), cloth, mask)


def _put(stream: IO[bytes], data: bytes) -> None:
    stream.write(data)


def _jpeg(path: Path, image: np.ndarray, quality: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    write_atomically(path, lambda stream: stream.write(buffer.getvalue()))


def _png(path: Path, image: Image.Image) -> None:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    write_atomically(path, lambda stream: stream.write(buffer.getvalue()))


def _parse_png(path: Path, parse: np.ndarray) -> None:
    image = Image.fromarray(parse, mode="P")
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(LIP_PALETTE)] = LIP_PALETTE
    image.putpalette(palette.ravel().tolist())
    _png(path, image)


def write_pair(folder: Path, number: int, pair: SyntheticPair, quality: int = 92) -> None:
    """Write one pair into a split's folder, named as VITON names it (`000001_0.jpg`, `000001_1.jpg`)."""
    stem = f"{number:06d}"
    _jpeg(folder / "image" / f"{stem}_0.jpg", pair.rendered.image, quality)
    _jpeg(folder / "cloth" / f"{stem}_1.jpg", pair.cloth, quality)
    _png(
        folder / "cloth-mask" / f"{stem}_1.png",
        Image.fromarray(pair.cloth_mask).convert("1", dither=Image.Dither.NONE),
    )
    _parse_png(folder / "image-parse" / f"{stem}_0.png", pair.rendered.parse)
    joints = [round(float(v), 3) for v in pair.rendered.keypoints.ravel()]
    pose = {"version": 1.0, "people": [{"face_keypoints": [], "pose_keypoints": joints,
                                        "hand_right_keypoints": [], "hand_left_keypoints": []}]}  # fmt: skip
    text = json.dumps(pose, separators=(",", ":"))
    write_atomically(folder / "pose" / f"{stem}_0_keypoints.json", lambda stream: stream.write(text.encode()))


def write_viton(out: Path, train: int, test: int, seed: int = 0, size: tuple[int, int] = SIZE,
                samples: int = 3) -> Iterator[tuple[str, int]]:  # fmt: skip
    """Write `out/train`, `out/test` and their pair lists; yields (split, number) after each pair.

    `train_pairs.txt` is paired; `test_pairs.txt` gives every person of the test split the next one's
    garment. Same arguments, same bytes (on one machine).
    """
    out = Path(out)
    first = 0
    for split, count in (("train", train), ("test", test)):
        names = range(first, first + count)
        for i, number in enumerate(names):
            write_pair(out / split, number, draw_pair(pair_rng(seed, split, i), size, samples))
            yield split, i
        shift = 0 if split == "train" else 1
        lines = [f"{n:06d}_0.jpg {names[(i + shift) % count]:06d}_1.jpg\n" for i, n in enumerate(names)]
        data = "".join(lines).encode()
        write_atomically(out / f"{split}_pairs.txt", partial(_put, data=data))
        first += count


def loose_pair() -> tuple[SyntheticPerson, SyntheticGarment, SyntheticGarment]:
    """The person, what the person wears, and the other garment of the loose photos."""
    rng = np.random.default_rng(20)
    person = random_person(rng)
    right = ArmPose((0.22, 0.03, -1), (0.08, -0.22, -1), twist=-8.0, curl=24.0)
    left = ArmPose((0.80, 0.14, -0.80), (-0.66, -0.34, -0.58), twist=-55.0, flex=22.0, curl=18.0, shrug=3.0)
    pose = Pose(left, right, turn=2.0, head_turn=3.0, head_tilt=-2.5, hip_shift=2.5)
    person = replace(
        person, female=True, mixture=(0.05, 0.05, 0.15, 0.1, 0.5, 0.15), skin=(226, 180, 152), hair="long",
        hair_colour=(84, 56, 38), hair_length=0.40, wave=0.6, pose_name="hip", pose=pose,
        lips=(190, 104, 102), eyes=(86, 74, 50), trousers=(54, 74, 110), denim=True, backdrop=240,
        x=0.0, y=0.0, scale=1.0,
    )  # fmt: skip
    worn = replace(random_garment(rng), sleeve="short", neck="round", neck_width=0.09, neck_depth=0.09,
                   hem=0.1, colour=(122, 126, 132), pattern="heather", ease=0.012, flare=0.03)  # fmt: skip
    wanted = replace(worn, sleeve="three-quarter", neck="boat", neck_width=0.125, neck_depth=0.045, hem=0.09,
                     colour=(244, 243, 238), accent=(32, 46, 84), pattern="stripes", scale=0.034,
                     contrast_rib=False, seed=5)  # fmt: skip
    return person, worn, wanted


def write_loose(out: Path) -> None:
    """`person.jpg` (900×1200) and `cloth.jpg` (800×1000): two photos as anybody might have them."""
    person, worn, wanted = loose_pair()
    _jpeg(Path(out) / "person.jpg", draw_person(person, worn, (1200, 900), 2).image, 90)
    _jpeg(Path(out) / "cloth.jpg", draw_cloth(wanted, (1000, 800), 2)[0], 90)
