"""`vtcli tryon`: two photos in, one picture out; several of either; or a whole split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtcli.cli import console, photos
from vtcli.cli.options import (
    ClothMask,
    ClothPhotos,
    Device,
    Force,
    Labels,
    Limit,
    Parse,
    ParseLabels,
    PersonBox,
    PersonNumber,
    PersonPhoto,
    Pose,
    Protect,
    Quiet,
    Redraw,
    Split,
    Weights,
    no_stream,
    refuse_unused,
)
from vtcli.core.system.errors import UsageProblem

if TYPE_CHECKING:
    from vtcli.core.tryon.many import Job

CHOICE = {"number", "box"}
ANNOTATIONS = {"parse", "pose", "labels", "protect", "redraw"}
ONE = {"person", "cloths", "keep", "panel", "force", "cloth_mask", *ANNOTATIONS, *CHOICE}
"""What a single pair uses; one person with several garments the same, but no --panel."""
FOLDERS = {"people", "cloth_folder", "pairs", "keep", "force", *CHOICE}
"""What folders or a list of pairs use."""
DATA = {"data", "split", "pairs", "keep", "batch_size", "limit", "save_parse"}
"""What a split of a prepared store uses."""


def tryon(
    context: typer.Context,
    person: PersonPhoto = None,
    cloths: ClothPhotos = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            callback=no_stream,
            help="The picture to write; a folder for several garments, --people or --pairs; with --data a "
            "results folder.",
        ),
    ] = None,
    weights: Weights = None,
    cloth_mask: ClothMask = None,
    parse: Parse = None,
    pose: Pose = None,
    labels: ParseLabels = Labels.LIP,
    protect: Protect = None,
    redraw: Redraw = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="outside: all that a change of top does not touch stays the photo's, pixel for pixel. head: the "
            "paper's protocol, all but face and hair is rendered, and the picture is the 3:4 window around the person. Default: outside for photos, head for --data."
        ),
    ] = None,
    number: PersonNumber = 1,
    box: PersonBox = None,
    panel: Annotated[
        Path | None,
        typer.Option(
            callback=no_stream,
            help="With one pair: also save the contact sheet (parse, pose, warp, masks, M_exp, result).",
        ),
    ] = None,
    force: Force = False,
    people: Annotated[
        Path | None, typer.Option(help="A folder of people; each with each garment of --cloths.")
    ] = None,
    cloth_folder: Annotated[
        Path | None, typer.Option("--cloths", help="A folder of garments, for --people or --pairs.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="A prepared store: try on a whole split.")] = None,
    split: Split = "test",
    pairs: Annotated[
        str | None,
        typer.Option(
            help="A CSV of pairs, a person's and a garment's file a line. With --data: paired (own garments; the "
            "default), unpaired (the split's list), shuffled (everyone in another's garment), or a file of pairs."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="With --data: pairs at a time.")] = 8,
    limit: Limit = None,
    save_parse: Annotated[
        bool, typer.Option("--save-parse", help="With --data: save M_exp as well.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Try a garment on: PERSON and CLOTH in, one picture out.

    **Examples**

    vtcli tryon person.jpg cloth.jpg -o out.png --panel panel.png

    vtcli tryon person.jpg shirt.jpg blouse.jpg -o pictures/

    vtcli tryon person.jpg cloth.jpg -o out.png --protect bag.png

    vtcli tryon --people photos --cloths garments -o pictures/

    vtcli tryon --data prepared --split test --pairs unpaired --keep outside -o results/unpaired
    """
    console.set_quiet(quiet)
    out = photos.check_out(out)
    photos.check_keep(keep)
    if data is not None:
        refuse_unused(context, "with --data", DATA)
        from vtcli.core.tryon.split import SplitOptions

        options = SplitOptions("tryon", pairs or "paired", keep or "head", batch_size, save_parse, limit)
        photos.over_split(data, split, out, weights, device, options)
        return
    chosen: dict[str, Any] = {"keep": keep or "outside", "force": force, "choice": photos.choose(number, box)}
    if person is None:
        jobs_of = (pairs, people, cloth_folder)
        _require_folders(*jobs_of)
        refuse_unused(context, "with --people, --cloths or --pairs", FOLDERS)
        _several(_jobs(*jobs_of), out, weights, device, chosen)
        return
    if not cloths:
        raise UsageProblem("CLOTH is missing: give two photos, PERSON and CLOTH")
    photos.check_choice(number, box, parse, pose)
    given = photos.Annotations(cloth_mask, parse, pose, labels, protect, redraw)
    if len(cloths) == 1 and not _is_folder(out):
        refuse_unused(context, "with PERSON and CLOTH", ONE)
        _one(person, cloths[0], out, panel, weights, device, chosen, given)
        return
    refuse_unused(
        context, "with several pictures", ONE - {"panel"} - ({"cloth_mask"} if len(cloths) > 1 else set())
    )
    _one_person(person, cloths, out, weights, device, chosen, given)


def _one(
    person: Path, cloth: Path, out: Path, panel: Path | None, weights: Path | None, device: str,
    chosen: dict[str, Any], given: photos.Annotations,
) -> None:  # fmt: skip
    """A single pair."""
    photos.check_name(out)
    photos.check_name(panel)
    photos.check_outputs((out, panel), (person, cloth, *given.files()))
    photo, garment, annotations = photos.read_pair(person, cloth, given)
    from vtcli.core.system.runtime import keep_memory
    from vtcli.core.tryon.pipeline import TryOn

    keep_memory()
    engine = TryOn.load(weights, device)
    with photos.naming(person, cloth, given):
        result = engine.run(photo, garment, **chosen, **annotations)
    photos.tell_notes(person, result.person.notes)
    photos.tell_notes(cloth, result.garment.notes)
    photos.save_picture(result.image, out)
    console.say(f"wrote {out}")
    photos.save_panel(result, out, panel)


def _one_person(
    person: Path, cloths: list[Path], out: Path, weights: Path | None, device: str, chosen: dict[str, Any],
    given: photos.Annotations,
) -> None:  # fmt: skip
    """One person in several garments."""
    from vtcli.core.data.images import open_rgb, open_rgba
    from vtcli.core.tryon import many

    _check_folder(out)
    garment = open_rgba(cloths[0]) if given.cloth_mask is not None else None
    annotations = given.read(open_rgb(person), garment) if given.any() else {}
    photos.over_jobs(many.one_person(person, cloths), out, weights, device, chosen | annotations)


def _several(jobs: list[Job], out: Path, weights: Path | None, device: str, chosen: dict[str, Any]) -> None:
    """People and garments of folders or of a list."""
    _check_folder(out)
    photos.over_jobs(jobs, out, weights, device, chosen)


def _require_folders(pairs: str | None, people: Path | None, cloths: Path | None) -> None:
    if pairs is None and people is None and cloths is None:
        raise UsageProblem(
            "give two photos, PERSON and CLOTH, or folders with --people and --cloths, or a prepared store with --data"
        )
    if pairs is None and (people is None or cloths is None):
        raise UsageProblem("--people and --cloths go together")


def _jobs(pairs: str | None, people: Path | None, cloths: Path | None) -> list[Job]:
    from vtcli.core.tryon import many

    if pairs is not None:
        return many.listed(Path(pairs), people, cloths)
    assert people is not None and cloths is not None
    return many.everybody_everything(people, cloths)


def _check_folder(out: Path) -> None:
    if out.suffix.lower() in photos.SUFFIXES and not out.is_dir():
        raise UsageProblem(f"{out}: several pictures need a folder, such as -o pictures/")


def _is_folder(out: Path) -> bool:
    return out.is_dir() or out.suffix == ""
