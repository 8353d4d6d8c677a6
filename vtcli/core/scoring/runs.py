"""Results folders → runs: each picture beside the photo it is measured against; mistakes are caught here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from vtcli.core.data.results import ResultPair, ResultsInfo, image_file, parse_file
from vtcli.core.data.store import PreparedStore
from vtcli.core.scoring.pictures import FilePicture, Picture, StorePicture, open_store
from vtcli.core.scoring.reference import UNKNOWN, Reference, pictures_in
from vtcli.core.system.errors import UsageProblem, VtcliError


@dataclass
class Run:
    """One results folder, checked.

    `references[i]` is the photo that result i is measured against (for distances: the photos among which it
    stands); None without any. `photos` are the photos of the persons. `parses` are the M_exp maps where the run has
    them for every picture, `truths` the photos whose parse they are measured against. `seen` marks pairs whose photo is
    in the training split. `why_given_unknown` says why no pixel can be called the photo's own; None when it can.
    """

    name: str
    folder: Path
    info: ResultsInfo
    paired: bool
    seen: np.ndarray
    pictures: list[FilePicture]
    references: list[Picture] | None = None
    reference: str = ""
    parses: list[Path] | None = None
    truths: list[StorePicture] | None = None
    cloths: list[StorePicture] | None = None
    photos: list[Picture] | None = None
    why_given_unknown: str | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.info.pairs)

    @cached_property
    def group(self) -> tuple[object, ...]:
        """Runs of equal groups show the same pairs under the same protocol: their metrics compare."""
        pairs = frozenset(pair_key(pair) for pair in self.info.pairs)
        return (self.info.kind, self.info.keep, self.paired, self.reference, pairs)


def pair_key(pair: ResultPair) -> tuple[str, str]:
    """What a pair shows: person and garment."""
    return pair.person, pair.cloth


def load_runs(folders: Sequence[Path], reference: Path | None = None, unpaired: bool = False) -> list[Run]:
    """Load and check every folder.

    `reference`: a folder of pictures, a prepared split, or a `.npz` of FID statistics (which stands beside the results'
    own store). A folder without `results.json` is another tool's: its pictures are matched to `reference` by name, as
    paired results unless `unpaired`. VtcliError names the first thing that is off.
    """
    if not folders:
        raise UsageProblem("no results folder given")
    names = _distinct_names(folders)
    photos = None if reference is None or reference.suffix == ".npz" else Reference.open(reference)
    foreign = [_is_foreign(Path(folder)) for folder in folders]
    if unpaired and not any(foreign):
        raise UsageProblem("--unpaired: every folder has a results.json, which says whether it is paired")
    runs = []
    for folder, name, strange in zip(map(Path, folders), names, foreign, strict=True):
        run = _load_foreign(folder, name, photos, unpaired) if strange else _load(folder, name, photos)
        runs.append(run)
    return runs


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


def _is_foreign(folder: Path) -> bool:
    """Whether `folder` holds another tool's pictures: vtcli leaves results.json, or run.json while it is at work."""
    if not folder.is_dir():
        raise VtcliError(f"{folder}: no such folder")
    return not any((folder / name).is_file() for name in ("results.json", "run.json"))


# Results of vtcli


def _load(folder: Path, name: str, reference: Reference | None) -> Run:
    info = ResultsInfo.load(folder)
    _check_pictures(folder, info)
    pairs = info.pairs
    pictures = [FilePicture(image_file(folder, pair.name)) for pair in pairs]
    store = _store(info, required=reference is None)
    rows = None if store is None else _rows(store, pairs, required=reference is None)
    run = Run(
        name, folder, info, _is_paired(folder, info, store, rows), np.array([p.seen for p in pairs]), pictures
    )
    if store is not None and rows is not None:
        _take_from_store(run, store, rows)
    if reference is not None:
        run.references = reference.of_pairs(pairs, info, run.notes, run.name)
        run.reference = reference.name
        run.photos = run.references if info.kind != "warp" else run.photos
    if run.references is not None:
        _check_sizes(run)
    if info.kind == "warp":
        run.why_given_unknown = "a warp shows the garment alone"
    elif run.photos is None:
        run.why_given_unknown = "the persons' photos are not here"
    elif any(isinstance(photo, FilePicture) and photo.fit for photo in run.photos):
        run.why_given_unknown = "the photos were scaled to the results' size"
    _find_parses(run)
    return run


def _take_from_store(run: Run, store: PreparedStore, rows: list[int]) -> None:
    entries = store.manifest.entries
    run.seen = run.seen | np.array([entries[row].seen for row in rows])
    run.photos = [StorePicture(store.root, row) for row in rows]
    run.truths = [StorePicture(store.root, row) for row in rows]
    run.cloths = _cloths(store, run.info.pairs)
    what = "garment" if run.info.kind == "warp" else "image"
    run.references = [StorePicture(store.root, row, what) for row in rows]
    run.reference = str(store.root)


def _find_parses(run: Run) -> None:
    parses = [parse_file(run.folder, pair.name) for pair in run.info.pairs]
    have = sum(path.is_file() for path in parses)
    if have == len(parses):
        run.parses = parses
    elif have:
        run.notes.append(f"{run.name}: parse/ holds {have} of {len(parses)} maps; M_exp is not measured")


def _check_pictures(folder: Path, info: ResultsInfo) -> None:
    names = [pair.name for pair in info.pairs]
    if not names:
        raise VtcliError(f"{folder}/results.json: lists no pictures")
    for name, count in Counter(names).items():
        if count > 1:
            raise VtcliError(f"{folder}/results.json: lists {name!r} {count} times")
    found = {
        path.stem if path.suffix == ".png" else path.name for path in pictures_in(folder / "images").values()
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
    """A pairs file's run is paired when every person wears the garment of their own photo."""
    strangers = []
    if store is not None and rows is not None:
        entries = store.manifest.entries
        strangers = [p for p, row in zip(info.pairs, rows, strict=True) if entries[row].cloth != p.cloth]
    if info.pairing == "paired":
        if strangers:
            raise VtcliError(
                f"{folder}/results.json: says paired, but {strangers[0].person} does not wear "
                f"{strangers[0].cloth} in the photo"
            )
        return True
    return info.pairing != "unpaired" and store is not None and rows is not None and not strangers


def _cloths(store: PreparedStore, pairs: Sequence[ResultPair]) -> list[StorePicture] | None:
    try:
        return [StorePicture(store.root, store.cloth_index(pair.cloth), "cloth") for pair in pairs]
    except VtcliError:
        return None


def _check_sizes(run: Run) -> None:
    assert run.references is not None
    for picture, reference in zip(run.pictures, run.references, strict=True):
        mine, its = picture.size(), reference.size()
        if mine != its:
            raise VtcliError(
                f"{picture.path}: {mine[1]}×{mine[0]} pixels, its reference has {its[1]}×{its[0]}; "
                "score results at the size they were made for"
            )


# Results of other tools


def _load_foreign(folder: Path, name: str, reference: Reference | None, unpaired: bool) -> Run:
    """Pictures of any tool, in `folder` or its `images/`, named like the photos or PHOTO_GARMENT."""
    files = pictures_in(folder) or pictures_in(folder / "images")
    if reference is None:
        hint = "for another tool's pictures, give their photos with --reference DIR"
        raise VtcliError(f"{folder}: no results.json here; {hint}")
    if not files:
        raise VtcliError(f"{folder}: no results.json and no pictures here")
    persons = reference.match(list(files), name)
    info = ResultsInfo(
        kind="tryon", keep=UNKNOWN, pairing="unpaired" if unpaired else "paired", split="", store="",
        size=(0, 0), pairs=_foreign_pairs(list(files), persons, unpaired), device="", versions={},
    )  # fmt: skip
    pictures = [FilePicture(path) for path in files.values()]
    info.size = pictures[0].size()
    run = Run(name, folder, info, not unpaired, np.zeros(len(files), bool), pictures)
    run.references = reference.of_pictures(pictures, persons, run.notes, name)
    run.photos, run.reference = run.references, reference.name
    run.seen = reference.seen(persons)
    if not unpaired and any(key != person for key, person in zip(files, persons, strict=True)):
        run.notes.append(
            f"{name}: scored as paired, each picture against the photo whose name its own begins with; where the "
            "garment is not the one worn in the photo, give --unpaired"
        )
    run.why_given_unknown = reference.why_given_unknown(pictures, run.references)
    return run


def _foreign_pairs(names: Sequence[str], persons: Sequence[str], unpaired: bool) -> list[ResultPair]:
    """The garment is what the name adds to the person's; paired results show the person's own, unless there are
    several of a person."""
    alone = len(set(persons)) == len(persons) and not unpaired
    return [
        ResultPair(name, person, "" if alone else name[len(person) :].strip("_-+ ."))
        for name, person in zip(names, persons, strict=True)
    ]
