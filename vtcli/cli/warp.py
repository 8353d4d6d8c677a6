"""`vtcli warp`: the warped garment alone, for one pair of photos or a whole split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vtcli.cli import console, photos
from vtcli.cli.options import (
    Box,
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
    Which,
)


def warp(
    person: Person = None,
    cloth: Cloth = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The picture to write (.png or .webp, with alpha); with --data a folder."
        ),
    ] = None,
    weights: Weights = None,
    cloth_mask: ClothMask = None,
    parse: Parse = None,
    pose: Pose = None,
    labels: ParseLabels = Labels.LIP,
    panel: Annotated[
        Path | None,
        typer.Option(help="Also save the contact sheet: the warp on a grid, the cloth pasted on the person."),
    ] = None,
    which: Which = 1,
    box: Box = None,
    force: Force = False,
    data: Annotated[Path | None, typer.Option(help="A prepared store: warp a whole split.")] = None,
    split: Split = "test",
    pairs: Annotated[str, typer.Option(help="With --data: paired, unpaired, or a file of pairs.")] = "paired",
    keep: Annotated[
        str | None,
        typer.Option(
            help="What the warp goes with. outside: the neckline is the garment's own. head: the paper's protocol, whose "
            "body shape shows the neckline that is worn. Default: outside for photos, head for --data."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="With --data: pairs at a time.")] = 16,
    limit: Limit = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Warp a garment onto a person (stage one): the warped cloth with alpha, in place on the photo.

    **Examples**

    vtcli warp person.jpg cloth.jpg -o warped.png --panel panel.png

    vtcli warp --data prepared --split test --pairs paired -o results/warps
    """
    console.set_quiet(quiet)
    photos.check_keep(keep)
    photos.require_photos(person, cloth, data, out)
    assert out is not None
    if data is not None:
        from vtcli.core.tryon.split import SplitOptions

        options = SplitOptions("warp", pairs, keep or "head", batch_size, False, limit)
        photos.over_split(data, split, out, weights, device, options)
        return
    photos.check_name(out)
    photos.check_name(panel)
    from vtcli.core.data.images import open_rgb, open_rgba
    from vtcli.core.tryon.pipeline import TryOn

    assert person is not None and cloth is not None
    photo, garment = open_rgb(person), open_rgba(cloth)
    given = photos.read_annotations(cloth_mask, parse, pose, labels.value)
    given["parse"] = photos.fit_parse(given["parse"], photo, parse)
    choice = photos.choose(which, box)
    engine = TryOn.load(weights, device, tom=False)
    result = engine.warp(photo, garment, keep=keep or "outside", force=force, choice=choice, **given)
    photos.save_picture(result.image, out)
    console.say(f"wrote {out}")
    if panel is not None:
        photos.save_picture(result.panel(), panel)
        console.say(f"wrote {panel}")
