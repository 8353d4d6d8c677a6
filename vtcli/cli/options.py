"""Options that several subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
