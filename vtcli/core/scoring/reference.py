"""`--reference`: the photos that results are measured against, found by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vtcli.core.data.images import IMAGE_SUFFIXES, same_shape
from vtcli.core.data.layouts import stem
from vtcli.core.data.results import ResultPair, ResultsInfo
from vtcli.core.data.store import PreparedStore
from vtcli.core.scoring.pictures import FilePicture, Picture, StorePicture, file_size, open_store
from vtcli.core.system.errors import VtcliError

UNKNOWN = "unknown"
"""What another tool keeps of the photo."""
_SEPARATORS = "_-+ ."
"""What may stand between the person's and the garment's name in a result's."""
_LOSSLESS = (".png", ".bmp", ".ppm", ".tif", ".tiff")


def pictures_in(folder: Path) -> dict[str, Path]:
    """Name without suffix → file of each picture in `folder`, sorted; VtcliError where two share a name."""
    files: dict[str, Path] = {}
    if not folder.is_dir():
        return files
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        name = stem(path.name)
        if name in files:
            raise VtcliError(f"{folder}: both {files[name].name} and {path.name}; keep one of them")
        files[name] = path
    return files


@dataclass(frozen=True)
class Reference:
    """A folder of photos (`files`), or a prepared split (`store`)."""

    root: Path
    files: dict[str, Path]
    store: PreparedStore | None = None

    @classmethod
    def open(cls, root: Path) -> Reference:
        """Look into `root`; VtcliError when it holds no photos."""
        if (root / "manifest.json").is_file():
            return cls(root, {}, open_store(root))
        if not root.is_dir():
            raise VtcliError(f"{root}: no such folder")
        files = pictures_in(root)
        if not files:
            raise VtcliError(f"{root}: no pictures here, nor a prepared split")
        return cls(root, files)

    @property
    def name(self) -> str:
        """The folder's full path."""
        return str(self.root.resolve())

    def seen(self, persons: Sequence[str]) -> np.ndarray:
        """(n,) bool: whether training has seen the person's photo, as far as a store says so."""
        if self.store is None:
            return np.zeros(len(persons), bool)
        entries = self.store.manifest.entries
        return np.array([entries[self.store.index(person)].seen for person in persons])

    def of_pairs(
        self, pairs: Sequence[ResultPair], info: ResultsInfo, notes: list[str], run: str
    ) -> list[Picture]:
        """The photos of vtcli's own results: by the persons' names, else by the results'; brought to the results' size
        as `prepare` does."""
        if self.store is not None:
            what = "garment" if info.kind == "warp" else "image"
            return [StorePicture(self.store.root, self.store.index(pair.person), what) for pair in pairs]
        by_person = sum(pair.person in self.files for pair in pairs)
        by_name = sum(pair.name in self.files for pair in pairs)
        keys = [pair.person if by_person >= by_name else pair.name for pair in pairs]
        missing = [key for key in keys if key not in self.files]
        if missing:
            raise VtcliError(
                f"{self.root}: no picture for {len(missing)} of {len(keys)} results of {run}, "
                f"first {missing[0]!r} (looked for the persons' and the results' names)"
            )
        self._note_extra(keys, notes, run)
        fits = [None if file_size(self.files[key]) == info.size else info.size for key in keys]
        _note_scaled(fits, notes, run)
        return [FilePicture(self.files[key], fit) for key, fit in zip(keys, fits, strict=True)]

    def match(self, names: Sequence[str], run: str) -> list[str]:
        """For each of another tool's results the photo's name: the same, or the longest that it begins with."""
        known = set(self.files) if self.store is None else {e.name for e in self.store.manifest.entries}
        found = [_longest_beginning(name, known) for name in names]
        missing = [name for name, person in zip(names, found, strict=True) if person is None]
        if missing:
            raise VtcliError(
                f"{self.root}: no photo for {len(missing)} of {len(names)} pictures of {run}, first {missing[0]!r}; "
                "a result is named like its photo, or PHOTO_GARMENT"
            )
        return [person for person in found if person is not None]

    def of_pictures(
        self, pictures: Sequence[FilePicture], persons: Sequence[str], notes: list[str], run: str
    ) -> list[Picture]:
        """The photo of each of another tool's results, brought to the result's size; its proportions must be the
        photo's."""
        if self.store is not None:
            references: list[Picture] = [StorePicture(self.store.root, self.store.index(p)) for p in persons]
        else:
            references = [FilePicture(self.files[person]) for person in persons]
            self._note_extra(persons, notes, run)
        fits: list[tuple[int, int] | None] = []
        for i, (picture, photo) in enumerate(zip(pictures, references, strict=True)):
            size, its = picture.size(), photo.size()
            fits.append(None if size == its else size)
            if size == its:
                continue
            if not isinstance(photo, FilePicture) or not same_shape(size, its) or size[0] > its[0]:
                raise VtcliError(
                    f"{picture.path}: {size[1]}×{size[0]} pixels, its photo has {its[1]}×{its[0]}; only a smaller "
                    "result of the same proportions can be compared with a photo"
                )
            references[i] = FilePicture(photo.path, size)
        _note_scaled(fits, notes, run)
        self._note_formats(pictures, notes, run)
        return references

    def why_given_unknown(self, pictures: Sequence[FilePicture], references: Sequence[Picture]) -> str | None:
        """Why no pixel of another tool's results can be called the photo's own; None when it can."""
        lossy = sorted({_format(p.path) for p in pictures if p.path.suffix.lower() not in _LOSSLESS})
        if lossy:
            return f"the results are {' and '.join(lossy)}: compression changes every pixel"
        if any(isinstance(photo, FilePicture) and photo.fit for photo in references):
            return "the photos were scaled to the results' size"
        return None

    def _note_extra(self, keys: Iterable[str], notes: list[str], run: str) -> None:
        extra = len(self.files) - len(set(keys))
        if extra:
            notes.append(f"{self.root}: {extra} pictures belong to no result of {run} and are in no metric")

    def _note_formats(self, pictures: Sequence[FilePicture], notes: list[str], run: str) -> None:
        mine = sorted({_format(picture.path) for picture in pictures})
        its = ["a prepared store"] if self.store else sorted({_format(path) for path in self.files.values()})
        if mine != its and any(p.path.suffix.lower() not in _LOSSLESS for p in pictures):
            notes.append(
                f"{run}: the results are {' and '.join(mine)}, the photos {' and '.join(its)}; "
                "what compression loses is in the metrics"
            )


def _longest_beginning(name: str, known: set[str]) -> str | None:
    if name in known:
        return name
    ends = (end for end in range(len(name) - 1, 0, -1) if name[end] in _SEPARATORS)
    return next((name[:end] for end in ends if name[:end] in known), None)


def _note_scaled(fits: Sequence[tuple[int, int] | None], notes: list[str], run: str) -> None:
    scaled = sum(fit is not None for fit in fits)
    if scaled:
        notes.append(
            f"{run}: {scaled} of {len(fits)} photos have another size and were scaled to the results', as `prepare` does"
        )


def _format(path: Path) -> str:
    return {".jpg": "JPEG", ".jpeg": "JPEG", ".jfif": "JPEG", ".tif": "TIFF"}.get(
        path.suffix.lower(), path.suffix[1:].upper()
    )
