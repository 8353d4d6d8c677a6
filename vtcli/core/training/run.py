"""From options to a trained stage: opens the store, chooses the validation pairs, builds the stage, runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vtcli.core.data.store import PreparedStore
from vtcli.core.data.validation import half
from vtcli.core.models.presets import GMM_PRESETS
from vtcli.core.models.weights import fill, read_weights, stage_file
from vtcli.core.system import distributed, runtime
from vtcli.core.system.errors import UsageProblem, VtcliError
from vtcli.core.training.options import TrainOptions, stage_defaults
from vtcli.core.training.stage import Stage
from vtcli.core.training.trainer import ProgressEvent, train


def split_pairs(
    options: TrainOptions,
) -> tuple[PreparedStore, np.ndarray, PreparedStore, np.ndarray]:
    """Training store and rows, validation store and rows.

    Validation takes the first `options.val` pairs of the test split's half for choosing (`vtcli.core.data.validation`).
    Where there is no test split, the last pairs of the training split are held out (a tenth at most) and never
    trained on.
    """
    store = PreparedStore.open(options.data, "train")
    rows = np.arange(len(store))
    if (options.data / "test" / "manifest.json").is_file():
        test = PreparedStore.open(options.data / "test")
        choosing = half(test, "choosing")
        if len(choosing):
            return store, rows, test, choosing[: options.val]
    held = min(options.val, max(1, len(store) // 10))
    if held >= len(store):
        raise VtcliError(f"{options.data}: too few pairs to hold one out for validation")
    return store, rows[:-held], store, rows[-held:]


def build_stage(options: TrainOptions) -> Stage:
    """The stage that `options` names, with its network initialised (from `options.init` where given)."""
    stage_defaults(options.stage, options.preset, options.recipe)
    if options.resident:
        _check_resident(options)
    torch.manual_seed(options.seed)
    store, rows, val_store, val_rows = split_pairs(options)
    for pictures in (store, val_store):
        if options.stage == "parser":
            _check_size(pictures, "parser", (32, 32), shape=False)
        else:
            _check_size(pictures, f"{options.preset} {options.stage}", GMM_PRESETS[options.preset].input_size)
    stage: Stage
    if options.stage == "parser":
        from vtcli.core.training.parser import ParserStage

        stage = ParserStage(options, store, (val_store, val_rows), rows)
    elif options.recipe == "cpvton":
        from vtcli.core.training.cpvton_recipe import CPVTONGMMStage, CPVTONTOMStage

        kind = CPVTONGMMStage if options.stage == "gmm" else CPVTONTOMStage
        stage = kind(options, store, (val_store, val_rows), rows)
    elif options.stage == "gmm":
        from vtcli.core.training.gmm import GMMStage

        stage = GMMStage(options, store, (val_store, val_rows), rows)
    else:
        from vtcli.core.training.tom import TOMStage

        stage = TOMStage(options, store, (val_store, val_rows), rows)
        _check_size(store, "GMM that warps its garments", stage.gmm.input_size)
    if options.init is not None:
        path = stage_file(options.init, options.stage)
        fill(stage.network, read_weights(path)[1], path)
    return stage


def _check_resident(options: TrainOptions) -> None:
    """UsageProblem where the samples cannot live in the device's memory."""
    if options.stage == "parser" or options.recipe == "cpvton":
        raise UsageProblem("--resident: is for GMM and TOM with --recipe vtcli")
    if options.extra is not None or options.compile:
        raise UsageProblem(
            f"--resident: does not go together with {'--extra' if options.extra else '--compile'}"
        )
    if distributed.world() > 1:
        raise UsageProblem("--resident: is for a single process")


def _check_size(store: PreparedStore, name: str, step: tuple[int, int], shape: bool = True) -> None:
    """Networks halve their pictures several times: UsageProblem where the store's size does not allow it.

    Sides must be multiples of `step` (height, width), and with `shape` the same multiple.
    """
    (height, width), (tall, wide) = store.size, step
    if height % tall or width % wide or (shape and height * wide != width * tall):
        raise UsageProblem(
            f"{store.root}: holds pictures of {height}x{width}, the {name} takes multiples of {tall}x{wide}; "
            "run `vtcli prepare` with another --size"
        )


def run(
    options: TrainOptions, device: str, report: Callable[[ProgressEvent], None], resume: bool = False
) -> Path:
    """Train as `options` say on `device`; returns the run's folder. Under torchrun, as one of its ranks."""
    runtime.keep_memory()
    chosen = runtime.choose_device(distributed.local_device(device))
    with distributed.joined():
        return train(build_stage(options), options, chosen, report, resume)
