"""`vtcli tryon`: two photos in, one picture out; or a whole split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vtcli.cli import console, photos
from vtcli.cli.options import (
    Box,
    ClothMask,
    Cloths,
    Device,
    Force,
    Labels,
    Limit,
    Parse,
    ParseLabels,
    Person,
    Pose,
    Quiet,
    Split,
    Weights,
    Which,
)
from vtcli.core.system.errors import UsageProblem


def tryon(
    person: Person = None,
    cloths: Cloths = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The picture to write; a folder for several garments, --people or --pairs; with --data a "
            "results folder.",
        ),
    ] = None,
    weights: Weights = None,
    cloth_mask: ClothMask = None,
    parse: Parse = None,
    pose: Pose = None,
    labels: ParseLabels = Labels.LIP,
    keep: Annotated[
        str | None,
        typer.Option(
            help="outside: all that a change of top does not touch stays the photo's, pixel for pixel. head: the "
            "paper's protocol, all but face and hair is drawn. Default: outside for photos, head for --data."
        ),
    ] = None,
    which: Which = 1,
    box: Box = None,
    panel: Annotated[
        Path | None,
        typer.Option(help="Also save the contact sheet: parse, pose, warp, masks, M_exp, result."),
    ] = None,
    force: Force = False,
    people: Annotated[
        Path | None, typer.Option(help="A folder of people; each with each of --cloths.")
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
            "default), unpaired (the split's list), or a file of pairs."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="With --data: pairs at a time.")] = 8,
    limit: Limit = None,
    save_parse: Annotated[
        bool, typer.Option("--save-parse", help="With --data: keep M_exp as well.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Try a garment on: PERSON and CLOTH in, one picture out.

    **Examples**

    vtcli tryon person.jpg cloth.jpg -o out.png --panel panel.png

    vtcli tryon person.jpg shirt.jpg blouse.jpg -o pictures/

    vtcli tryon --people photos --cloths garments -o pictures/

    vtcli tryon --data prepared --split test --pairs unpaired --keep outside -o results/unpaired
    """
    console.set_quiet(quiet)
    if out is None:
        raise UsageProblem("say where the result goes with -o/--out")
    photos.check_keep(keep)
    folders = people is not None or cloth_folder is not None
    if data is not None:
        if person is not None or folders:
            raise UsageProblem(
                "give either PERSON and CLOTH, or --people and --cloths, or --data; not several"
            )
        from vtcli.core.tryon.split import SplitOptions

        options = SplitOptions("tryon", pairs or "paired", keep or "head", batch_size, save_parse, limit)
        photos.over_split(data, split, out, weights, device, options)
        return
    if person is not None and (folders or pairs is not None):
        raise UsageProblem("give either PERSON and CLOTH, or --people, --cloths and --pairs; not both")
    if person is None and pairs is None and (people is None or cloth_folder is None):
        raise UsageProblem(
            "give two photos, PERSON and CLOTH, or folders with --people and --cloths, or a prepared store with --data"
            if not folders else "--people and --cloths go together"
        )  # fmt: skip
    if person is not None and not cloths:
        raise UsageProblem("give two photos, PERSON and CLOTH, or a prepared store with --data")
    choice = photos.choose(which, box)
    chosen = {"keep": keep or "outside", "force": force, "choice": choice}
    if person is not None and cloths is not None and len(cloths) == 1 and not _is_folder(out):
        _one(person, cloths[0], out, panel, weights, device, chosen, cloth_mask, parse, pose, labels.value)
        return
    if panel is not None:
        raise UsageProblem("--panel goes with one person and one garment")
    if out.suffix.lower() in photos.SUFFIXES and not out.is_dir():
        raise UsageProblem(f"{out}: several pictures need a folder, such as -o pictures/")
    if cloth_mask is not None and (cloths is None or len(cloths) != 1):
        raise UsageProblem("--cloth-mask goes with one garment")
    if person is None and (parse is not None or pose is not None):
        raise UsageProblem("--parse and --pose go with one person")
    from vtcli.core.tryon import many

    if person is not None and cloths is not None:
        jobs = many.one_person(person, cloths)
    elif pairs is not None:
        jobs = many.listed(Path(pairs), people, cloth_folder)
    else:
        assert people is not None and cloth_folder is not None
        jobs = many.everybody_everything(people, cloth_folder)
    if person is not None:
        given = photos.read_annotations(cloth_mask, parse, pose, labels.value)
        from vtcli.core.data.images import open_rgb

        given["parse"] = photos.fit_parse(given["parse"], open_rgb(person), parse)
        chosen |= given
    photos.over_jobs(jobs, out, weights, device, chosen)


def _is_folder(out: Path) -> bool:
    return out.is_dir() or out.suffix == ""


def _one(
    person: Path, cloth: Path, out: Path, panel: Path | None, weights: Path | None, device: str,
    chosen: dict[str, Any], cloth_mask: Path | None, parse: Path | None, pose: Path | None, labels: str,
) -> None:  # fmt: skip
    photos.check_name(out)
    photos.check_name(panel)
    from vtcli.core.data.images import open_rgb, open_rgba
    from vtcli.core.tryon.pipeline import TryOn

    photo, garment = open_rgb(person), open_rgba(cloth)
    given = photos.read_annotations(cloth_mask, parse, pose, labels)
    given["parse"] = photos.fit_parse(given["parse"], photo, parse)
    result = TryOn.load(weights, device).run(photo, garment, **chosen, **given)
    photos.save_picture(result.image, out)
    console.say(f"wrote {out}")
    photos.save_panel(result, out, panel)
