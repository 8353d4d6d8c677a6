"""`vtcli tryon`: two photos in, one picture out; or a whole split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vtcli.cli import console, photos
from vtcli.cli.options import (
    Cloth,
    ClothMask,
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
)
from vtcli.core.errors import UsageProblem


def tryon(
    person: Person = None,
    cloth: Cloth = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The picture to write; with --data a results folder.")
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
    panel: Annotated[
        Path | None,
        typer.Option(help="Also save the contact sheet: parse, pose, warp, masks, M_exp, result."),
    ] = None,
    force: Force = False,
    data: Annotated[Path | None, typer.Option(help="A prepared store: try on a whole split.")] = None,
    split: Split = "test",
    pairs: Annotated[
        str,
        typer.Option(
            help="With --data: paired (own garments), unpaired (the split's list), or a file of pairs."
        ),
    ] = "paired",
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

    vtcli tryon --data prepared --split test --pairs unpaired --keep outside -o results/unpaired
    """
    console.set_quiet(quiet)
    photos.require_photos(person, cloth, data, out)
    if keep not in (None, "head", "outside"):
        raise UsageProblem(f"--keep {keep}: one of outside, head")
    assert out is not None
    if data is not None:
        from vtcli.core.tryon.split import SplitOptions

        options = SplitOptions("tryon", pairs, keep or "head", batch_size, save_parse, limit)
        photos.over_split(data, split, out, weights, device, options)
        return
    photos.check_name(out)
    photos.check_name(panel)
    from vtcli.core.data.images import open_rgb, open_rgba
    from vtcli.core.tryon.pipeline import TryOn

    assert person is not None and cloth is not None
    photo, garment = open_rgb(person), open_rgba(cloth)
    given = photos.read_annotations(cloth_mask, parse, pose, labels.value)
    photos.check_size(given["parse"], photo, parse)
    result = TryOn.load(weights, device).run(photo, garment, keep=keep or "outside", force=force, **given)
    photos.save_picture(result.image, out)
    console.say(f"wrote {out}")
    if panel is not None:
        photos.save_picture(result.panel(), panel)
        console.say(f"wrote {panel}")
