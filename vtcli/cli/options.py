"""Options that several subcommands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Labels(StrEnum):
    """Label sets that parse maps come in."""

    LIP = "lip"
    ATR = "atr"
    CIHP = "cihp"


Person = Annotated[Path | None, typer.Argument(help="Photo of a person, upright, seen from the front.")]
Cloth = Annotated[Path | None, typer.Argument(help="Shop photo of a top on a plain background.")]
Cloths = Annotated[
    list[Path] | None, typer.Argument(help="Shop photos of tops on a plain background.", metavar="CLOTH...")
]
Which = Annotated[
    int, typer.Option("--person", min=1, help="Which of several people, counted from the largest.")
]
Box = Annotated[
    str | None, typer.Option(metavar="X,Y,W,H", help="Where the person is, in pixels of the photo.")
]
ClothMask = Annotated[Path | None, typer.Option(help="Mask of the garment (white on black).")]
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
