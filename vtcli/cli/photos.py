"""What `tryon` and `warp` share: reading the two photos and their annotations, writing pictures, running splits."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vtcli.cli import console, hints
from vtcli.cli.options import Labels
from vtcli.core.system.errors import UsageProblem, VtcliError

if TYPE_CHECKING:
    from PIL import Image

    from vtcli.core.data.store import PreparedStore
    from vtcli.core.tryon.many import Job, JobResult
    from vtcli.core.tryon.photos.finding import Choice
    from vtcli.core.tryon.results import TryOnResult
    from vtcli.core.tryon.split import SplitOptions

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
PAGE = 36
"""Pictures on a contact sheet."""


def check_out(out: Path | None) -> Path:
    """UsageProblem where it was not said where the result goes."""
    if out is None:
        raise UsageProblem("say where the result goes with -o/--out")
    return out


@dataclass(frozen=True)
class Annotations:
    """Files that win over the project's own annotations."""

    cloth_mask: Path | None
    parse: Path | None
    pose: Path | None
    labels: Labels
    protect: Path | None = None
    redraw: Path | None = None

    def files(self) -> list[Path | None]:
        """All that may be given."""
        return [self.cloth_mask, self.parse, self.pose, self.protect, self.redraw]

    def any(self) -> bool:
        """Whether there is one."""
        return any(file is not None for file in self.files())

    def file(self, argument: str | None) -> Path | None:
        """The file that is given for an `argument` of `TryOn.run`."""
        found: Path | None = getattr(self, "pose" if argument == "keypoints" else argument or "", None)
        return found

    def read(self, photo: Image.Image, garment: Image.Image | None) -> dict[str, Any]:
        """Read and checked, as arguments of `TryOn.run` for the person's `photo` and the one `garment`'s."""
        from vtcli.core.data.annotations import read_mask, read_parse
        from vtcli.core.data.poses import read_pose
        from vtcli.core.tryon.photos.pictures import fitted

        size = (photo.height, photo.width)
        mask = read_mask(self.cloth_mask) if self.cloth_mask else None
        parse = read_parse(self.parse, self.labels.value) if self.parse else None
        keypoints = read_pose(self.pose, (photo.height, photo.width)) if self.pose else None
        if parse is not None:
            parse = fitted(parse, size, str(self.parse))
        if mask is not None and garment is not None:
            mask = fitted(mask, (garment.height, garment.width), str(self.cloth_mask), "garment's picture")
        given = {"cloth_mask": mask, "parse": parse, "keypoints": keypoints}
        for name, file in (("protect", self.protect), ("redraw", self.redraw)):
            if file is not None:
                given[name] = fitted(read_mask(file), size, str(file))
        return given


def read_pair(
    person: Path, cloth: Path, given: Annotations
) -> tuple[Image.Image, Image.Image, dict[str, Any]]:
    """The photos of a person and a garment, and the annotations that are given."""
    from vtcli.core.data.images import open_rgb, open_rgba

    photo, garment = open_rgb(person), open_rgba(cloth)
    return photo, garment, given.read(photo, garment)


def check_choice(number: int, box: str | None, parse: Path | None, pose: Path | None) -> None:
    """UsageProblem where a person is chosen though parse and pose say who is meant."""
    if parse is not None and pose is not None and (number != 1 or box is not None):
        option = "--person" if box is None else "--box"
        raise UsageProblem(
            f"{option} is not used with --parse and --pose, which say who is meant; leave it out"
        )


def choose(number: int, box: str | None) -> Choice:
    """--person and --box as the choice of a person."""
    from vtcli.core.tryon.photos.finding import Choice

    if box is None:
        return Choice(number)
    if number != 1:
        raise UsageProblem("give either --person or --box, not both")
    numbers = box.split(",")
    if len(numbers) != 4 or not all(x.strip().isdecimal() for x in numbers):
        raise UsageProblem(f"--box {box}: four whole numbers, x,y,width,height")
    x, y, width, height = (int(x) for x in numbers)
    return Choice(box=(x, y, x + width, y + height))


@contextmanager
def naming(person: Path, cloth: Path, given: Annotations) -> Iterator[None]:
    """Refusals of a pair name the file that is meant."""
    from vtcli.core.tryon.photos.problems import RefusedPhoto

    try:
        yield
    except RefusedPhoto as problem:
        file = given.file(problem.given) or (person if problem.picture == "person" else cloth)
        raise VtcliError(f"{file}: {hints.spelled(problem)}") from problem


def tell_notes(picture: Path, notes: Iterable[str]) -> None:
    """What was seen in a picture that whoever gave it should know."""
    for note in notes:
        console.warn(f"{picture}: {note}")


def save_panel(result: TryOnResult, out: Path, panel: Path | None) -> None:
    """Write the panel where it was asked for, and beside the picture where the networks were unsure."""
    from vtcli.core.tryon.results import LOW_CONFIDENCE

    unsure = result.confidence < LOW_CONFIDENCE
    if panel is None and unsure:
        panel = out.with_name(f"{out.stem}-panel.jpg")
    if panel is None:
        return
    save_picture(result.panel(), panel)
    if unsure:
        console.warn(
            f"{out}: confidence {result.confidence:.2f} is below {LOW_CONFIDENCE}; {panel} shows what was recognised"
        )
    else:
        console.say(f"wrote {panel}")


def over_jobs(jobs: list[Job], out: Path, weights: Path | None, device: str, chosen: dict[str, Any]) -> None:
    """Several try-ons with the weights loaded once: a picture each, and a contact sheet. VtcliError at the end when
    some could not be made."""
    from vtcli.core.system.locks import hold
    from vtcli.core.system.runtime import keep_memory
    from vtcli.core.tryon.many import Sheet, run_many
    from vtcli.core.tryon.pipeline import TryOn

    keep_memory()
    engine = TryOn.load(weights, device)
    if out.exists() and not out.is_dir():
        raise UsageProblem(f"{out}: is a file; name a folder")
    inputs = [path for job in jobs for path in (job.person, job.cloth)]
    check_outputs([out / "sheet.jpg", *(out / f"{job.name}.png" for job in jobs)], inputs)
    sheet, pages, failed = Sheet(), 0, 0
    told: set[Path] = set()
    with hold(out, "vtcli tryon"), console.progress("tryon", len(jobs), "pictures") as advance:
        for number, outcome in enumerate(run_many(engine, jobs, **chosen), 1):
            if outcome.result is not None:
                noted = {
                    outcome.job.person: outcome.result.person.notes,
                    outcome.job.cloth: outcome.result.garment.notes,
                }
                for picture, notes in noted.items():
                    if picture not in told:
                        told.add(picture)
                        tell_notes(picture, notes)
            outcome = _saved(outcome, out / f"{outcome.job.name}.png")
            if outcome.problem is not None:
                failed += 1
                console.fail(outcome.told(hints.spelled(outcome.problem)))
            sheet.add(outcome)
            if len(sheet.cells) == PAGE or number == len(jobs):
                pages += 1
                name = "sheet.jpg" if len(jobs) <= PAGE else f"sheet-{pages:03d}.jpg"
                save_picture(sheet.picture(), out / name)
                sheet = Sheet()
            advance(number)
    made = len(jobs) - failed
    console.say(
        f"{made} {'picture' if made == 1 else 'pictures'} and {'a contact sheet' if pages == 1 else 'contact sheets'} in {out}"
    )
    if failed:
        raise VtcliError(
            f"{failed} of {len(jobs)} pictures failed; the reasons are above and in the contact sheet"
        )


def _saved(outcome: JobResult, file: Path) -> JobResult:
    """`outcome` with its picture written to `file`. One whose name is too long for the system is a failed one; any other
    problem of the folder ends the run."""
    if outcome.result is None:
        return outcome
    try:
        save_picture(outcome.result.image, file)
        save_panel(outcome.result, file, None)
    except VtcliError as problem:
        if getattr(problem.__cause__, "errno", None) != errno.ENAMETOOLONG:
            raise
        return replace(outcome, result=None, problem=problem)
    return outcome


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a picture in the format of its name (PNG, JPEG, WebP), whole or not at all."""
    from vtcli.core.system.files import write_atomically

    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise UsageProblem(f"{path}: name a .png, .jpg or .webp file")
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    if kind == "PNG":
        options["compress_level"] = 4
    if kind == "JPEG" and image.mode != "RGB":
        raise UsageProblem(f"{path}: JPEG has no transparency; name a .png or .webp file")
    data = io.BytesIO()
    image.save(data, kind, **options)
    write_atomically(path, lambda stream: stream.write(data.getvalue()))


def check_name(path: Path | None) -> None:
    """Refuse an output name whose format is unknown before the work, not after it."""
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise UsageProblem(f"{path}: name a .png, .jpg or .webp file")


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """UsageProblem where a picture would be written over one of the `inputs`, or over another one."""
    taken = {path.resolve() for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        if path.resolve() in taken:
            raise UsageProblem(f"{path}: is read or written already; name another file for the picture")
        taken.add(path.resolve())


def check_keep(keep: str | None) -> None:
    """Refuse what cannot be kept."""
    if keep not in (None, "head", "outside"):
        raise UsageProblem(f"--keep {keep}: one of outside, head")


def over_split(
    data: Path, split: str, out: Path, weights: Path | None, device: str, options: SplitOptions
) -> None:
    """Run a whole split with a progress bar; say what is made of what, and where the results are."""
    from vtcli.core.data.prepare.compare import doubted_masks
    from vtcli.core.data.store import PreparedStore
    from vtcli.core.system import distributed, runtime
    from vtcli.core.tryon.networks import Networks
    from vtcli.core.tryon.split import run_split

    runtime.keep_memory()
    store = PreparedStore.open(data, split)
    chosen = runtime.choose_device(distributed.local_device(device))
    networks = Networks.load(weights, chosen, tom=options.kind == "tryon")
    networks.check_size(store)
    console.say(_told_pairing(store, options))
    if (doubt := doubted_masks(store)) is not None:
        console.warn(doubt.told())
    with distributed.joined(), console.progress(options.kind, None, "pairs") as advance:
        for done, total in run_split(networks, store, out, options):
            advance(done, f"of {total}")
    console.say(f"the pictures are in {out / 'images'}; score them with: vtcli score {out}")


def _told_pairing(store: PreparedStore, options: SplitOptions) -> str:
    """Who wears what in a split's run and what is kept, for people; what else there is, where nobody chose."""
    known = {
        "paired": "paired: everyone in their own garment",
        "unpaired": "unpaired: everyone in the garment that the split's list names",
        "shuffled": "shuffled: everyone in another's garment",
    }
    others = "unpaired" if store.manifest.unpaired else "shuffled"
    more = f"; --pairs {others} for others" if options.pairs == "paired" else ""
    return f"{known.get(options.pairs, f'the pairs of {options.pairs}')}, keep {options.keep}{more}"
