"""The options of `vtcli train`, each once; train.py says which stage takes which."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vtcli.cli.options import no_stream


class Preset(StrEnum):
    """Sizes of the networks."""

    LITE = "lite"
    PAPER = "paper"
    PAPER_SMALL = "paper-small"


class Recipe(StrEnum):
    """How the networks are trained."""

    VTCLI = "vtcli"
    CPVTON = "cpvton"


class Losses(StrEnum):
    """What the TOM is trained with, beside M_exp's loss."""

    FULL = "full"
    CPVTON = "cpvton"
    L1 = "l1"


class Keep(StrEnum):
    """What the TOM sees of the photo."""

    HEAD = "head"
    OUTSIDE = "outside"
    BOTH = "both"


class Perceptual(StrEnum):
    """Perceptual distances."""

    VGG19 = "vgg19"
    LITE0 = "lite0"
    NONE = "none"


# -- every stage ---------------------------------------------------------------------------------------------

Data = Annotated[Path, typer.Option("--data", help="Prepared store of `vtcli prepare`.")]
Out = Annotated[
    Path, typer.Option("--out", "-o", callback=no_stream, help="Folder for runs; this one goes to OUT/STAGE.")
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Stop after this many batches.")]
Epochs = Annotated[
    float | None,
    typer.Option(
        "--epochs",
        help="Stop after this many passes over the pairs. Default, without --steps and --minutes: 30 for parser, "
        "40 for gmm and tom; recipe cpvton 200,000 steps.",
    ),
]
Minutes = Annotated[float | None, typer.Option("--minutes", help="Stop after this many minutes.")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Samples of a step, of all processes together. Default: parser and tom 16, gmm 32; preset paper 4.",
    ),
]
LearningRate = Annotated[
    float | None, typer.Option("--lr", help="Highest learning rate. Default: 0.001; preset paper 0.0001.")
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**31 - 1,
        help="The same seed, options and device give the same weights; not with --minutes, whose number of steps "
        "depends on the machine's speed.",
    ),
]
Val = Annotated[
    int,
    typer.Option(
        "--val",
        min=1,
        help="Pairs to validate on, at most: of the test split's half that is for choosing, without training photos.",
    ),
]
ValidateEvery = Annotated[
    int | None, typer.Option("--validate-every", min=1, help="Steps between validations. Default: 500.")
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(
        "--checkpoint-minutes", min=0.0, help="Minutes between checkpoints: the most that a crash costs."
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from OUT/STAGE/last.safetensors.")]
Init = Annotated[
    Path | None,
    typer.Option(
        "--init",
        help="Weights to start from, a file or a folder. Default: random; parser: an encoder trained on ImageNet.",
    ),
]
Extra = Annotated[
    Path | None,
    typer.Option(
        "--extra", help="A second prepared store to mix in, of synthetic people for example. Default: none."
    ),
]
ExtraShare = Annotated[
    float,
    typer.Option(
        "--extra-share",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Probability that a sample comes from --extra.",
    ),
]
Amp = Annotated[
    bool | None,
    typer.Option(
        "--amp/--no-amp",
        help="bfloat16 arithmetic. Default: on where the hardware has it.",
        show_default=False,
    ),
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the network with torch.compile.")]
Resident = Annotated[
    bool,
    typer.Option(
        "--resident",
        help="Keep all samples in the device's memory (6,324 pairs: 2 GB) and make batches there: many times as fast on a "
        "GPU, whose steps then run as CUDA graphs.",
    ),
]

# -- parser and tom ------------------------------------------------------------------------------------------

_PHOTOS = "Folder with photos/, labels/ and labels.json; repeatable. {} Default: none."
ParserPhotos = Annotated[
    list[Path] | None,
    typer.Option("--photos", metavar="DIR", help=_PHOTOS.format("More labelled photos to learn from.")),
]
TomPhotos = Annotated[
    list[Path] | None,
    typer.Option("--photos", metavar="DIR", help=_PHOTOS.format("Their backgrounds are put behind people.")),
]

# -- gmm and tom ---------------------------------------------------------------------------------------------

PresetOption = Annotated[
    Preset,
    typer.Option(
        "--preset",
        help="lite: small, fast networks; paper: CP-VTON's networks; paper-small: the same with fewer channels, "
        "for stores of 128x96.",
    ),
]
RecipeOption = Annotated[
    Recipe | None,
    typer.Option(
        "--recipe",
        help="vtcli: its own losses, augmentation and optimiser; cpvton: CP-VTON's training to the letter of its public "
        "code, with the preset paper alone. Default: cpvton for the preset paper, else vtcli.",
    ),
]
Aux = Annotated[
    bool | None,
    typer.Option(
        "--aux/--no-aux",
        help="Train the auxiliary decoder to M_exp as well (the paper). Default: on; recipe cpvton: off.",
        show_default=False,
    ),
]
Others = Annotated[
    list[Path] | None,
    typer.Option(
        "--others",
        metavar="DIR",
        help="The training people in other garments, so that the worn one gives nothing away: a results folder of "
        "shuffled try-ons of the training split with their parse maps (README has the command); repeatable. "
        "Default: none.",
    ),
]
OtherShare = Annotated[
    float,
    typer.Option(
        "--other-share",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Probability that a person is given as in --others; the target stays the real photo.",
    ),
]
Triplets = Annotated[
    Path | None,
    typer.Option(
        "--triplets",
        metavar="DIR",
        help="Synthetic people in two garments, with true warps: a folder of "
        "`python -m vtcli.core.synthetic triplets DIR`. Default: none.",
    ),
]
TripletShare = Annotated[
    float,
    typer.Option(
        "--triplet-share", metavar="P", min=0.0, max=1.0, help="Probability that a sample is a triplet."
    ),
]
SkinWeight = Annotated[
    float,
    typer.Option("--skin-weight", min=0.0, help="Class weight of face, arms and legs in M_exp's loss."),
]
BackgroundWeight = Annotated[
    float,
    typer.Option("--background-weight", min=0.0, help="Class weight of the background in M_exp's loss."),
]
AuxWeight = Annotated[float, typer.Option("--aux-weight", min=0.0, help="Multiplier on M_exp's loss.")]

# -- tom -----------------------------------------------------------------------------------------------------

KeepOption = Annotated[
    Keep | None,
    typer.Option(
        "--keep",
        help="What the network sees of the photo: head, all outside of the changed region, or each in half of "
        "every batch. Default: both; recipe cpvton: head.",
    ),
]
Gmm = Annotated[
    Path | None,
    typer.Option(
        "--gmm",
        help="The trained GMM that warps the garments, a file or a folder. Default: OUT/gmm/best.safetensors if "
        "there is one, else the one that comes with vtcli.",
    ),
]
LossesOption = Annotated[
    Losses | None,
    typer.Option(
        "--losses",
        help="l1: L1 and the composition-mask loss; cpvton: the perceptual loss as well; full: multi-scale SSIM and "
        "others as well, and a free composition mask on plain cloth. Default: full; preset paper: cpvton. All of them "
        "are vtcli's recipe; CP-VTON's own training is --recipe cpvton.",
    ),
]
PerceptualOption = Annotated[
    Perceptual | None,
    typer.Option(
        "--perceptual",
        help="Features of the perceptual loss; vgg19 is the paper's and needs its weights. Default: lite0; recipe "
        "cpvton: vgg19 (with another one the weights say that theirs is the recipe cpvton-lite0 or cpvton-none).",
    ),
]
VggWeights = Annotated[
    Path | None,
    typer.Option("--vgg-weights", help="torchvision's vgg19 .pth file. Default: torch hub's cache."),
]
PerceptualWeight = Annotated[
    float, typer.Option("--perceptual-weight", min=0.0, help="Multiplier on the perceptual loss.")
]
MaskWeight = Annotated[
    float,
    typer.Option(
        "--mask-weight",
        min=0.0,
        help="Multiplier on the composition-mask loss; with 0 the other losses alone shape M_cm.",
    ),
]
AdversarialWeight = Annotated[
    float,
    typer.Option(
        "--adversarial-weight",
        min=0.0,
        help="Multiplier on the generator's loss. The discriminator starts after a fifth of the run and judges "
        "unpaired try-ons as well. 0: no discriminator.",
    ),
]
Backgrounds = Annotated[
    float,
    typer.Option(
        "--backgrounds",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Probability that a person gets another background; never where --keep is head.",
    ),
]
