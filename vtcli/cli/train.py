"""`vtcli train STAGE`: one of the three networks, from a prepared store. A command for each stage."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from vtcli.cli import console
from vtcli.cli import train_options as O
from vtcli.cli.options import Device, Quiet
from vtcli.cli.train_report import Report, metrics_table, next_steps
from vtcli.core.system.errors import UsageProblem
from vtcli.core.training.options import TrainOptions, stage_defaults, usual_recipe

DATA, RUNS = Path("prepared"), Path("runs")

app = typer.Typer(
    help="Train a network on a prepared store.\n\n"
    "Writes OUT/STAGE/best.safetensors and final.safetensors (weights to use), last.safetensors (to resume from; "
    "written every five minutes, on Ctrl-C and on SIGTERM), log.jsonl, and TensorBoard's events where tensorboard is "
    "installed.\n\n"
    "Example: vtcli train gmm --data prepared --minutes 60\n\n"
    "Then: vtcli train tom --data prepared --minutes 60\n\n"
    "Several GPUs or machines: torchrun --nproc-per-node=4 -m vtcli train gmm --data prepared --minutes 60",
    subcommand_metavar="STAGE [OPTIONS]",
    rich_markup_mode="markdown",
)


class StageCommand(TyperCommand):
    """A stage's command. An option of another stage is an error in one line that says whose it is."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Click does, after the check; UsageProblem for another stage's option."""
        stages = {name: _option_names(command) for name, command in ctx.parent.command.commands.items()}
        for word in args[: args.index("--") if "--" in args else None]:
            option = word.partition("=")[0]
            users = [name for name, options in stages.items() if option in options]
            if users and ctx.info_name not in users:
                raise UsageProblem(
                    f"{option}: `vtcli train {ctx.info_name}` has no use for it, only {' and '.join(users)}"
                )
        return super().parse_args(ctx, args)


def _option_names(command: Any) -> set[str]:
    return {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}


@app.command(cls=StageCommand)
def parser(
    data: O.Data = DATA,
    out: O.Out = RUNS,
    steps: O.Steps = None,
    epochs: O.Epochs = None,
    minutes: O.Minutes = None,
    batch_size: O.BatchSize = None,
    lr: O.LearningRate = None,
    seed: O.Seed = TrainOptions.seed,
    val: O.Val = TrainOptions.val,
    validate_every: O.ValidateEvery = None,
    checkpoint_minutes: O.CheckpointMinutes = TrainOptions.checkpoint_minutes,
    resume: O.Resume = False,
    init: O.Init = None,
    photos: O.ParserPhotos = None,
    triplets: O.Triplets = None,
    triplet_share: O.TripletShare = TrainOptions.triplet_share,
    extra: O.Extra = None,
    extra_share: O.ExtraShare = TrainOptions.extra_share,
    amp: O.Amp = None,
    compile: O.Compile = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Photo to parse map and joints, for photos that come without annotations.

    Example: vtcli train parser --data prepared
    """
    _train("parser", **locals())


@app.command(cls=StageCommand)
def gmm(
    data: O.Data = DATA,
    out: O.Out = RUNS,
    preset: O.PresetOption = O.Preset.LITE,
    recipe: O.RecipeOption = None,
    aux: O.Aux = None,
    steps: O.Steps = None,
    epochs: O.Epochs = None,
    minutes: O.Minutes = None,
    batch_size: O.BatchSize = None,
    lr: O.LearningRate = None,
    seed: O.Seed = TrainOptions.seed,
    val: O.Val = TrainOptions.val,
    validate_every: O.ValidateEvery = None,
    checkpoint_minutes: O.CheckpointMinutes = TrainOptions.checkpoint_minutes,
    resume: O.Resume = False,
    init: O.Init = None,
    extra: O.Extra = None,
    extra_share: O.ExtraShare = TrainOptions.extra_share,
    others: O.Others = None,
    other_share: O.OtherShare = TrainOptions.other_share,
    triplets: O.Triplets = None,
    triplet_share: O.TripletShare = TrainOptions.triplet_share,
    skin_weight: O.SkinWeight = TrainOptions.skin_weight,
    background_weight: O.BackgroundWeight = TrainOptions.background_weight,
    aux_weight: O.AuxWeight = TrainOptions.aux_weight,
    amp: O.Amp = None,
    compile: O.Compile = False,
    resident: O.Resident = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """The warp: shop photo to the garment in the person's pose.

    Example: vtcli train gmm --data prepared --minutes 60
    """
    _train("gmm", **locals())


@app.command(cls=StageCommand)
def tom(
    data: O.Data = DATA,
    out: O.Out = RUNS,
    preset: O.PresetOption = O.Preset.LITE,
    recipe: O.RecipeOption = None,
    aux: O.Aux = None,
    keep: O.KeepOption = None,
    steps: O.Steps = None,
    epochs: O.Epochs = None,
    minutes: O.Minutes = None,
    batch_size: O.BatchSize = None,
    lr: O.LearningRate = None,
    seed: O.Seed = TrainOptions.seed,
    val: O.Val = TrainOptions.val,
    validate_every: O.ValidateEvery = None,
    checkpoint_minutes: O.CheckpointMinutes = TrainOptions.checkpoint_minutes,
    resume: O.Resume = False,
    init: O.Init = None,
    gmm: O.Gmm = None,
    photos: O.TomPhotos = None,
    extra: O.Extra = None,
    extra_share: O.ExtraShare = TrainOptions.extra_share,
    others: O.Others = None,
    other_share: O.OtherShare = TrainOptions.other_share,
    triplets: O.Triplets = None,
    triplet_share: O.TripletShare = TrainOptions.triplet_share,
    backgrounds: O.Backgrounds = TrainOptions.backgrounds,
    losses: O.LossesOption = None,
    perceptual: O.PerceptualOption = None,
    vgg_weights: O.VggWeights = None,
    perceptual_weight: O.PerceptualWeight = TrainOptions.perceptual_weight,
    mask_weight: O.MaskWeight = TrainOptions.mask_weight,
    skin_weight: O.SkinWeight = TrainOptions.skin_weight,
    background_weight: O.BackgroundWeight = TrainOptions.background_weight,
    aux_weight: O.AuxWeight = TrainOptions.aux_weight,
    adversarial_weight: O.AdversarialWeight = TrainOptions.adversarial_weight,
    amp: O.Amp = None,
    compile: O.Compile = False,
    resident: O.Resident = False,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """The composition: representation and warped garment to the picture. Needs a trained gmm.

    Example: vtcli train tom --data prepared --minutes 60
    """
    options = locals()
    own = out / "gmm" / "best.safetensors"
    _train("tom", **{**options, "gmm": own if gmm is None and own.is_file() else gmm})


def _train(stage: str, device: str, resume: bool, quiet: bool, **values: Any) -> None:
    """Train with the options `values`, named as TrainOptions' fields; show progress, metrics and what to do next."""
    console.set_quiet(quiet)
    _check_numbers(**{name: values[name] for name in ("steps", "epochs", "minutes", "lr")})
    fields: dict[str, Any] = {k: v.value if isinstance(v, StrEnum) else v for k, v in values.items()}
    fields |= {name: fields.get(name) or [] for name in ("photos", "others")}
    preset = fields.get("preset", TrainOptions.preset)
    if not fields.get("recipe"):
        fields["recipe"] = usual_recipe(preset) if stage != "parser" else TrainOptions.recipe
    defaults = stage_defaults(stage, preset, fields["recipe"])
    for name in ("aux", "keep", "perceptual"):
        if name in fields and fields[name] is None:
            fields[name] = getattr(defaults, name)
    options = TrainOptions(stage=stage, **fields)
    if options.vgg_weights is not None and options.perceptual != "vgg19":
        raise UsageProblem("--vgg-weights: needs --perceptual vgg19")
    if options.steps is None and options.epochs is None and options.minutes is None:
        options.steps, options.epochs = defaults.steps, defaults.epochs

    from vtcli.core.training.run import run

    with Report(stage) as report:
        folder = run(options, device, report, resume)
    if console.is_mute():
        return
    console.show(metrics_table(folder, report.metrics))
    for line in next_steps(stage, folder, options.out, options.data):
        console.say(line)


def _check_numbers(lr: float | None, **bounds: float | None) -> None:
    given = {name: value for name, value in bounds.items() if value is not None}
    if len(given) > 1:
        raise UsageProblem(f"{' and '.join('--' + n for n in given)} exclude each other: a run has one bound")
    for name, value in (given if lr is None else {**given, "lr": lr}).items():
        if not (value > 0 and math.isfinite(value)):
            raise UsageProblem(f"--{name} {value:g}: must be more than 0")
