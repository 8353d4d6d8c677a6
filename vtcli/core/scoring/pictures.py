"""Pictures that are read where they are needed: a worker gets the small description, not the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from vtcli.core.data.labels import TOP_LABELS
from vtcli.core.data.store import PreparedStore
from vtcli.core.system.errors import VtcliError


@lru_cache(maxsize=8)
def open_store(root: Path) -> PreparedStore:
    """The prepared split at `root`, opened once per process."""
    return PreparedStore.open(root)


@dataclass(frozen=True)
class FilePicture:
    """A picture in a file."""

    path: Path

    def read(self) -> np.ndarray:
        """8-bit RGB (H, W, 3); an alpha channel is dropped, as pytorch-fid does."""
        try:
            with Image.open(self.path) as image:
                return np.array(image.convert("RGB"))
        except Exception as problem:  # decoders meet broken files with whatever they stumble on
            raise VtcliError(f"{self.path}: not a readable picture ({problem})") from problem

    def size(self) -> tuple[int, int]:
        """(height, width) by the file's header."""
        try:
            with Image.open(self.path) as image:
                return image.height, image.width
        except Exception as problem:
            raise VtcliError(f"{self.path}: not a readable picture ({problem})") from problem


@dataclass(frozen=True)
class StorePicture:
    """Row `index` of the prepared split at `root`.

    `what` is "image" (the photo), "cloth" (the shop photo) or "garment": the photo where the person wears her
    top, white elsewhere, which is what a warp is measured against.
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
