"""`vtcli warp`: the warped garment alone, for one pair of photos or a whole split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vtcli.cli import console, photos
from vtcli.cli.options import (
    ClothMask,
    ClothPhoto,
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
    Quiet,
    Split,
    Weights,
    no_stream,
    refuse_unused,
)
from vtcli.core.system.errors import UsageProblem

ONE = {"person", "cloth", "cloth_mask", "parse", "pose", "labels", "panel", "number", "box", "force", "keep"}
"""What a single pair uses."""
DATA = {"data", "split", "pairs", "keep", "batch_size", "limit"}
"""What a split of a prepared store uses."""


def warp(
    context: typer.Context,
    person: PersonPhoto = None,
    cloth: ClothPhoto = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            callback=no_stream,
            help="The picture to write (.png or .webp, with alpha); with --data a folder.",
        ),
    ] = None,
    weights: Weights = None,
    cloth_mask: ClothMask = None,
    parse: Parse = None,
    pose: Pose = None,
    labels: ParseLabels = Labels.LIP,
    panel: Annotated[
        Path | None,
        typer.Option(
            callback=no_stream,
            help="Also save the contact sheet: the warp on a grid, the cloth pasted on the person.",
        ),
    ] = None,
    number: PersonNumber = 1,
    box: PersonBox = None,
    force: Force = False,
    data: Annotated[Path | None, typer.Option(help="A prepared store: warp a whole split.")] = None,
    split: Split = "test",
    pairs: Annotated[
        str, typer.Option(help="With --data: paired, unpaired, shuffled, or a file of pairs.")
    ] = "paired",
    keep: Annotated[
        str | None,
        typer.Option(
            help="What the warp is used with. outside: the neckline is the garment's own. head: the paper's protocol, "
            "whose body shape shows the worn neckline. Default: outside for photos, head for --data."
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
    out = photos.check_out(out)
    photos.check_keep(keep)
    if data is not None:
        refuse_unused(context, "with --data", DATA)
        from vtcli.core.tryon.split import SplitOptions

        options = SplitOptions("warp", pairs, keep or "head", batch_size, False, limit)
        photos.over_split(data, split, out, weights, device, options)
        return
    if person is None or cloth is None:
        raise UsageProblem("give two photos, PERSON and CLOTH, or a prepared store with --data")
    refuse_unused(context, "with PERSON and CLOTH", ONE)
    photos.check_choice(number, box, parse, pose)
    chosen = {"keep": keep or "outside", "force": force, "choice": photos.choose(number, box)}
    given = photos.Annotations(cloth_mask, parse, pose, labels)
    _one(person, cloth, out, panel, weights, device, chosen, given)


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
    engine = TryOn.load(weights, device, tom=False)
    with photos.naming(person, cloth, given):
        result = engine.warp(photo, garment, **chosen, **annotations)
    photos.tell_notes(person, result.person.notes)
    photos.tell_notes(cloth, result.garment.notes)
    photos.save_picture(result.image, out)
    console.say(f"wrote {out}")
    if panel is not None:
        photos.save_picture(result.panel(), panel)
        console.say(f"wrote {panel}")
