"""`vtcli warp`: the warped garment alone, for one pair of photos or a whole split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vtcli.cli import console, photos
from vtcli.cli.options import Device, Quiet, Weights


def warp(
    person: Annotated[
        Path | None, typer.Argument(help="Photo of a person, upright, seen from the front.")
    ] = None,
    cloth: Annotated[Path | None, typer.Argument(help="Shop photo of a top on a plain background.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The picture to write (.png or .webp, with alpha); with --data a folder."
        ),
    ] = None,
    weights: Weights = None,
    cloth_mask: Annotated[Path | None, typer.Option(help="Mask of the garment (white on black).")] = None,
    parse: Annotated[
        Path | None, typer.Option(help="Parse map of the person's photo (LIP labels, PNG).")
    ] = None,
    pose: Annotated[Path | None, typer.Option(help="OpenPose JSON of the person's photo.")] = None,
    labels: Annotated[str, typer.Option(help="Labels of --parse: lip, atr or cihp.")] = "lip",
    panel: Annotated[
        Path | None,
        typer.Option(help="Also save the contact sheet: the warp on a grid, the cloth pasted on the person."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Go on with photos that look unfit.")] = False,
    data: Annotated[Path | None, typer.Option(help="A prepared store: warp a whole split.")] = None,
    split: Annotated[str, typer.Option(help="With --data: the split, train or test.")] = "test",
    pairs: Annotated[str, typer.Option(help="With --data: paired, unpaired, or a file of pairs.")] = "paired",
    batch_size: Annotated[int, typer.Option(min=1, help="With --data: pairs at a time.")] = 16,
    limit: Annotated[int | None, typer.Option(min=1, help="With --data: the first N pairs only.")] = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Warp a garment onto a person (stage one): the warped cloth with alpha, in place on the photo.

    **Examples**

    vtcli warp person.jpg cloth.jpg -o warped.png --panel panel.png

    vtcli warp --data prepared --split test --pairs paired -o results/warps
    """
    console.set_quiet(quiet)
    photos.require_photos(person, cloth, data, out)
    assert out is not None
    if data is not None:
        from vtcli.core.tryon.split import SplitOptions

        photos.over_split(
            data, split, out, weights, device, SplitOptions("warp", pairs, "head", batch_size, False, limit)
        )
        return
    photos.check_name(out)
    photos.check_name(panel)
    from vtcli.core.data.images import open_rgb, open_rgba
    from vtcli.core.tryon.pipeline import TryOn

    assert person is not None and cloth is not None
    photo, garment = open_rgb(person), open_rgba(cloth)
    given = photos.read_annotations(cloth_mask, parse, pose, labels)
    photos.check_size(given["parse"], photo, parse)
    result = TryOn.load(weights, device, tom=False).warp(photo, garment, force=force, **given)
    photos.save_picture(result.image, out)
    console.say(f"wrote {out}")
    if panel is not None:
        photos.save_picture(result.panel(), panel)
        console.say(f"wrote {panel}")
