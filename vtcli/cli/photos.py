"""What `tryon` and `warp` share: reading the two photos and their annotations, writing pictures, running splits."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vtcli.cli import console
from vtcli.core.system.errors import UsageProblem, VtcliError

if TYPE_CHECKING:
    from PIL import Image

    from vtcli.core.tryon.finding import Choice
    from vtcli.core.tryon.many import Job
    from vtcli.core.tryon.results import TryOnResult
    from vtcli.core.tryon.split import SplitOptions

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
PAGE = 36
"""Pictures on a contact sheet."""


def require_photos(person: Path | None, cloth: Path | None, data: Path | None, out: Path | None) -> None:
    """Either two photos or --data, and -o: UsageProblem otherwise."""
    if out is None:
        raise UsageProblem("say where the result goes with -o/--out")
    if data is not None and person is not None:
        raise UsageProblem("give either PERSON and CLOTH, or --data; not both")
    if data is None and (person is None or cloth is None):
        raise UsageProblem("give two photos, PERSON and CLOTH, or a prepared store with --data")


def read_annotations(
    cloth_mask: Path | None, parse: Path | None, pose: Path | None, labels: str = "lip"
) -> dict[str, Any]:
    """Files that win over the project's own annotations, read and checked, as arguments of `TryOn.run`."""
    from vtcli.core.data.annotations import read_mask, read_parse, read_pose

    return {
        "cloth_mask": read_mask(cloth_mask) if cloth_mask else None,
        "parse": read_parse(parse, labels) if parse else None,  # type: ignore[arg-type]
        "keypoints": read_pose(pose) if pose else None,
    }


def fit_parse(given: np.ndarray | None, photo: Image.Image, parse: Path | None) -> np.ndarray | None:
    """A parse map at the photo's size; UsageProblem where its proportions are others."""
    if given is None or given.shape == (photo.height, photo.width):
        return given
    if abs(given.shape[1] * photo.height / (given.shape[0] * photo.width) - 1) > 0.02:
        raise UsageProblem(
            f"{parse}: {given.shape[1]}×{given.shape[0]}, but the photo is {photo.width}×{photo.height}; "
            "a parse map must have its photo's proportions"
        )
    from PIL import Image as Pillow

    return np.asarray(Pillow.fromarray(given).resize(photo.size, Pillow.Resampling.NEAREST))


def choose(which: int, box: str | None) -> Choice:
    """--person and --box as the choice of a person."""
    from vtcli.core.tryon.finding import Choice

    if box is None:
        return Choice(which)
    if which != 1:
        raise UsageProblem("give either --person or --box, not both")
    numbers = box.split(",")
    if len(numbers) != 4 or not all(number.strip().isdecimal() for number in numbers):
        raise UsageProblem(f"--box {box}: four whole numbers, x,y,width,height")
    x, y, width, height = (int(number) for number in numbers)
    return Choice(box=(x, y, x + width, y + height))


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
            f"{out}: confidence {result.confidence:.2f}, below {LOW_CONFIDENCE}; see what was taken for what in {panel}"
        )
    else:
        console.say(f"wrote {panel}")


def over_jobs(jobs: list[Job], out: Path, weights: Path | None, device: str, chosen: dict[str, Any]) -> None:
    """Several try-ons with the weights loaded once: a picture each, and a contact sheet. VtcliError at the end when
    some could not be made."""
    from vtcli.core.system.locks import hold
    from vtcli.core.tryon.many import Sheet, run_many
    from vtcli.core.tryon.pipeline import TryOn

    engine = TryOn.load(weights, device)
    if out.exists() and not out.is_dir():
        raise UsageProblem(f"{out}: is a file; name a folder")
    sheet, pages, failed = Sheet(), 0, 0
    with hold(out, "vtcli tryon"), console.progress("tryon", len(jobs), "pictures") as advance:
        for number, done in enumerate(run_many(engine, jobs, **chosen), 1):
            file = out / f"{done.job.name}.png"
            if done.result is None:
                failed += 1
                console.warn(done.problem)
            else:
                save_picture(done.result.image, file)
                save_panel(done.result, file, None)
            sheet.add(done)
            if len(sheet.cells) == PAGE or number == len(jobs):
                pages += 1
                name = "sheet.jpg" if len(jobs) <= PAGE else f"sheet-{pages:03d}.jpg"
                save_picture(sheet.picture(), out / name)
                sheet = Sheet()
            advance(number)
    console.say(
        f"{len(jobs) - failed} pictures and {'a contact sheet' if pages == 1 else 'contact sheets'} in {out}"
    )
    if failed:
        raise VtcliError(
            f"{failed} of {len(jobs)} pictures could not be made; the reasons stand above and in the sheet"
        )


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


def check_keep(keep: str | None) -> None:
    """Refuse what cannot be kept."""
    if keep not in (None, "head", "outside"):
        raise UsageProblem(f"--keep {keep}: one of outside, head")


def over_split(
    data: Path, split: str, out: Path, weights: Path | None, device: str, options: SplitOptions
) -> None:
    """Run a whole split with a progress bar, and say where the results are."""
    from vtcli.core.data.store import PreparedStore
    from vtcli.core.system import distributed, runtime
    from vtcli.core.tryon.networks import Networks
    from vtcli.core.tryon.split import run_split

    runtime.keep_memory()
    store = PreparedStore.open(data, split)
    chosen = runtime.choose_device(distributed.local_device(device))
    networks = Networks.load(weights, chosen, tom=options.kind == "tryon")
    with distributed.joined(), console.progress(options.kind, None, "pairs") as advance:
        for done, total in run_split(networks, store, out, options):
            advance(done, f"of {total}")
    console.say(f"the pictures are in {out / 'images'}; score them with: vtcli score {out}")
