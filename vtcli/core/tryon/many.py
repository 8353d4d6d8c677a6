"""Several people, several garments: each photo is looked at once, each garment cut out once, and a contact sheet
shows all."""

from __future__ import annotations

import textwrap
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vtcli.core.data.images import IMAGE_SUFFIXES, open_rgb
from vtcli.core.data.pairs_lists import read_rows, stem
from vtcli.core.garments.placement import Garment
from vtcli.core.system.errors import UsageProblem, VtcliError
from vtcli.core.tryon.photos.finding import Choice
from vtcli.core.tryon.photos.person import AnnotatedPerson
from vtcli.core.tryon.photos.pictures import Picture
from vtcli.core.tryon.pipeline import LARGEST, Keep, TryOn
from vtcli.core.tryon.results import TryOnResult

GARMENTS = 2**29
"""Bytes of cut-out garments that are kept, about twenty of a shop's; others are cut out again when their turn comes."""
PEOPLE = 64
"""Photos whose thumbnails are kept."""


@dataclass(frozen=True)
class Job:
    """One try-on of several; `name` is the stem of its files."""

    person: Path
    cloth: Path
    name: str


@dataclass
class JobResult:
    """What became of a job: a result, or the problem and the file that has it."""

    job: Job
    result: TryOnResult | None
    problem: VtcliError | None = None
    file: Path | None = None

    def told(self, words: str) -> str:
        """The problem's `words`, with the file's name where they lack it."""
        return words if self.file is None or str(self.file) in words else f"{self.file}: {words}"


def one_person(person: Path, cloths: list[Path]) -> list[Job]:
    """One person, several garments."""
    return _named([(person, cloth) for cloth in cloths])


def everybody_everything(people: Path, cloths: Path) -> list[Job]:
    """Each person of a folder with each garment of another."""
    return _named([(person, cloth) for person in _pictures(people) for cloth in _pictures(cloths)])


def listed(pairs: Path, people: Path | None = None, cloths: Path | None = None) -> list[Job]:
    """The pairs of a file, as `vtcli.core.data.pairs_lists` reads it. Names are files of `people` and `cloths` (default: the
    list's own folder), with or without their endings; paths in these folders are taken, too. A pair that is listed again is one
    picture. VtcliError names a line that is not two names, UsageProblem one whose pictures are not there."""
    folders = (people or pairs.parent, cloths or pairs.parent)
    known = [_by_stem(folder) for folder in folders]
    chosen = []
    for number, *cells in read_rows(pairs, *known):
        files = [_file(folder, cell, own) for folder, cell, own in zip(folders, cells, known, strict=True)]
        for cell, file, folder in zip(cells, files, folders, strict=True):
            if file is None:
                raise UsageProblem(f"{pairs}, line {number}: no picture {cell} in {folder}")
        chosen.append((files[0], files[1]))
    if not chosen:
        raise UsageProblem(f"{pairs}: names no pair")
    return _named(list(dict.fromkeys(chosen)))  # type: ignore[arg-type]


def run_many(
    engine: TryOn, jobs: list[Job], keep: Keep = "outside", force: bool = False, choice: Choice = LARGEST,
    parse: Picture | None = None, keypoints: np.ndarray | None = None, cloth_mask: Picture | None = None,
    protect: Picture | None = None, redraw: Picture | None = None,
) -> Iterator[JobResult]:  # fmt: skip
    """Try-ons in the jobs' order; one that fails does not stop the others. While one is made, the next one's photos are
    looked at. Options: `TryOn.run`'s."""
    garments = _Garments(lambda cloth: engine.cut_out(cloth, mask=cloth_mask, force=force))

    @lru_cache(maxsize=1)
    def look(person: Path) -> AnnotatedPerson | VtcliError:
        try:
            return engine.look(
                person,
                parse=parse,
                keypoints=keypoints,
                protect=protect,
                redraw=redraw,
                force=force,
                choice=choice,
            )
        except VtcliError as problem:
            return problem

    def ready(job: Job) -> tuple[AnnotatedPerson | VtcliError, Garment | VtcliError]:
        return look(job.person), garments[job.cloth]

    with ThreadPoolExecutor(1) as ahead:
        following = ahead.submit(ready, jobs[0]) if jobs else None
        for place, job in enumerate(jobs, 1):
            assert following is not None
            who, garment = following.result()
            following = ahead.submit(ready, jobs[place]) if place < len(jobs) else None
            if isinstance(who, VtcliError):
                yield JobResult(job, None, who, job.person)
            elif isinstance(garment, VtcliError):
                yield JobResult(job, None, garment, job.cloth)
            else:
                yield JobResult(job, engine.dress(who, garment, keep=keep))


class _Garments:
    """Garments by file, cut out when they are first asked for; the latest ones are kept, `GARMENTS` bytes of them."""

    def __init__(self, cut_out: Callable[[Path], Garment]) -> None:
        self.cut_out = cut_out
        self.kept: OrderedDict[Path, Garment | VtcliError] = OrderedDict()

    def __getitem__(self, cloth: Path) -> Garment | VtcliError:
        if cloth not in self.kept:
            try:
                self.kept[cloth] = self.cut_out(cloth)
            except VtcliError as problem:
                self.kept[cloth] = problem
        self.kept.move_to_end(cloth)
        while len(self.kept) > 1 and sum(map(self._bytes, self.kept.values())) > GARMENTS:
            self.kept.popitem(last=False)
        return self.kept[cloth]

    @staticmethod
    def _bytes(garment: Garment | VtcliError) -> int:
        return 0 if isinstance(garment, VtcliError) else garment.canvas.nbytes + garment.mask.nbytes


class Sheet:
    """A contact sheet that grows job by job: person, garment and result, `across` of them a row."""

    HEIGHT, CAPTION, GAP = 300, 18, 6

    def __init__(self, across: int = 3) -> None:
        self.across = across
        self.cells: list[Image.Image] = []
        self.width = round(0.75 * self.HEIGHT)
        self._thumbnail = lru_cache(maxsize=PEOPLE)(self._read_thumbnail)
        self.font = ImageFont.load_default(12)

    def add(self, done: JobResult) -> None:
        """Take thumbnails of a job, or its problem."""
        shown = [self._thumbnail(file) for file in (done.job.person, done.job.cloth)]
        if done.result is not None:
            shown.append(self._small(done.result.image))
        width = self.width
        cell = Image.new("RGB", (3 * (width + self.GAP), self.HEIGHT + self.CAPTION + self.GAP), "white")
        draw = ImageDraw.Draw(cell)
        draw.text((2, 2), done.job.name[:90], fill=(40, 40, 40), font=self.font)
        for i, small in enumerate(shown):
            cell.paste(small, (i * (width + self.GAP), self.CAPTION))
        if done.result is None:
            draw.multiline_text(
                (2 * (width + self.GAP), self.CAPTION + 20), _wrapped(done.told(str(done.problem)), 34), fill=(170, 30, 30), font=self.font
            )  # fmt: skip
        self.cells.append(cell)

    def _read_thumbnail(self, file: Path) -> Image.Image:
        """A photo's thumbnail; a grey one where it cannot be read."""
        try:
            return self._small(open_rgb(file))
        except VtcliError:
            return Image.new("RGB", (self.width, self.HEIGHT), (225, 225, 225))

    def _small(self, picture: Image.Image) -> Image.Image:
        small = picture.copy()
        small.thumbnail((self.width, self.HEIGHT), Image.Resampling.LANCZOS, reducing_gap=3.0)
        return small

    def picture(self) -> Image.Image:
        """The sheet as it is."""
        across = min(self.across, max(1, len(self.cells)))
        rows = max(1, -(-len(self.cells) // across))
        wide, tall = self.cells[0].size if self.cells else (1, 1)
        sheet = Image.new("RGB", (across * wide + self.GAP, rows * tall + self.GAP), "white")
        for i, cell in enumerate(self.cells):
            sheet.paste(cell, (self.GAP + (i % across) * wide, self.GAP + (i // across) * tall))
        return sheet


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.wrap(text, width)[:14])


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageProblem(f"{folder}: no such folder")
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file())
    if not files:
        raise UsageProblem(f"{folder}: no pictures in it")
    return files


def _by_stem(folder: Path) -> dict[str, Path]:
    """A folder's pictures by their names without endings; of several with one name the first in order."""
    files = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
    return {stem(file.name): file for file in files if file.suffix.lower() in IMAGE_SUFFIXES}


def _file(folder: Path, name: str, known: dict[str, Path]) -> Path | None:
    with suppress(OSError):  # no file can have such a name
        if (folder / name).is_file():
            return folder / name
    return known.get(stem(name))


def _named(pairs: list[tuple[Path, Path]]) -> list[Job]:
    """A job for each of `pairs`, once; UsageProblem where two would be written to one file."""
    jobs = [Job(person, cloth, f"{person.stem}__{cloth.stem}") for person, cloth in dict.fromkeys(pairs)]
    files: dict[str, Job] = {}
    for job in jobs:
        other = files.setdefault(job.name.casefold(), job)
        if other is not job:
            raise UsageProblem(
                f"{job.person} with {job.cloth} and {other.person} with {other.cloth} would both be named "
                f"{job.name}; rename one or leave it out"
            )
    return jobs
