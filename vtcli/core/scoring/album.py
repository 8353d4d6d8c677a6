"""The report's pictures: each embedded once, small enough for all of them together to stay light."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from vtcli.core.data.labels import LABELS, LIP_PALETTE
from vtcli.core.scoring.pairwise import read_parse
from vtcli.core.scoring.pictures import Picture, StorePicture

BUDGET = 9_500_000
"""Bytes that all pictures together may take, base64 included."""
_SETTINGS = ((384, 82), (256, 76), (192, 70), (144, 64), (96, 60))
"""(longest side in pixels, WebP quality), tried in turn until the pictures fit."""


@dataclass(frozen=True)
class LabelPicture:
    """A map of LIP labels in LIP's colours, from a file or of a photo in the store."""

    source: Path | StorePicture

    def read(self) -> np.ndarray:
        """8-bit RGB (H, W, 3)."""
        labels = self.source.parse() if isinstance(self.source, StorePicture) else read_parse(self.source)
        return LIP_PALETTE[np.where(labels < LABELS, labels, 0)]


Shown = Picture | LabelPicture


@dataclass
class Album:
    """Pictures by number: `add` the same picture twice and it is embedded once."""

    numbers: dict[Shown, int] = field(default_factory=dict)

    def add(self, picture: Shown) -> int:
        """The picture's number."""
        return self.numbers.setdefault(picture, len(self.numbers))

    def data_urls(self) -> list[str]:
        """Every picture as a `data:` URL of WebP, at the largest setting that keeps within BUDGET."""
        arrays = {number: picture.read() for picture, number in self.numbers.items()}
        urls: list[str] = []
        for side, quality in _SETTINGS:
            urls = []
            total = 0
            for number in range(len(arrays)):
                urls.append(_data_url(arrays[number], side, quality))
                total += len(urls[-1])
                if total > BUDGET:
                    break
            else:
                return urls
        raise AssertionError("the report chooses too many pictures")


def _data_url(array: np.ndarray, side: int, quality: int) -> str:
    image = Image.fromarray(array)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=quality, method=3)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
