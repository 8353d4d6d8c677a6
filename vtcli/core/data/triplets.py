"""Chunks of triplets: a person in garment A, the shop photo of garment B, the same person in B, and where
each visible spot of B lies in the shop photo.

A chunk is one `.npz` file of some fifty triplets:

- `about`: JSON text: format, seed, split, first number, size, and what each triplet's garments are;
- `keypoints` (N, 18, 3) float32: COCO-18 joints of the person, the same in both photos;
- `blob` uint8 and `ends` (N, 7) int64: for each triplet, one after the other, three JPEGs (person in A, person
  in B, cloth), three PNGs (parse of A, parse of B, mask of the cloth) and the correspondence.

In a parse's PNG, 32 is added where the neck is bare, and 21 is what is carried (`labels.THING`; chunks made before have none).
The correspondence is kept for every second row and column in 1/64 pixel: int16, x then y, differences along each row, deflated; -32768 where there is none.
Reading needs NumPy and OpenCV alone.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import write_atomically

FORMAT = 1
STEP = 2
"""Every how many rows and columns the correspondence is kept."""
_UNIT = 64
_NONE = np.int16(-32768)
_NECK = 32


@dataclass
class Triplets:
    """N triplets at H×W. Photos uint8 RGB; parses uint8 LIP labels; necks bool: bare skin that the parse
    calls background (the neck, and what else of the torso is bare); things bool: what is carried, background as well;
    masks uint8 0 or 255; keypoints (N, 18, 3) float32 (x, y, confidence).

    `correspondence[n, i, j]` is for the pixel (row 2i, column 2j) of `person_b[n]` the place (x, y) in
    `cloth[n]`, in its pixels, where a pixel's centre has whole coordinates (as `cv2.remap` wants them); NaN
    where garment B is not visible there or the shop photo does not show the spot.
    """

    person_a: np.ndarray  # (N, H, W, 3)
    parse_a: np.ndarray  # (N, H, W)
    neck_a: np.ndarray  # (N, H, W)
    thing_a: np.ndarray  # (N, H, W)
    person_b: np.ndarray  # (N, H, W, 3)
    parse_b: np.ndarray  # (N, H, W)
    neck_b: np.ndarray  # (N, H, W)
    thing_b: np.ndarray  # (N, H, W)
    cloth: np.ndarray  # (N, H, W, 3)
    cloth_mask: np.ndarray  # (N, H, W)
    keypoints: np.ndarray  # (N, 18, 3)
    correspondence: np.ndarray  # (N, H / 2, W / 2, 2) float32
    about: dict[str, Any]


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return cv2.imencode(".jpg", image[..., ::-1], options)[1].tobytes()


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def pack_correspondence(correspondence: np.ndarray) -> bytes:
    """(H, W, 2) float32 with NaN to the chunk's bytes; only every second row and column is kept."""
    picked = correspondence[::STEP, ::STEP]
    there = np.isfinite(picked).all(-1)
    fixed = np.round(np.where(there[..., None], picked, 0) * _UNIT).astype(np.int16)
    planes = np.where(there[..., None], fixed, _NONE).transpose(2, 0, 1)
    with np.errstate(over="ignore"):
        steps = np.diff(planes, axis=2, prepend=np.int16(0))
    return zlib.compress(steps.astype("<i2").view(np.uint8).reshape(-1, 2).T.tobytes(), 9)


def unpack_correspondence(data: bytes, height: int, width: int) -> np.ndarray:
    """The inverse of `pack_correspondence` for pictures of height by width: (H / 2, W / 2, 2) float32."""
    rows, columns = -(-height // STEP), -(-width // STEP)
    low, high = np.frombuffer(zlib.decompress(data), np.uint8).reshape(2, 2, rows, columns)
    steps = (low.astype(np.uint16) | high.astype(np.uint16) << 8).view(np.int16)
    planes = np.cumsum(steps, axis=2, dtype=np.int16)
    return np.where(planes == _NONE, np.nan, planes / np.float32(_UNIT)).transpose(1, 2, 0).astype(np.float32)


@dataclass
class PersonMaps:
    """A person's photo and what it shows. image (H, W, 3) uint8 RGB; (H, W) uint8 LIP labels; neck (H, W) bool: bare skin
    that the parse calls background, as VITON's maps do; thing (H, W) bool: what is carried, background as well."""

    image: np.ndarray
    parse: np.ndarray
    neck: np.ndarray
    thing: np.ndarray

    def labels(self) -> np.ndarray:
        """The parser's labels, (H, W) uint8: LIP's, and its own where neck and things are."""
        labels = np.where(self.neck, np.uint8(L.TORSO_SKIN), self.parse)
        return np.where(self.thing, np.uint8(L.THING), labels)


def pack_triplet(a: PersonMaps, b: PersonMaps, cloth: np.ndarray, cloth_mask: np.ndarray,
                 correspondence: np.ndarray, quality: int = 90) -> list[bytes]:  # fmt: skip
    """One triplet's seven pieces; `correspondence` (H, W, 2) float32, the rest as in `Triplets`."""
    return [
        *(_jpeg(image, quality) for image in (a.image, b.image, cloth)),
        *(_png(np.where(x.thing, L.THING, x.parse + _NECK * x.neck).astype(np.uint8)) for x in (a, b)),
        _png(cloth_mask),
        pack_correspondence(correspondence),
    ]  # fmt: skip


def write_chunk(path: Path, pieces: list[list[bytes]], keypoints: np.ndarray, about: dict[str, Any]) -> None:
    """Write the packed triplets of one chunk, whole or not at all."""
    flat = [piece for triplet in pieces for piece in triplet]
    ends = np.cumsum([len(piece) for piece in flat]).reshape(len(pieces), -1)
    buffer = io.BytesIO()
    text = json.dumps({"format": FORMAT, **about})
    np.savez(buffer, about=np.array(text), keypoints=keypoints.astype(np.float32), ends=ends.astype(np.int64),
             blob=np.frombuffer(b"".join(flat), np.uint8))  # fmt: skip
    write_atomically(path, lambda stream: stream.write(buffer.getvalue()))


def read_about(path: Path) -> dict[str, Any]:
    """What a chunk says about itself; VtcliError names a file that is absent, broken, or of another format."""
    try:
        with np.load(path, allow_pickle=False) as data:
            about = json.loads(str(data["about"]))
    except FileNotFoundError as problem:
        raise VtcliError(f"{path}: no such file") from problem
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as problem:
        raise VtcliError(f"{path}: not a chunk of triplets ({problem})") from problem
    if about.get("format") != FORMAT:
        raise VtcliError(f"{path}: format {about.get('format')}, not {FORMAT}; make the triplets again")
    return about


class TripletChunks:
    """All triplets of a folder of chunks, packed in memory, read one at a time or some at once."""

    def __init__(self, folder: Path) -> None:
        """`folder`: of a split, `OUT/train` say, or a single chunk. VtcliError where it has no chunk, or one that cannot be
        read."""
        self.folder = Path(folder)
        one = self.folder.suffix == ".npz"
        self.chunks = [_Chunk(path) for path in ([self.folder] if one else sorted(self.folder.glob("*.npz")))]
        if not self.chunks:
            raise VtcliError(
                f"{folder}: no triplets here; `python -m vtcli.core.synthetic triplets OUT` writes them"
            )
        sizes = {tuple(chunk.about["size"]) for chunk in self.chunks}
        if len(sizes) > 1:
            raise VtcliError(f"{folder}: triplets of several sizes ({sorted(sizes)})")
        self.size: tuple[int, int] = sizes.pop()
        self._places = [(chunk, i) for chunk in self.chunks for i in range(len(chunk.keypoints))]

    def __len__(self) -> int:
        return len(self._places)

    def read(self, number: int) -> dict[str, np.ndarray]:
        """Triplet `number`: the fields of `Triplets`, without the first dimension, but for `about`."""
        chunk, i = self._places[number]
        return chunk.read(i)


class _Chunk:
    """One file, packed."""

    def __init__(self, path: Path) -> None:
        self.path, self.about = path, read_about(path)
        try:
            with np.load(path, allow_pickle=False) as data:
                self.blob, ends, self.keypoints = data["blob"], data["ends"], data["keypoints"]
            self.starts = np.concatenate([[0], ends.ravel()[:-1]]).reshape(ends.shape)
            self.ends = ends
        except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as problem:
            raise self._broken(problem) from problem

    def read(self, i: int) -> dict[str, np.ndarray]:
        height, width = self.about["size"]
        try:
            pieces = [self.blob[a:b] for a, b in zip(self.starts[i], self.ends[i], strict=True)]
            photos = [_decode(piece, cv2.IMREAD_COLOR)[..., ::-1] for piece in pieces[:3]]
            maps = [_decode(piece, cv2.IMREAD_GRAYSCALE) for piece in pieces[3:6]]
            places = unpack_correspondence(pieces[6].tobytes(), height, width)
        except (ValueError, IndexError, zlib.error) as problem:
            raise self._broken(problem) from problem
        people: dict[str, np.ndarray] = {}
        for name, photo, values in zip("ab", photos, maps, strict=False):
            labels = values & (_NECK - 1)
            people |= {
                f"person_{name}": photo, f"parse_{name}": np.where(labels == L.THING, 0, labels).astype(np.uint8),
                f"neck_{name}": values >= _NECK, f"thing_{name}": labels == L.THING,
            }  # fmt: skip
        return {
            **people, "cloth": photos[2], "cloth_mask": maps[2], "keypoints": self.keypoints[i], "correspondence": places,
        }  # fmt: skip

    def _broken(self, problem: Exception) -> VtcliError:
        return VtcliError(f"{self.path}: a broken chunk of triplets ({problem}); make it again")


def read_triplets(path: Path) -> Triplets:
    """All triplets of one chunk, decoded; VtcliError names a file that cannot be read."""
    chunk = _Chunk(path)
    read = [chunk.read(i) for i in range(len(chunk.keypoints))]
    arrays = {name: np.stack([triplet[name] for triplet in read]) for name in read[0]}
    return Triplets(**arrays, about=chunk.about)


def _decode(piece: np.ndarray, mode: int) -> np.ndarray:
    image = cv2.imdecode(piece, mode)
    if image is None:
        raise ValueError("a picture that cannot be decoded")
    return image
