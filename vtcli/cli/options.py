"""Options that several subcommands share, and the check that a call's mode uses those it was given."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vtcli.core.system.errors import UsageProblem


class Labels(StrEnum):
    """Label sets that parse maps come in."""

    LIP = "lip"
    ATR = "atr"
    CIHP = "cihp"
    CP_VTON_PLUS = "cp-vton+"
    ACGPN = "acgpn"
    GP_VTON = "gp-vton"


PersonPhoto = Annotated[Path | None, typer.Argument(help="Photo of a person, upright, seen from the front.")]
ClothPhoto = Annotated[Path | None, typer.Argument(help="Shop photo of a top on a plain background.")]
ClothPhotos = Annotated[
    list[Path] | None, typer.Argument(help="Shop photos of tops on a plain background.", metavar="CLOTH...")
]
PersonNumber = Annotated[
    int, typer.Option("--person", min=1, help="Which of several people, counted from the largest.")
]
PersonBox = Annotated[
    str | None,
    typer.Option("--box", metavar="X,Y,W,H", help="Where the person is, in pixels of the photo."),
]
ClothMask = Annotated[Path | None, typer.Option(help="Mask of the garment (white on black).")]
Protect = Annotated[
    Path | None, typer.Option(help="Mask of what stays the photo's, bit for bit (white on black).")
]
Redraw = Annotated[Path | None, typer.Option(help="Mask of what counts as old garment (white on black).")]
Parse = Annotated[Path | None, typer.Option(help="Parse map of the person's photo (PNG of labels).")]
Pose = Annotated[Path | None, typer.Option(help="OpenPose JSON of the person's photo.")]
ParseLabels = Annotated[Labels, typer.Option("--labels", help="Labels of --parse.")]
Force = Annotated[bool, typer.Option("--force", help="Go on with photos that look unfit.")]
Limit = Annotated[int | None, typer.Option(min=1, help="With --data: the first N pairs only.")]
Split = Annotated[str, typer.Option(help="With --data: the split, train or test.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:N or mps; auto takes CUDA when there is one.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights", help="Folder with {parser,gmm,tom}.safetensors; default: those that come with vtcli."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]


def no_stream(parameter: typer.CallbackParam, path: Path | None) -> Path | None:
    """UsageProblem where `-` is named as a file to be written, which elsewhere means standard output."""
    if path is not None and str(path) == "-":
        raise UsageProblem(
            f"{parameter.opts[0]} -: nothing is written to standard output; name a file or a folder"
        )
    return path


def refuse_unused(context: typer.Context, mode: str, used: set[str]) -> None:
    """UsageProblem where the command was given an option or argument that `mode` does not use.

    `used`: names of the parameters that it uses, --out, --weights, --device and --quiet aside.
    """
    always = {"out", "weights", "device", "quiet"}
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in used | always:
            spelled = name.upper() if parameter.param_type_name == "argument" else parameter.opts[0]
            raise UsageProblem(f"{spelled} is not used {mode}; leave it out")
