"""Pictures that are read where they are needed: a worker gets the small description, not the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from vtcli.core.data.images import letterbox, open_rgb
from vtcli.core.data.labels import TOP_LABELS
from vtcli.core.data.store import PreparedStore
from vtcli.core.system.errors import VtcliError

_ORIENTATION = ExifTags.Base.Orientation
_ON_ITS_SIDE = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""


@lru_cache(maxsize=8)
def open_store(root: Path) -> PreparedStore:
    """The prepared split at `root`, opened once per process."""
    return PreparedStore.open(root)


@dataclass(frozen=True)
class FilePicture:
    """A picture in a file, read as `prepare` reads photos: upright, in sRGB, on white where it is transparent.

    `fit` (height, width): bring it to this size without stretching, as `prepare` does; None: as it is.
    """

    path: Path
    fit: tuple[int, int] | None = None

    def read(self) -> np.ndarray:
        """8-bit RGB (H, W, 3)."""
        picture = open_rgb(self.path)
        return np.asarray(picture if self.fit is None else letterbox(picture, self.fit)[0])

    def size(self) -> tuple[int, int]:
        """(height, width) of what `read` gives, by the file's header."""
        return self.fit or file_size(self.path)


def file_size(path: Path) -> tuple[int, int]:
    """(height, width) of the upright picture, by the file's header alone."""
    try:
        with Image.open(path) as image:
            lies = image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE
            return (image.width, image.height) if lies else (image.height, image.width)
    except Exception as problem:  # decoders meet broken files with whatever they stumble on
        raise VtcliError(f"{path}: not a readable picture ({problem})") from problem


@dataclass(frozen=True)
class StorePicture:
    """Row `index` of the prepared split at `root`.

    `what` is "image" (the photo), "cloth" (the shop photo) or "garment": the photo inside of the person's
    own top, white elsewhere, which is what a warp is measured against.
    """

    root: Path
    index: int
    what: str = "image"

    def _field(self, name: str) -> np.ndarray:
        return open_store(self.root).read(name, [self.index])[0]

    def read(self) -> np.ndarray:
        """8-bit RGB (H, W, 3)."""
        if self.what != "garment":
            return self._field(self.what)
        worn = np.isin(self.parse(), TOP_LABELS)
        return np.where(worn[..., None], self._field("image"), np.uint8(255))

    def parse(self) -> np.ndarray:
        """The photo's LIP labels (H, W), uint8."""
        return self._field("parse")

    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return open_store(self.root).size


Picture = FilePicture | StorePicture
