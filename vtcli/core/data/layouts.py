"""Which files of a data folder belong together: the VITON, VITON-HD and raw layouts, and pairs lists.

    VITON     DATA_DIR/{train,test}/{image,cloth,cloth-mask,image-parse,pose}, {train,test}_pairs.txt
    VITON-HD  the same with image-parse-v3 and openpose_json
    raw       image/ and cloth/ with equal names, in DATA_DIR itself or in train/ and test/

Only the photo and the garment must be there; any other file of a pair may be missing. Nothing is decoded.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vtcli.core.data.annotations import LabelSet
from vtcli.core.data.images import IMAGE_SUFFIXES
from vtcli.core.system.errors import VtcliError

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "test")
TITLES = {"viton": "VITON", "viton-hd": "VITON-HD", "raw": "raw"}

_MASK_FOLDERS = ("cloth-mask", "cloth_mask")
_PARSE_FOLDERS = ("image-parse-v3", "image-parse", "image_parse")
_POSE_FOLDERS = ("openpose_json", "openpose-json", "pose")
_HD_SIGNS = ("image-parse-v3", "openpose_json", "image-parse-agnostic-v3.2")
_VITON_SIGNS = ("image-parse", "pose")
_SUFFIX = "(?:" + "|".join(re.escape(s) for s in IMAGE_SUFFIXES) + ")"


@dataclass(frozen=True)
class PairFiles:
    """The files of one person and the garment that the person wears; the files that default to None may be missing."""

    name: str
    cloth: str
    image_file: Path
    cloth_file: Path
    mask_file: Path | None = None
    parse_file: Path | None = None
    pose_file: Path | None = None

    def files(self) -> tuple[Path, ...]:
        """Every file of the pair that is there."""
        every = (self.image_file, self.cloth_file, self.mask_file, self.parse_file, self.pose_file)
        return tuple(f for f in every if f is not None)


@dataclass(frozen=True)
class Skip:
    """A file that is left out, relative to the data folder where it lies in it, and why."""

    file: str
    reason: str


@dataclass
class SplitFiles:
    """One split: its pairs in order, its own unpaired list (names), and what has been left out so far."""

    split: SplitName
    folder: Path
    pairs: list[PairFiles]
    unpaired: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    listed: int = 0
    """Pairs before any was left out."""


@dataclass
class Layout:
    """What a data folder holds; `kind` is "viton", "viton-hd" or "raw"."""

    kind: str
    root: Path
    splits: dict[SplitName, SplitFiles]

    @property
    def title(self) -> str:
        """The layout's name for people."""
        return TITLES[self.kind]

    @property
    def labels(self) -> LabelSet:
        """The label set that the layout's parse maps come in."""
        return "cihp" if self.kind == "viton-hd" else "lip"


def find_layout(root: Path, want: SplitName | None = None) -> Layout:
    """Recognise the layout of `root` and list the pairs of all its splits.

    `want` names the split that pictures directly in `root` make (otherwise "test" in a folder of that name,
    "train" elsewhere). VtcliError when there is no such layout, the wanted split is absent, or a pairs list
    cannot be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise VtcliError(f"{root}: no such folder")
    folders = _split_folders(root, want)
    kind = _kind(folders.values())
    if want is not None and want not in folders:
        raise VtcliError(f"{root}: no {want} split here, only {', '.join(folders)}")
    return Layout(kind, root, {s: _read_split(root, s, folder) for s, folder in folders.items()})


def read_pairs_list(
    path: Path, persons: Iterable[str] = (), cloths: Iterable[str] = ()
) -> list[tuple[str, str]]:
    """Read a pairs list: two file names a line, separated by a tab or by blanks; returns the names as listed.

    Blank lines and lines that begin with # are skipped; CRLF, a byte-order mark and UTF-16 are understood.
    Names may hold blanks: without a tab the line is cut after a picture's suffix, and where several cuts are
    possible, where the names are known (`persons`, `cloths`: names without suffix). VtcliError names the line
    that is not two names, or holds a path rather than a name.
    """
    known_persons, known_cloths = set(persons), set(cloths)
    pairs = []
    for number, raw in enumerate(re.split(r"\r\n|\n|\r", _text(path)), start=1):
        line = raw.strip(" \ufeff")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cuts = _cuts(line)
        if not cuts:
            raise VtcliError(f"{path}, line {number}: expected two file names, got {_short(line)}")
        fits = [c for c in cuts if stem(c[0]) in known_persons and stem(c[1]) in known_cloths]
        pair = (fits or cuts)[0]
        for name in pair:
            _check_name(path, number, name)
        pairs.append(pair)
    return pairs


def stem(name: str) -> str:
    """A file's name without its picture suffix, in Unicode's composed form (as macOS does not give it)."""
    base = unicodedata.normalize("NFC", name)
    for suffix in IMAGE_SUFFIXES:
        if base.lower().endswith(suffix) and len(base) > len(suffix):
            return base[: -len(suffix)]
    return base


def own_cloth(person: str, cloths: Container[str]) -> str | None:
    """The garment that `person` wears, by name: NNNNNN_0 wears NNNNNN_1 (VITON), otherwise equal names."""
    other = f"{person[:-1]}1"
    if person.endswith("_0") and other in cloths:
        return other
    return person if person in cloths else None


def _split_folders(root: Path, want: SplitName | None) -> dict[SplitName, Path]:
    found: dict[SplitName, Path] = {s: root / s for s in SPLITS if _is_split(root / s)}
    if found:
        return found
    if _is_split(root):
        own = root.resolve().name
        named: SplitName = "test" if own == "test" else "train"
        return {want or named: root}
    message = f"{root}: no image/ and cloth/ here, nor in train/ or test/"
    try:
        inner = [f for f in sorted(root.iterdir()) if f.is_dir() and _looks_like_data(f)]
    except OSError as problem:
        raise VtcliError(f"{root}: cannot be listed ({problem.strerror or problem})") from problem
    raise VtcliError(f"{message}; did you mean {inner[0]}?" if inner else message)


def _is_split(folder: Path) -> bool:
    return (folder / "image").is_dir() and (folder / "cloth").is_dir()


def _looks_like_data(folder: Path) -> bool:
    return any(_is_split(f) for f in (folder, *(folder / s for s in SPLITS)))


def _kind(folders: Iterable[Path]) -> str:
    def any_of(signs: tuple[str, ...]) -> bool:
        return any((f / sign).is_dir() for f in folders for sign in signs)

    folders = list(folders)
    if any_of(_HD_SIGNS):
        return "viton-hd"
    return "viton" if any_of(_VITON_SIGNS) else "raw"


def _read_split(root: Path, split: SplitName, folder: Path) -> SplitFiles:
    skipped: list[Skip] = []
    images = _files(root, folder / "image", IMAGE_SUFFIXES, skipped)
    cloths = _files(root, folder / "cloth", IMAGE_SUFFIXES, skipped)
    masks = _first(root, folder, _MASK_FOLDERS, IMAGE_SUFFIXES)
    parses = _first(root, folder, _PARSE_FOLDERS, IMAGE_SUFFIXES)
    poses = _first(root, folder, _POSE_FOLDERS, (".json",))

    listed: list[tuple[str, str | None]] = []
    unpaired: list[tuple[str, str]] = []
    pairs_file = _pairs_file(root, split, folder)
    if pairs_file is None:
        listed = [(name, own_cloth(name, cloths)) for name in sorted(images)]
    else:
        pairs = [(stem(p), stem(c)) for p, c in read_pairs_list(pairs_file, images, cloths)]
        if split == "test":
            unpaired = pairs
            listed = [(person, own_cloth(person, cloths)) for person in dict.fromkeys(p for p, _ in pairs)]
        else:
            listed = list(_unique(root, pairs_file, pairs, skipped))

    ready = []
    for name, cloth in listed:
        if name not in images:
            skipped.append(
                Skip(relative_name(root, folder / "image" / name), "listed, but there is no such photo")
            )
        elif cloth is None or cloth not in cloths:
            what = "no garment with its name" if cloth is None else f"its garment {cloth} is missing"
            skipped.append(Skip(relative_name(root, images[name]), what))
        else:
            pose = poses.get(f"{name}_keypoints", poses.get(name))
            files = (masks.get(cloth), parses.get(name), pose)
            ready.append(PairFiles(name, cloth, images[name], cloths[cloth], *files))
    return SplitFiles(split, folder, ready, unpaired, skipped, len(listed))


def _unique(
    root: Path, pairs_file: Path, pairs: list[tuple[str, str]], skipped: list[Skip]
) -> Iterable[tuple[str, str]]:
    """One line a person: the store finds a pair by the person's name."""
    first: dict[str, str] = {}
    for person, cloth in pairs:
        if first.setdefault(person, cloth) != cloth:
            skipped.append(Skip(relative_name(root, pairs_file), f"{person} is listed again, with {cloth}"))
    return first.items()


def _pairs_file(root: Path, split: SplitName, folder: Path) -> Path | None:
    name = f"{split}_pairs.txt"
    places = [root / name, folder / name]
    if folder == root and root.resolve().name == split:
        places.append(root.resolve().parent / name)
    return next((p for p in places if p.is_file()), None)


def _first(root: Path, folder: Path, names: tuple[str, ...], suffixes: tuple[str, ...]) -> dict[str, Path]:
    for name in names:
        if (folder / name).is_dir():
            return _files(root, folder / name, suffixes, [])
    return {}


def _files(root: Path, folder: Path, suffixes: tuple[str, ...], skipped: list[Skip]) -> dict[str, Path]:
    """Files by name without suffix; of several with one name the first in order."""
    found: dict[str, Path] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as problem:
        raise VtcliError(f"{folder}: cannot be listed ({problem.strerror or problem})") from problem
    for path in paths:
        if path.name.startswith(".") or not path.name.lower().endswith(suffixes):
            continue
        try:
            path.name.encode()
        except UnicodeEncodeError:
            skipped.append(Skip(relative_name(root, path), "its name is not valid Unicode"))
            continue
        key = stem(path.name) if suffixes == IMAGE_SUFFIXES else unicodedata.normalize("NFC", path.stem)
        if key in found:
            skipped.append(Skip(relative_name(root, path), f"{found[key].name} has the same name"))
        else:
            found[key] = path
    return found


def relative_name(root: Path, path: Path) -> str:
    """`path` as people read it: relative to `root` where it lies in it, always valid Unicode."""
    if path.is_relative_to(root):
        path = path.relative_to(root)
    return str(path).encode(errors="backslashreplace").decode()


def _text(path: Path) -> str:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as problem:
        raise VtcliError(f"{path}: no such file") from problem
    except OSError as problem:
        raise VtcliError(f"{path}: cannot be read ({problem.strerror or problem})") from problem
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data[: problem.start].count(b"\n") + 1
        raise VtcliError(f"{path}, line {line}: not UTF-8; save the list as UTF-8") from problem


def _cuts(line: str) -> list[tuple[str, str]]:
    """Every way in which a line can be two names, the likeliest first."""
    if "\t" in line:
        parts = [part.strip() for part in line.split("\t") if part.strip()]
        return [(parts[0], parts[1])] if len(parts) == 2 else []
    line = line.strip()
    cuts = []
    for match in re.finditer(rf"{_SUFFIX}(?P<gap>\s*[,;]\s*|\s+)", line, re.IGNORECASE):
        first, second = line[: match.start("gap")], line[match.end("gap") :]
        if second:
            cuts.append((first, second))
    if not cuts and len(words := re.split(r"\s*[,;]\s*|\s+", line)) == 2 and all(words):
        cuts.append((words[0], words[1]))
    return cuts


def _check_name(path: Path, number: int, name: str) -> None:
    if name in (".", "..") or re.search(r"[/\\\x00-\x1f]|^[A-Za-z]:", name):
        raise VtcliError(f"{path}, line {number}: {_short(name)} is a path; lists hold plain file names")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
