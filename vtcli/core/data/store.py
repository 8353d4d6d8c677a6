"""The prepared store: one split as plain `.npy` shards that NumPy can map, and one `manifest.json`.

    prepared/<split>/manifest.json
                     image-0000.npy       (n, H, W, 3) uint8    the person's photo, RGB
                     cloth-0000.npy       (n, H, W, 3) uint8    the shop photo of the garment that is worn, RGB
                     cloth_mask-0000.npy  (n, H, W)    uint8    the garment's mask as given: 255 on it, 0 elsewhere
                     garment_mask-0000.npy  the same            the mask repaired (`vtcli.core.garments.masks`)
                     front_mask-0000.npy    the same            the repaired mask without the back collar's inside
                     parse-0000.npy       (n, H, W)    uint8    LIP labels 0-19
                     keypoints-0000.npy   (n, 18, 3)   float32  COCO-18: x, y in pixels of the store's size,
                                                                confidence; an absent joint is (0, 0, 0)

Stores of format version 1 lack the last two masks: they are found when they are read, and remembered.

Pixels lie channels-last: a batch becomes torch's channels-last format without a copy. Every shard holds
`shard_size` consecutive pairs (the last one fewer). Shards are written under a temporary name and renamed;
the manifest comes last, so a folder with a manifest is whole. Anyone can read it with
NumPy alone.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from io import FileIO
from pathlib import Path
from typing import IO, Any

import numpy as np

from vtcli.core.data.found_masks import FoundMasks
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import is_plain_name, read_json, write_atomically, write_json

FORMAT = "vtcli-prepared"
VERSION = 2
FIELDS = ("image", "cloth", "cloth_mask", "garment_mask", "front_mask", "parse", "keypoints")
FIELDS_OF = {1: ("image", "cloth", "cloth_mask", "parse", "keypoints"), VERSION: FIELDS}
"""Format version of a store → the fields that lie in it."""
SHARD_SIZE = 256


def field_shape(name: str, size: tuple[int, int]) -> tuple[int, ...]:
    """Shape of one pair's entry of field `name` in a store of `size` (height, width)."""
    if name == "keypoints":
        return (18, 3)
    return (*size, 3) if name in ("image", "cloth") else size


def field_dtype(name: str) -> np.dtype[Any]:
    """uint8 for pixels, float32 for joints."""
    return np.dtype(np.float32 if name == "keypoints" else np.uint8)


def row_bytes(size: tuple[int, int]) -> int:
    """Bytes of one pair in a store of `size` (height, width)."""
    return sum(math.prod(field_shape(name, size)) * field_dtype(name).itemsize for name in FIELDS)


@dataclass(frozen=True)
class Entry:
    """One pair of the store: a person and the garment that the person wears.

    `name` and `cloth` are file stems in the source ("000003_0", "000003_1"), `hash` the content hash of the
    source pair, `seen` whether the photo is also in the training split, `derived` which of the fields that a data set
    may give vtcli made itself ("cloth_mask", "parse", "keypoints").
    """

    name: str
    cloth: str
    hash: str = ""
    seen: bool = False
    derived: tuple[str, ...] = ()


@dataclass
class Manifest:
    """What `manifest.json` says. `unpaired` lists (person name, cloth name) of the split's own pairs file."""

    split: str
    size: tuple[int, int]
    entries: list[Entry]
    unpaired: list[tuple[str, str]] = field(default_factory=list)
    layout: str = "viton"
    derived_by: dict[str, str] = field(default_factory=dict)
    shard_size: int = SHARD_SIZE
    version: int = VERSION

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that lie in the store."""
        return FIELDS_OF[self.version]

    def to_json(self) -> dict[str, Any]:
        """The manifest as JSON-ready values."""
        return {
            "format": FORMAT,
            "version": self.version,
            "split": self.split,
            "layout": self.layout,
            "size": list(self.size),
            "shard_size": self.shard_size,
            "fields": list(self.fields),
            "derived_by": self.derived_by,
            "entries": [
                {"name": e.name, "cloth": e.cloth, "hash": e.hash, "seen": e.seen, "derived": list(e.derived)}
                for e in self.entries
            ],
            "unpaired": [list(pair) for pair in self.unpaired],
        }

    @classmethod
    def from_json(cls, value: Any, source: Path) -> Manifest:
        """Read and check; VtcliError names `source` and what is off."""
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise VtcliError(f"{source}: not a manifest of a prepared store")
        version = value.get("version")
        if not isinstance(version, int) or version not in FIELDS_OF:
            raise VtcliError(
                f"{source}: format version {version!r}, this vtcli reads {VERSION} and older; "
                "run `vtcli prepare` again"
            )
        try:
            height, width = (int(v) for v in value["size"])
            shard_size = int(value["shard_size"])
            entries = [
                Entry(
                    str(e["name"]), str(e["cloth"]), str(e.get("hash", "")), bool(e.get("seen", False)),
                    tuple(str(d) for d in e.get("derived", ())),
                )
                for e in value["entries"]
            ]  # fmt: skip
            for e in value["entries"]:
                if not (is_plain_name(e["name"]) and is_plain_name(e["cloth"])):
                    raise ValueError(f"{e['name']!r}, {e['cloth']!r}: not the names of files")
            if len({entry.name for entry in entries}) < len(entries):
                raise ValueError("the same name twice")
            unpaired = [(str(person), str(cloth)) for person, cloth in value.get("unpaired", ())]
            if min(height, width, shard_size) < 1 or not entries:
                raise ValueError("empty")
            return cls(
                str(value["split"]), (height, width), entries, unpaired, str(value.get("layout", "")),
                {str(k): str(v) for k, v in value.get("derived_by", {}).items()}, shard_size, version,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as problem:
            raise VtcliError(
                f"{source}: broken manifest ({problem!r}); run `vtcli prepare` again"
            ) from problem


def digest(root: Path, split: str) -> str:
    """A digest of what the store `root`, or its `split`, holds by its manifest, wherever it lies; "" where there is none."""
    for folder in (Path(root) / split, Path(root)):
        if (folder / "manifest.json").is_file():
            return blake2b((folder / "manifest.json").read_bytes(), digest_size=8).hexdigest()
    return ""


def shard_file(root: Path, name: str, number: int) -> Path:
    """Path of shard `number` of field `name`."""
    return root / f"{name}-{number:04d}.npy"


def write_shard(root: Path, number: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Write one shard: `arrays` holds every field of FIELDS, stacked over the shard's pairs."""
    for name in FIELDS:
        array = np.ascontiguousarray(arrays[name], dtype=field_dtype(name))
        save_array(shard_file(root, name, number), array)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write a `.npy` file, whole or not at all; VtcliError as of `write_atomically`."""
    write_atomically(path, lambda stream: np.save(_Stream(stream), array, allow_pickle=False))


class _Stream:
    """A file that NumPy does not take for one: its own way of writing to files does not say why it failed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.write = stream.write


def write_manifest(root: Path, manifest: Manifest) -> None:
    """Write `manifest.json`, which makes the store whole."""
    write_json(root / "manifest.json", manifest.to_json())


OPEN_FILES = 128


@dataclass(frozen=True)
class _Shard:
    """One field's file: where its first row begins, and a row's bytes."""

    path: Path
    offset: int
    stride: int


class PreparedStore:
    """One prepared split. Rows are read from their files when asked for, in any thread; memory does not grow.

    >>> store = PreparedStore.open(Path("prepared"), "train")
    >>> store.read("image", [0, 5]).shape
    (2, 256, 192, 3)
    """

    def __init__(self, root: Path, manifest: Manifest, shards: list[dict[str, _Shard]]) -> None:
        self.root = root
        self.manifest = manifest
        self._shards = shards
        # Files stay open, but not more than a process may have: large pictures make thousands of shards.
        self._file = lru_cache(maxsize=OPEN_FILES)(_open)
        self._found_masks = FoundMasks(self.read)
        self._index = {e.name: i for i, e in enumerate(manifest.entries)}
        self._cloth_index = {e.cloth: i for i, e in reversed(list(enumerate(manifest.entries)))}

    @classmethod
    def open(cls, root: Path, split: str | None = None) -> PreparedStore:
        """Open `root` (a split's folder) or `root/split`. Checks every shard's shape; unpickles nothing."""
        root = Path(root)
        if not (root / "manifest.json").is_file() and split is not None:
            root = root / split
        if not (root / "manifest.json").is_file():
            raise VtcliError(f"{root}: no prepared store here; make one with `vtcli prepare DATA_DIR`")
        manifest = Manifest.from_json(read_json(root / "manifest.json"), root / "manifest.json")
        shards = []
        for number, start in enumerate(range(0, len(manifest.entries), manifest.shard_size)):
            count = min(manifest.shard_size, len(manifest.entries) - start)
            shards.append(
                {name: _check(root, name, number, count, manifest.size) for name in manifest.fields}
            )
        return cls(root, manifest, shards)

    def __len__(self) -> int:
        return len(self.manifest.entries)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every picture."""
        return self.manifest.size

    @property
    def shard_size(self) -> int:
        """Pairs in a shard (the last may have fewer)."""
        return self.manifest.shard_size

    def read(self, name: str, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Field `name` of the pairs at `indices`, in that order, as a new array of shape (n, …)."""
        rows = np.asarray(indices, dtype=np.int64)
        if name not in self.manifest.fields:
            return self._found_masks.read(name, rows.tolist())
        out = np.empty((len(rows), *field_shape(name, self.size)), dtype=field_dtype(name))
        numbers, within = np.divmod(rows, self.shard_size)
        for i, (number, row) in enumerate(zip(numbers, within, strict=True)):
            shard = self._shards[number][name]
            _fill(self._file(shard.path), shard, int(row), out[i])
        return out

    def index(self, name: str) -> int:
        """Position of the person called `name`."""
        try:
            return self._index[name]
        except KeyError:
            raise VtcliError(f"{self.root}: no person named {name!r} in this store") from None

    def cloth_index(self, name: str) -> int:
        """Position of a pair whose garment is called `name`."""
        try:
            return self._cloth_index[name]
        except KeyError:
            raise VtcliError(f"{self.root}: no garment named {name!r} in this store") from None


def _open(path: Path) -> FileIO:
    try:
        return FileIO(path)
    except OSError as problem:
        raise VtcliError(
            f"{path}: cannot be read ({problem.strerror}); run `vtcli prepare` again"
        ) from problem


def _fill(file: FileIO, shard: _Shard, row: int, out: np.ndarray) -> None:
    """Read one row into `out`, without moving the file's position, which other threads share."""
    place = shard.offset + row * shard.stride
    if hasattr(os, "preadv"):
        got = os.preadv(file.fileno(), [out.data.cast("B")], place)
    else:
        with _open(shard.path) as own:
            own.seek(place)
            got = own.readinto(out.data.cast("B"))
    if got != shard.stride:
        raise VtcliError(f"{shard.path}: broken shard (ends early); run `vtcli prepare --force`")


def _check(root: Path, name: str, number: int, count: int, size: tuple[int, int]) -> _Shard:
    path = shard_file(root, name, number)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise VtcliError(f"{path}: shard is missing; run `vtcli prepare` again") from None
    except Exception as problem:  # a header that lies makes NumPy stumble in many ways
        raise VtcliError(f"{path}: broken shard ({problem}); run `vtcli prepare --force`") from problem
    expected = (count, *field_shape(name, size))
    if array.shape != expected or array.dtype != field_dtype(name) or not array.flags.c_contiguous:
        raise VtcliError(
            f"{path}: holds {array.dtype}{list(array.shape)}, the manifest says "
            f"{field_dtype(name)}{list(expected)}; run `vtcli prepare --force`"
        )
    return _Shard(path, array.offset, array[0].nbytes)
