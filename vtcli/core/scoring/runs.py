"""Results folders → runs: each picture beside the photo it is measured against; mistakes are caught here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from vtcli.core.data.images import IMAGE_SUFFIXES
from vtcli.core.data.results import ResultPair, ResultsInfo, image_file, parse_file
from vtcli.core.data.store import PreparedStore
from vtcli.core.scoring.pictures import FilePicture, Picture, StorePicture, open_store
from vtcli.core.system.errors import UsageProblem, VtcliError


@dataclass
class Run:
    """One results folder, checked.

    `references[i]` is the photo that result i is measured against (for distances: the photos among which it
    stands); None without any. `parses` are the M_exp maps where the run has them for every picture, `truths`
    the photos whose parse they are measured against. `seen` marks pairs whose photo is in the training split.
    """

    name: str
    folder: Path
    info: ResultsInfo
    paired: bool
    seen: np.ndarray
    references: list[Picture] | None
    reference: str
    parses: list[Path] | None = None
    truths: list[StorePicture] | None = None
    cloths: list[StorePicture] | None = None
    photos: list[Picture] | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.info.pairs)

    @cached_property
    def pictures(self) -> list[FilePicture]:
        """The results."""
        return [FilePicture(image_file(self.folder, pair.name)) for pair in self.info.pairs]

    @cached_property
    def group(self) -> tuple[object, ...]:
        """Runs of equal groups show the same pairs under the same protocol: their figures compare."""
        pairs = frozenset((p.name, p.person, p.cloth) for p in self.info.pairs)
        return (self.info.kind, self.info.keep, self.paired, self.reference, pairs)


def load_runs(folders: Sequence[Path], reference: Path | None = None) -> list[Run]:
    """Load and check every folder. `reference`: a folder of pictures, a prepared split, or a `.npz` of FID
    statistics (which stands beside the results' own store). VtcliError names the first thing that is off.
    """
    if not folders:
        raise UsageProblem("no results folder given")
    names = _distinct_names(folders)
    return [_load(folder, name, reference) for folder, name in zip(folders, names, strict=True)]


def _distinct_names(folders: Sequence[Path]) -> list[str]:
    paths = [Path(folder).resolve() for folder in folders]
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise UsageProblem(f"{twice[0]}: given twice")
    depth = 1
    while True:
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
        depth += 1


def _load(folder: Path, name: str, reference: Path | None) -> Run:
    folder = Path(folder)
    if not folder.is_dir():
        raise VtcliError(f"{folder}: no such folder")
    info = ResultsInfo.load(folder)
    _check_pictures(folder, info)
    pairs = info.pairs
    store = _store(info, required=reference is None)
    rows: list[int] | None = None
    if store is not None:
        rows = _rows(store, pairs, required=reference is None)
    paired = _is_paired(folder, info, store, rows)
    seen = np.array([p.seen for p in pairs])
    run = Run(name, folder, info, paired, seen, None, "")
    if store is not None and rows is not None:
        entries = store.manifest.entries
        run.seen = seen | np.array([entries[row].seen for row in rows])
        run.photos = [StorePicture(store.root, row) for row in rows]
        run.truths = [StorePicture(store.root, row) for row in rows]
        run.cloths = _cloths(store, pairs)
        what = "garment" if info.kind == "warp" else "image"
        run.references = [StorePicture(store.root, row, what) for row in rows]
        run.reference = str(store.root)
    if reference is not None and reference.suffix != ".npz":
        run.references, run.reference = _referred(reference, run, pairs), str(reference.resolve())
        run.photos = run.references if info.kind != "warp" else run.photos
    if run.references is not None:
        _check_sizes(run)
    parses = [parse_file(folder, p.name) for p in pairs]
    have = sum(path.is_file() for path in parses)
    if have == len(parses):
        run.parses = parses
    elif have:
        run.notes.append(f"{name}: parse/ holds {have} of {len(parses)} maps; M_exp is not measured")
    return run


def _check_pictures(folder: Path, info: ResultsInfo) -> None:
    names = [pair.name for pair in info.pairs]
    if not names:
        raise VtcliError(f"{folder}/results.json: lists no pictures")
    for name, count in Counter(names).items():
        if count > 1:
            raise VtcliError(f"{folder}/results.json: lists {name!r} {count} times")
    found = {
        path.stem if path.suffix == ".png" else path.name
        for path in (folder / "images").glob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    }
    missing = [name for name in names if name not in found]
    if missing:
        raise VtcliError(
            f"{folder}: {len(missing)} of {len(names)} pictures are missing, first images/{missing[0]}.png; "
            "run the same command again to finish them"
        )
    extra = sorted(found.difference(names))
    if extra:
        raise VtcliError(
            f"{folder}: {len(extra)} pictures in images/ are not in results.json, first {extra[0]}; "
            "results of two runs in one folder?"
        )


def _store(info: ResultsInfo, required: bool) -> PreparedStore | None:
    try:
        return open_store(Path(info.store))
    except VtcliError as problem:
        if required:
            raise VtcliError(f"{problem}; or give the photos with --reference DIR") from problem
        return None


def _rows(store: PreparedStore, pairs: Sequence[ResultPair], required: bool) -> list[int] | None:
    try:
        return [store.index(pair.person) for pair in pairs]
    except VtcliError as problem:
        if required:
            raise VtcliError(
                f"{problem}; were the results made from it? or give --reference DIR"
            ) from problem
        return None


def _is_paired(folder: Path, info: ResultsInfo, store: PreparedStore | None, rows: list[int] | None) -> bool:
    """A pairs file's run is paired when every person wears the garment of her own photo."""
    strangers = []
    if store is not None and rows is not None:
        entries = store.manifest.entries
        strangers = [p for p, row in zip(info.pairs, rows, strict=True) if entries[row].cloth != p.cloth]
    if info.pairing == "paired":
        if strangers:
            raise VtcliError(
                f"{folder}/results.json: says paired, but {strangers[0].person} does not wear "
                f"{strangers[0].cloth} in her photo"
            )
        return True
    return info.pairing != "unpaired" and store is not None and rows is not None and not strangers


def _cloths(store: PreparedStore, pairs: Sequence[ResultPair]) -> list[StorePicture] | None:
    try:
        return [StorePicture(store.root, store.cloth_index(pair.cloth), "cloth") for pair in pairs]
    except VtcliError:
        return None


def _referred(reference: Path, run: Run, pairs: Sequence[ResultPair]) -> list[Picture]:
    """The photos of `--reference`: by the persons' names, else by the results'."""
    if (reference / "manifest.json").is_file():
        store = open_store(reference)
        what = "garment" if run.info.kind == "warp" else "image"
        return [StorePicture(store.root, store.index(pair.person), what) for pair in pairs]
    if not reference.is_dir():
        raise VtcliError(f"{reference}: no such folder")
    files: dict[str, Path] = {}
    for path in sorted(reference.iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
            if path.stem in files:
                raise VtcliError(
                    f"{reference}: both {files[path.stem].name} and {path.name}; keep one of them"
                )
            files[path.stem] = path
    by_person = sum(pair.person in files for pair in pairs)
    by_name = sum(pair.name in files for pair in pairs)
    keys = [pair.person if by_person >= by_name else pair.name for pair in pairs]
    missing = [key for key in keys if key not in files]
    if missing:
        raise VtcliError(
            f"{reference}: no picture for {len(missing)} of {len(keys)} results of {run.name}, "
            f"first {missing[0]!r} (looked for the persons' and the results' names)"
        )
    extra = len(files) - len(set(keys))
    if extra:
        run.notes.append(
            f"{reference}: {extra} pictures belong to no result of {run.name} and are in no figure"
        )
    return [FilePicture(files[key]) for key in keys]


def _check_sizes(run: Run) -> None:
    assert run.references is not None
    for picture, reference in zip(run.pictures, run.references, strict=True):
        mine, its = picture.size(), reference.size()
        if mine != its:
            raise VtcliError(
                f"{picture.path}: {mine[1]}×{mine[0]} pixels, its reference has {its[1]}×{its[0]}; "
                "score results at the size they were made for"
            )
