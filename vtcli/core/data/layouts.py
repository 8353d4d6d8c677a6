"""Which files of a data folder belong together: VITON and the sets that follow it, DressCode, and plain folders.

    VITON       DATA_DIR/{train,test}/{image,cloth,cloth-mask,image-parse,pose}, {train,test}_pairs.txt
    VITON-HD    the same with image-parse-v3 and openpose_json
    GP-VTON's   VITON-HD with parse-bytedance, cloth_mask-bytedance and {train,test}_pairs…_1018.txt
    CP-VTON+'s  VITON with image-parse-new
    ACGPN's     DATA_DIR/{train,test}_{img,color,edge,label,pose}
    DressCode   DATA_DIR/upper_body/{images,keypoints,label_maps}, people N_0.jpg and garments N_1.jpg in one folder;
                GP-VTON's: DATA_DIR/upper/{image,cloth_align,cloth_align_mask-bytedance,parse-bytedance,pose_25}
    raw         image/ and cloth/ with equal names, in DATA_DIR itself or in train/ and test/

Only the photo and the garment must be there; any other file of a pair may be missing. What is there and not read is named.
Nothing is decoded.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vtcli.core.data.images import IMAGE_SUFFIXES
from vtcli.core.data.labels import LabelSet
from vtcli.core.data.pairs_lists import read_pairs_list, stem
from vtcli.core.system.errors import VtcliError

SplitName = Literal["train", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "test")
TITLES = {
    "viton": "VITON", "viton-hd": "VITON-HD", "gp-vton": "GP-VTON's VITON-HD", "cp-vton+": "CP-VTON+'s VITON",
    "acgpn": "ACGPN's VITON", "dresscode": "DressCode", "gp-dresscode": "GP-VTON's DressCode", "raw": "raw",
}  # fmt: skip

_PHOTO_FOLDERS = (
    ("image", "cloth"), ("image", "cloth_align"), ("{split}_img", "{split}_color"), ("images", "images"),
)  # fmt: skip
"""Folders of people and of garments, the first two that are there count; DressCode has both in one."""
_MASK_FOLDERS = (
    "cloth-mask", "cloth_mask", "cloth_mask-bytedance", "cloth-mask-bytedance", "cloth_align_mask-bytedance", "{split}_edge",
)  # fmt: skip
_PARSE_FOLDERS: dict[str, LabelSet] = {
    "image-parse-v3": "cihp", "image-parse-new": "cp-vton+", "image-parse": "lip", "image_parse": "lip",
    "parse-bytedance": "gp-vton", "label_maps": "atr", "{split}_label": "acgpn",
}  # fmt: skip
"""Folders of parse maps, the first that is there counts, and the label set that they come in."""
_POSE_FOLDERS = ("openpose_json", "openpose-json", "pose", "keypoints", "pose_25", "{split}_pose")
_POSE_SUFFIXES = (".json", ".npy")
_HD_SIGNS = ("image-parse-v3", "openpose_json", "openpose-json", "image-parse-agnostic-v3.2")
_GP_SIGNS = ("parse-bytedance", "cloth_mask-bytedance", "cloth_parse-bytedance")
_VITON_SIGNS = ("image-parse", "image_parse", "pose")
_DRESS_CODE_SIGNS = ("label_maps", "keypoints", "skeletons", "dense")
_TOPS, _OTHER_GARMENTS = ("upper_body", "upper"), ("lower_body", "lower", "dresses")
"""DressCode's folders, and those of GP-VTON's form of it."""


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
    cloths: Path
    """The folder of the garments' photos."""
    unpaired: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[Skip] = field(default_factory=list)
    listed: int = 0
    """Pairs before any was left out."""
    read: set[Path] = field(default_factory=set)
    """The folders and lists that were read."""


@dataclass
class Layout:
    """What a data folder holds; `kind` is a key of TITLES, `labels` the set that its parse maps come in, `unused` what lies
    in it and is not read, relative to it."""

    kind: str
    root: Path
    splits: dict[SplitName, SplitFiles]
    labels: LabelSet
    unused: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The layout's name for people."""
        return TITLES[self.kind]


def find_layout(root: Path, want: SplitName | None = None) -> Layout:
    """Recognise the layout of `root` and list the pairs of all its splits.

    `want` names the split that pictures directly in `root` make (otherwise "test" in a folder of that name,
    "train" elsewhere). VtcliError when there is no such layout, the wanted split is absent, or a pairs list
    cannot be read.
    """
    root = Path(root)
    if root.is_file():
        raise VtcliError(f"{root}: is a file; unpack an archive, and name the folder")
    if not root.is_dir():
        raise VtcliError(f"{root}: no such folder")
    folders = _split_folders(root, want)
    if want is not None and want not in folders:
        raise VtcliError(f"{root}: no {want} split here, only {', '.join(folders)}")
    kind = _kind(folders)
    parse = next(
        (name for name in _PARSE_FOLDERS if any(_there(*item, name) for item in folders.items())), None
    )
    labels: LabelSet = _PARSE_FOLDERS[parse] if parse else "lip"
    if kind == "viton-hd" and labels == "lip":
        labels = "cihp"
    splits = {s: _read_split(root, s, folder, parse) for s, folder in folders.items()}
    return Layout(kind, root, splits, labels, _unused(root, splits.values()))


def own_cloth(person: str, cloths: Container[str]) -> str | None:
    """The garment that `person` wears, by name: NNNNNN_0 wears NNNNNN_1 (VITON), otherwise equal names."""
    other = f"{person[:-1]}1"
    if person.endswith("_0") and other in cloths:
        return other
    return person if person in cloths else None


def _split_folders(root: Path, want: SplitName | None) -> dict[SplitName, Path]:
    found: dict[SplitName, Path] = {s: root / s for s in SPLITS if _is_split(root / s)}
    found = found or {
        s: root for s in SPLITS if _there(s, root, "{split}_img") and _there(s, root, "{split}_color")
    }
    if found:
        return found
    if (tops := _dress_code(root)) is not None:
        listed: dict[SplitName, Path] = {s: tops for s in SPLITS if _lists(root, s, tops) != (None, None)}
        return listed or {want or "train": tops}
    if _is_split(root):
        own = root.resolve().name
        named: SplitName = "test" if own == "test" else "train"
        return {want or named: root}
    message = f"{root}: no image/ and cloth/ here, nor in train/ or test/"
    try:
        inner = [f for f in sorted(root.iterdir()) if f.is_dir() and _looks_like_data(f)]
    except OSError as problem:
        raise VtcliError(f"{root}: cannot be listed ({problem.strerror or problem})") from problem
    if inner:
        raise VtcliError(f"{message}; did you mean {inner[0]}?")
    if any(_has_dress_codes_photos(root / name) for name in _OTHER_GARMENTS):
        message = f"{root}: DressCode without upper_body/; vtcli dresses people in tops alone"
    raise VtcliError(message)


def _is_split(folder: Path) -> bool:
    return (folder / "image").is_dir() and (folder / "cloth").is_dir()


def _dress_code(root: Path) -> Path | None:
    """DressCode's folder of tops, in `root` or `root` itself."""
    for folder in (*(root / name for name in _TOPS), root):
        if _has_dress_codes_photos(folder):
            return folder if folder.name not in _OTHER_GARMENTS else None
    return None


def _has_dress_codes_photos(folder: Path) -> bool:
    signs = any((folder / sign).is_dir() for sign in _DRESS_CODE_SIGNS)
    return (signs and (folder / "images").is_dir()) or all(
        (folder / n).is_dir() for n in ("image", "cloth_align")
    )


def _there(split: SplitName, folder: Path, name: str) -> bool:
    """Whether a `folder` has the one of that `name`, which may depend on the split."""
    return (folder / name.format(split=split)).is_dir()


def _looks_like_data(folder: Path) -> bool:
    return _dress_code(folder) is not None or any(
        _is_split(f) for f in (folder, *(folder / s for s in SPLITS))
    )


def _kind(folders: dict[SplitName, Path]) -> str:
    def any_of(*signs: str) -> bool:
        return any(_there(*item, sign) for item in folders.items() for sign in signs)

    if any_of("{split}_img") and not any_of("image"):
        return "acgpn"
    if any_of("cloth_align") and not any_of("cloth"):
        return "gp-dresscode"
    if any_of("images") and not any_of("image"):
        return "dresscode"
    if any_of(*_GP_SIGNS) and not any_of("image-parse-v3", "image-parse"):
        return "gp-vton"
    if any_of(*_HD_SIGNS):
        return "viton-hd"
    if any_of("image-parse-new"):
        return "cp-vton+"
    return "viton" if any_of(*_VITON_SIGNS) else "raw"


def _read_split(root: Path, split: SplitName, folder: Path, parse: str | None) -> SplitFiles:
    image_folder, cloth_folder = next(
        tuple(folder / name.format(split=split) for name in both)
        for both in _PHOTO_FOLDERS
        if all(_there(split, folder, name) for name in both)
    )
    together = image_folder == cloth_folder
    skipped: list[Skip] = []
    images = _files(root, image_folder, IMAGE_SUFFIXES, skipped)
    cloths = images if together else _files(root, cloth_folder, IMAGE_SUFFIXES, skipped)
    mask_folder, pose_folder = (_first(split, folder, names) for names in (_MASK_FOLDERS, _POSE_FOLDERS))
    parse_folder = _first(split, folder, (parse,)) if parse else None
    masks, parses = (_files_of(root, f, IMAGE_SUFFIXES) for f in (mask_folder, parse_folder))
    poses = _files_of(root, pose_folder, _POSE_SUFFIXES)
    everybody = [name for name in sorted(images) if not together or name.endswith("_0")]
    listed, unpaired, lists = _listed(root, split, folder, everybody, cloths, skipped)

    ready = []
    for name, cloth in listed:
        if name not in images:
            skipped.append(
                Skip(relative_name(root, image_folder / name), "listed, but there is no such photo")
            )
        elif cloth is None or cloth not in cloths:
            what = "no garment with its name" if cloth is None else f"its garment {cloth} is missing"
            skipped.append(Skip(relative_name(root, images[name]), what))
        else:
            own_parse, own_pose = (
                (f"{name[:-2]}_4", f"{name[:-2]}_2") if together else (name, f"{name}_keypoints")
            )
            files = (masks.get(cloth), parses.get(own_parse), poses.get(own_pose, poses.get(name)))
            ready.append(PairFiles(name, cloth, images[name], cloths[cloth], *files))
    folders = {
        f for f in (image_folder, cloth_folder, mask_folder, parse_folder, pose_folder) if f is not None
    }
    return SplitFiles(split, folder, ready, cloth_folder, unpaired, skipped, len(listed), folders | lists)


def _listed(
    root: Path,
    split: SplitName,
    folder: Path,
    everybody: list[str],
    cloths: dict[str, Path],
    skipped: list[Skip],
) -> tuple[list[tuple[str, str | None]], list[tuple[str, str]], set[Path]]:
    """The split's people with their own garments, its unpaired list, and the lists that were read."""
    paired, unpaired = _lists(root, split, folder)
    worn, others = (
        [] if file is None else [(stem(p), stem(c)) for p, c in read_pairs_list(file, everybody, cloths)]
        for file in (paired, unpaired)
    )
    lists = {file for file in (paired, unpaired) if file is not None}
    if paired is not None:
        return list(_unique(root, paired, worn, skipped)), others, lists
    if unpaired is not None:
        people = dict.fromkeys(person for person, _ in others)
        return [(person, own_cloth(person, cloths)) for person in people], others, lists
    return [(name, own_cloth(name, cloths)) for name in everybody], [], lists


def _unique(
    root: Path, pairs_file: Path, pairs: list[tuple[str, str]], skipped: list[Skip]
) -> Iterable[tuple[str, str]]:
    """One line a person: the store finds a pair by the person's name."""
    first: dict[str, str] = {}
    for person, cloth in pairs:
        if first.setdefault(person, cloth) != cloth:
            skipped.append(Skip(relative_name(root, pairs_file), f"{person} is listed again, with {cloth}"))
    return first.items()


def _lists(root: Path, split: SplitName, folder: Path) -> tuple[Path | None, Path | None]:
    """The split's lists of people in their own garments, and in others'. A plain test list is of the second kind."""
    places = [root, folder]
    if _has_dress_codes_photos(folder):  # the list of tops before that of all garments
        places = [folder, root, folder.parent]
    elif folder == root and root.resolve().name == split:
        places.append(root.resolve().parent)

    def first(words: str) -> Path | None:
        """The list of that name, or with the number after it that GP-VTON's have."""
        for place in places:
            if (plain := place / f"{words}.txt").is_file():
                return plain
        numbered = [f for place in places for f in sorted(place.glob(f"{words}_*.txt"))]
        return next((f for f in numbered if f.stem.removeprefix(f"{words}_").isdigit()), None)

    plain = first(f"{split}_pairs")
    if plain is not None:
        return (plain, None) if split == "train" else (None, plain)
    return first(f"{split}_pairs_paired"), first(f"{split}_pairs_unpaired")


def _unused(root: Path, splits: Iterable[SplitFiles]) -> tuple[str, ...]:
    """Folders and lists in `root` that nothing was read from, relative to it."""
    read = {path for split in splits for path in split.read} | {split.folder for split in splits}
    found = []
    for folder in dict.fromkeys([root, *(split.folder for split in splits)]):
        for path in sorted(folder.iterdir()):
            other = path.is_dir() or (path.suffix.lower() == ".txt" and "pairs" in path.name)
            if other and not path.name.startswith(".") and path not in read:
                found.append(relative_name(root, path))
    return tuple(found)


def _first(split: SplitName, folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name.format(split=split) for name in names if _there(split, folder, name)), None)


def _files_of(root: Path, folder: Path | None, suffixes: tuple[str, ...]) -> dict[str, Path]:
    return {} if folder is None else _files(root, folder, suffixes, [])


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
        key = stem(path.name) if suffixes == IMAGE_SUFFIXES else stem(path.stem)
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
