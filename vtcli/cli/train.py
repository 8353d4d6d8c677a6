"""`vtcli train`: one of the three networks, from a prepared store."""

from __future__ import annotations

import math
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vtcli.cli import console
from vtcli.cli.options import Device, Quiet
from vtcli.core.system.errors import UsageProblem

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID
    from rich.table import Table

    from vtcli.core.training.trainer import Progress

DEFAULT_EPOCHS = {"parser": 30.0, "gmm": 40.0, "tom": 40.0}
"""The bound of a run that was given none."""
PLAIN_SECONDS = 15.0
"""Where there is no terminal, a line of progress appears no more often than this."""

TOM_ONLY = (
    "keep", "gmm", "losses", "perceptual", "vgg_weights", "perceptual_weight", "mask_weight",
    "adversarial_weight", "backgrounds",
)  # fmt: skip
EFFECT = {
    **dict.fromkeys(TOM_ONLY, ("tom",)),
    **dict.fromkeys(("preset", "aux", "skin_weight", "background_weight", "aux_weight"), ("gmm", "tom")),
    "photos": ("parser", "tom"),
}
"""Options that mean something to some stages only."""


class Stage(StrEnum):
    """The networks."""

    PARSER = "parser"
    GMM = "gmm"
    TOM = "tom"


class Preset(StrEnum):
    """Sizes of the networks."""

    LITE = "lite"
    PAPER = "paper"


class Losses(StrEnum):
    """What the TOM is trained with, beside M_exp's loss."""

    FULL = "full"
    CPVTON = "cpvton"
    L1 = "l1"


class Keep(StrEnum):
    """What of the photo the TOM is shown."""

    HEAD = "head"
    OUTSIDE = "outside"
    BOTH = "both"


class Perceptual(StrEnum):
    """Perceptual distances."""

    VGG19 = "vgg19"
    LITE0 = "lite0"
    NONE = "none"


def train(
    context: typer.Context,
    stage: Annotated[
        Stage,
        typer.Argument(
            metavar="STAGE",
            help="parser: photo to parse map and joints; gmm: the warp; tom: the picture (needs a trained gmm).",
            show_default=False,
        ),
    ],
    data: Annotated[Path, typer.Option("--data", help="Prepared store of `vtcli prepare`.")] = Path(
        "prepared"
    ),
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for runs; this one goes to OUT/STAGE.")
    ] = Path("runs"),
    preset: Annotated[
        Preset, typer.Option("--preset", help="lite: small and quick; paper: CP-VTON's networks. (gmm, tom)")
    ] = Preset.LITE,
    aux: Annotated[
        bool, typer.Option("--aux/--no-aux", help="Train the auxiliary decoder to M_exp as well. (gmm, tom)")
    ] = True,
    keep: Annotated[
        Keep,
        typer.Option(
            "--keep",
            help="What the tom is shown of the photo: head, all outside of the region to draw anew, or half "
            "of each batch either way.",
        ),
    ] = Keep.BOTH,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Stop after so many batches.")] = None,
    epochs: Annotated[
        float | None,
        typer.Option(
            "--epochs",
            help="Stop after so many passes over the pairs; default, without --steps and --minutes: "
            "30 for parser, 40 for gmm and tom.",
        ),
    ] = None,
    minutes: Annotated[float | None, typer.Option("--minutes", help="Stop after so many minutes.")] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Default: parser 16; lite gmm 32, tom 16; paper 4."),
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help="Highest learning rate; default: 0.001, paper 0.0001.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, max=2**31 - 1, help="Same seed, options and device: same weights.")
    ] = 0,
    val: Annotated[
        int, typer.Option("--val", min=1, help="Pairs to validate on, from the test split's unseen ones.")
    ] = 500,
    validate_every: Annotated[
        int | None, typer.Option("--validate-every", min=1, help="Steps between validations; default: 500.")
    ] = None,
    checkpoint_minutes: Annotated[
        float,
        typer.Option(
            "--checkpoint-minutes", min=0.0, help="Minutes between checkpoints: what a crash costs."
        ),
    ] = 5.0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from OUT/STAGE/last.safetensors.")] = False,
    init: Annotated[
        Path | None,
        typer.Option(
            "--init", help="Weights to start from (a file or a folder); default: random, parser ImageNet."
        ),
    ] = None,
    gmm: Annotated[
        Path | None,
        typer.Option(
            "--gmm",
            help="tom: the trained GMM that warps its garments; default: OUT/gmm/best.safetensors if it is "
            "there, else the one that comes with vtcli.",
        ),
    ] = None,
    photos: Annotated[
        list[Path] | None,
        typer.Option(
            "--photos",
            metavar="DIR",
            help="Folder with photos/, labels/ and labels.json, repeatable; parser: to learn from "
            "as well; tom: as backgrounds. Default: none.",
        ),
    ] = None,
    extra: Annotated[
        Path | None,
        typer.Option("--extra", help="A second prepared store, drawn people say, to mix in; default: none."),
    ] = None,
    extra_share: Annotated[
        float,
        typer.Option(
            "--extra-share", metavar="P", min=0.0, max=1.0, help="How often a sample comes from --extra."
        ),
    ] = 0.05,
    losses: Annotated[
        Losses | None,
        typer.Option(
            "--losses",
            help="tom: full adds squares and SSIM to CP-VTON's losses and lets go of M_cm on plain cloth; cpvton "
            "is L1, the perceptual loss and M_cm's; l1 does without the perceptual loss. Default: full, paper "
            "cpvton.",
        ),
    ] = None,
    perceptual: Annotated[
        Perceptual,
        typer.Option(
            "--perceptual", help="tom's perceptual loss; vgg19 is the paper's and needs its weights."
        ),
    ] = Perceptual.LITE0,
    vgg_weights: Annotated[
        Path | None,
        typer.Option("--vgg-weights", help="torchvision's vgg19 .pth; default: torch hub's cache."),
    ] = None,
    perceptual_weight: Annotated[
        float | None, typer.Option("--perceptual-weight", min=0.0, help="Default: 0.1. (tom)")
    ] = None,
    mask_weight: Annotated[
        float,
        typer.Option(
            "--mask-weight",
            min=0.0,
            help="tom: M_cm's loss counts so many times as much as the stage has it; 0 leaves M_cm to the picture's losses.",
        ),
    ] = 1.0,
    skin_weight: Annotated[
        float, typer.Option("--skin-weight", min=0.0, help="Weight of face, arms and legs in M_exp's loss.")
    ] = 2.0,
    background_weight: Annotated[
        float, typer.Option("--background-weight", min=0.0, help="Weight of the background in M_exp's loss.")
    ] = 2.0,
    aux_weight: Annotated[
        float | None, typer.Option("--aux-weight", min=0.0, help="Weight of M_exp's loss; default: 0.1.")
    ] = None,
    adversarial_weight: Annotated[
        float,
        typer.Option(
            "--adversarial-weight",
            min=0.0,
            help="Weight of a discriminator in tom's run but its first fifth; it sees unpaired try-ons, too. 0: none.",
        ),
    ] = 0.0,
    backgrounds: Annotated[
        float | None,
        typer.Option(
            "--backgrounds",
            metavar="P",
            min=0.0,
            max=1.0,
            help="tom: how often a person is set on another background where --keep is not head; default: 0.5.",
        ),
    ] = None,
    amp: Annotated[
        bool | None,
        typer.Option(
            "--amp/--no-amp",
            help="bfloat16 arithmetic; default: where the processor has it.",
            show_default=False,
        ),
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile the network with torch.compile.")
    ] = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Train a network on a prepared store.

    Writes OUT/STAGE/best.safetensors and final.safetensors (weights to use), last.safetensors (to resume
    from; every five minutes, on Ctrl-C and on SIGTERM), log.jsonl, and TensorBoard's events where it is installed.

    Several GPUs or machines: start it with torchrun. --batch-size is that of all processes together.

    Example: vtcli train gmm --data prepared --minutes 60

    Four GPUs: torchrun --nproc-per-node=4 -m vtcli train gmm --data prepared --minutes 60

    Then: vtcli train tom --data prepared --minutes 60
    """
    console.set_quiet(quiet)
    _check(steps=steps, epochs=epochs, minutes=minutes)
    if lr is not None and not (lr > 0 and math.isfinite(lr)):
        raise UsageProblem(f"--lr {lr:g}: must be more than 0")
    if vgg_weights is not None and perceptual is not Perceptual.VGG19:
        raise UsageProblem("--vgg-weights: has a meaning with --perceptual vgg19 only")
    _warn_of_idle_options(context, stage.value)
    if steps is None and epochs is None and minutes is None:
        epochs = DEFAULT_EPOCHS[stage.value]

    from vtcli.core.training.options import TrainOptions
    from vtcli.core.training.run import run

    own_gmm = out / "gmm" / "best.safetensors"
    options = TrainOptions(
        stage=stage.value, data=data, out=out, preset=preset.value, aux=aux, keep=keep.value, steps=steps,
        epochs=epochs, minutes=minutes, batch_size=batch_size, lr=lr, seed=seed, val=val,
        validate_every=validate_every, checkpoint_minutes=checkpoint_minutes, init=init,
        gmm=own_gmm if gmm is None and stage is Stage.TOM and own_gmm.is_file() else gmm,
        photos=list(photos or ()), extra=extra, extra_share=extra_share,
        losses=losses.value if losses is not None else None, perceptual=perceptual.value, vgg_weights=vgg_weights,
        perceptual_weight=perceptual_weight, mask_weight=mask_weight, skin_weight=skin_weight,
        background_weight=background_weight, aux_weight=aux_weight, adversarial_weight=adversarial_weight,
        backgrounds=backgrounds, amp=amp, compile=compile,
    )  # fmt: skip
    with Report(stage.value) as report:
        folder = run(options, device, report, resume)
    if console.is_mute():
        return
    console.show(_table(folder, report.figures))
    for line in _advice(stage.value, folder, out, data):
        console.say(line)


def _check(**bounds: float | None) -> None:
    given = {name: value for name, value in bounds.items() if value is not None}
    if len(given) > 1:
        raise UsageProblem(f"{' and '.join('--' + n for n in given)} exclude each other: a run has one bound")
    for name, value in given.items():
        if not (value > 0 and math.isfinite(value)):
            raise UsageProblem(f"--{name} {value:g}: must be more than 0")


def _warn_of_idle_options(context: typer.Context, stage: str) -> None:
    for name, stages in EFFECT.items():
        source = context.get_parameter_source(name)
        if stage not in stages and source is not None and source.name == "COMMANDLINE":
            console.warn(f"--{name.replace('_', '-')} has no effect on the {stage}")


class Report:
    """Shows a run's news: a bar on a terminal, a line now and then elsewhere, a line for each validation."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.figures: dict[str, float] = {}
        self._batch = 0
        self._start = self._shown = self._last = time.monotonic()
        self._first = 0.0
        self._step = 0
        self._rate = ""
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Report:
        if console.err.is_terminal and not console.is_quiet():
            from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

            columns = [
                TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("rate", "left", "note")
            ]
            self._bar = Progress(
                SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(bar_width=24),
                TaskProgressColumn(), *columns, console=console.err,
            )  # fmt: skip
            self._task = self._bar.add_task(self.stage, total=1.0, rate="", left="", note="")
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, news: Progress) -> None:
        if news.kind == "started":
            self._started(news)
        elif news.kind == "step":
            self._stepped(news)
        elif news.kind == "validated":
            self.figures = news.values
            console.say(f"{self.stage}: step {news.step:,}: {_listed(news.values)}")
            self._last = time.monotonic()  # a validation's time says nothing of the steps' rate
        elif news.kind == "skipped":
            console.warn(
                f"step {news.step:,} skipped, its loss was not finite ({news.values['skipped']:.0f} so far)"
            )

    def _started(self, news: Progress) -> None:
        self._batch, self._step, self._first = int(news.values["batch_size"]), news.step, news.progress
        self._start = self._shown = self._last = time.monotonic()
        start = f", from step {news.step:,} on" if news.step else ""
        bound = f", {news.steps:,} steps" if news.steps else ""
        console.say(
            f"{self.stage}: {int(news.values['samples']):,} pairs, {self._batch} to a batch{bound}{start}"
        )

    def _stepped(self, news: Progress) -> None:
        now = time.monotonic()
        rate = (news.step - self._step) * self._batch / max(now - self._last, 1e-9)
        self._step, self._last = news.step, now
        gone = news.progress - self._first
        left = (now - self._start) * (1.0 - news.progress) / gone if gone > 0 else math.nan
        count = f"step {news.step:,}" + (f"/{news.steps:,}" if news.steps else "")
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=news.progress, description=f"{self.stage} {count}",
                rate=f"{rate:.1f} samples/s", left=_duration(left), note=_listed(news.values),
            )  # fmt: skip
        elif now - self._shown >= PLAIN_SECONDS or news.progress >= 1.0:
            self._shown = now
            console.say(
                f"{self.stage}: {count}, {news.progress:.1%}, {rate:.1f} samples/s, {_duration(left)}: "
                f"{_listed(news.values)}"
            )


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} left" if hours else f"{minutes}:{rest:02d} left"


def _table(folder: Path, last: dict[str, float]) -> Table:
    """The last and the best validation's figures side by side."""
    from rich.table import Table

    from vtcli.core.models.weights import read_metadata

    facts: dict[str, Any] = read_metadata(folder / "best.safetensors")
    best = facts["figures"]
    table = Table(
        "figure", "last", f"best (step {facts['steps']:,})", title=str(folder), title_justify="left"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for name in last | best:
        table.add_row(name, *(f"{v[name]:.4f}" if name in v else "-" for v in (last, best)))
    return table


def _advice(stage: str, folder: Path, out: Path, data: Path) -> list[str]:
    """Where the weights are and what to do with them."""
    lines = [f"weights: {folder / 'best.safetensors'}; curves: tensorboard --logdir {out}"]
    if stage == "parser":
        lines.append(f"use them: vtcli prepare DATA_DIR --weights {out}")
    elif stage == "gmm":
        lines.append(f"next: vtcli train tom --data {data} --out {out}")
        lines.append(f"use them: vtcli warp person.jpg cloth.jpg -o warped.png --weights {out}")
    else:
        if not (out / "gmm" / "best.safetensors").is_file():
            lines.append(
                f"they go with the GMM that they were trained with: copy it to {out / 'gmm.safetensors'}"
            )
        lines.append(f"use them: vtcli tryon person.jpg cloth.jpg -o out.png --weights {out}")
    return lines
