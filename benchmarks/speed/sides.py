"""What is measured: for each row the baseline's side and vtcli's, as a function that does the work once.

Each is made in a process of its own (`benchmarks.speed.worker`), vtcli's with the settings that vtcli gives itself.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Job = Callable[[], int]
"""Does the work once and returns how many units it was."""

LOAD_BATCH = 16


@dataclass
class Config:
    """Where the data are and how to work; `jobs`: processes or threads of the loading rows."""

    viton: Path
    store: Path
    device: torch.device
    jobs: int
    quick: bool

    @property
    def loads(self) -> int:
        """Samples of one round of the loading rows."""
        return 160 if self.quick else 640


Maker = Callable[[Config], Job]


def rows() -> dict[str, tuple[Maker, Maker]]:
    """Row → makers of the baseline's side and of vtcli's."""
    found: dict[str, tuple[Maker, Maker]] = {
        "load-uint8": (_baseline_load, lambda c: _load(c, _as_stored)),
        "load-float": (_baseline_load, lambda c: _load(c, _as_floats)),
        "tps-4": (lambda c: _baseline_tps(c, 4), lambda c: _tps(c, 4)),
        "tps-16": (lambda c: _baseline_tps(c, 16), lambda c: _tps(c, 16)),
    }
    for stage in ("gmm", "tom"):
        for aux in (False, True):
            found[f"train-{stage}{'-aux' if aux else ''}"] = (
                lambda c, stage=stage: _baseline_step(c, stage),  # type: ignore[misc]
                lambda c, stage=stage, aux=aux: training_step(c, stage, aux),  # type: ignore[misc]
            )
    for preset in ("paper", "lite"):
        for size in (1, 16):
            found[f"infer-{preset}-{size}"] = (
                lambda c, size=size: _baseline_inference(c, size),  # type: ignore[misc]
                lambda c, preset=preset, size=size: _inference(c, preset, size),  # type: ignore[misc]
            )
    return found


def lite_steps() -> dict[str, Maker]:
    """Training steps of `lite` at its own batch sizes, which have no counterpart: row → maker."""
    return {
        f"step-{stage}": lambda c, stage=stage: training_step(c, stage, True, "lite")  # type: ignore[misc]
        for stage in ("parser", "gmm", "tom")
    }


def _baseline_load(config: Config) -> Job:
    from benchmarks.speed.baseline.dataset import PairDataset, loader

    batches = loader(PairDataset(config.viton, "train"), LOAD_BATCH, config.jobs, True)

    def endless() -> Iterator[dict[str, Tensor]]:
        while True:
            yield from batches

    ready = endless()
    next(ready)

    def job() -> int:
        # Its workers each have one batch ready when a round begins: an advantage that is left to it.
        return sum(len(b["image"]) for b in islice(ready, config.loads // LOAD_BATCH))

    return job


def _load(config: Config, make: Callable[[dict[str, Tensor]], object]) -> Job:
    from vtcli.core.data.store import PreparedStore
    from vtcli.core.system import runtime
    from vtcli.core.training.pairs import read_pairs
    from vtcli.core.training.stage import Order

    runtime.keep_memory()  # as every training run does
    torch.set_num_threads(1)  # as many batches at a time as there are cores, one core each
    store = PreparedStore.open(config.store / "train")
    order = Order(len(store), LOAD_BATCH, 0)
    threads = ThreadPoolExecutor(config.jobs)
    at = 0

    def one(step: int) -> int:
        rows = order.rows(step)
        make(read_pairs(store, rows))
        return len(rows)

    def job() -> int:
        nonlocal at
        steps = range(at, at + 4 * config.loads // LOAD_BATCH)
        at += len(steps)
        return sum(threads.map(one, steps))

    return job


def _as_stored(batch: dict[str, Tensor]) -> object:
    return batch


def _as_floats(batch: dict[str, Tensor]) -> object:
    from vtcli.core.models.common import garment_input
    from vtcli.core.models.representation import represent
    from vtcli.core.training.pairs import Pairs

    pairs = Pairs.of(batch)
    size = (int(pairs.parse.shape[1]), int(pairs.parse.shape[2]))
    person = represent(pairs.image, pairs.parse, pairs.keypoints, "head", size)
    return person, garment_input(pairs.cloth, pairs.cloth_mask, size)


def _baseline_tps(config: Config, size: int) -> Job:
    from benchmarks.speed.baseline.networks import TpsGrid

    grid, theta = TpsGrid().to(config.device), 0.1 * torch.randn(size, 50, device=config.device)
    return lambda: len(grid(theta)) and 1


def _tps(config: Config, size: int) -> Job:
    from vtcli.core.models.tps import tps_grid

    theta = 0.1 * torch.randn(size, 50, device=config.device)

    def job() -> int:
        for _ in range(20):  # one is too short to time
            tps_grid(theta, (256, 192))
        return 20

    return job


def _baseline_batch(config: Config, size: int) -> dict[str, Tensor]:
    from benchmarks.speed.baseline.dataset import PairDataset, loader

    batch = next(iter(loader(PairDataset(config.viton, "train"), size, 0, False)))
    return {k: v.to(config.device) for k, v in batch.items() if isinstance(v, Tensor)}


def _baseline_step(config: Config, stage: str) -> Job:
    from benchmarks.speed.baseline import stages

    step = (stages.gmm_step if stage == "gmm" else stages.tom_step)(config.device)
    batch = _baseline_batch(config, 4)

    def job() -> int:
        step(batch)
        return 1

    return job


def training_step(config: Config, stage: str, aux: bool, preset: str = "paper") -> Job:
    """The loop's step on a ready uint8 batch of the preset's size: representation (and for the TOM the warp, by the
    shipped GMM) included, which the baseline finds ready in its batch."""
    from torch.optim import AdamW

    from vtcli.core.models.weights import DEFAULT_FOLDER
    from vtcli.core.system import runtime
    from vtcli.core.training.ema import EMA
    from vtcli.core.training.options import TrainOptions
    from vtcli.core.training.run import build_stage
    from vtcli.core.training.stage import to_device

    runtime.keep_memory()
    folder = Path(tempfile.gettempdir())
    options = TrainOptions(
        stage, config.store, folder, preset=preset, aux=aux, keep="head", steps=1, val=1, perceptual="none",
        init=DEFAULT_FOLDER if stage == "parser" else None,
    )  # fmt: skip
    made = build_stage(options)
    layout = runtime.training_layout(config.device)
    network = made.network.to(config.device).to(memory_format=layout).train()  # type: ignore[call-overload]
    settings = options.defaults.optimizer
    ema = EMA(network, settings.ema)
    optimizer = AdamW(network.parameters(), lr=1e-4, fused=True)
    batch = to_device(made.batch(0), config.device)
    amp = runtime.has_bfloat16(config.device)
    count = 0

    def job() -> int:
        nonlocal count
        with runtime.autocast(config.device, amp):
            loss, _ = made.loss(network, batch, 0.0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
        optimizer.step()
        ema.update(network, count)
        count += 1
        return 1

    return job


def _baseline_inference(config: Config, size: int) -> Job:
    from benchmarks.speed.baseline import stages

    run, batch = stages.inference(config.device), _baseline_batch(config, size)
    return lambda: len(run(batch))


def _inference(config: Config, preset: str, size: int) -> Job:
    from vtcli.core.data.store import PreparedStore
    from vtcli.core.models.common import garment_input
    from vtcli.core.models.representation import represent
    from vtcli.core.models.tps import sample, tps_grid
    from vtcli.core.models.warping import channels_last
    from vtcli.core.system import runtime
    from vtcli.core.training.pairs import Pairs, read_pairs
    from vtcli.core.tryon.networks import Networks

    runtime.keep_memory()
    with weights_of(preset) as folder:
        networks = Networks.load(folder, config.device)
    batch = read_pairs(PreparedStore.open(config.store / "train"), np.arange(size))
    pairs = Pairs.of({k: v.to(config.device) for k, v in batch.items()})
    full = (int(pairs.parse.shape[1]), int(pairs.parse.shape[2]))
    small = networks.gmm.input_size
    coarse, fine = (
        represent(pairs.image, pairs.parse, pairs.keypoints, "head", s).channels for s in (small, full)
    )
    person, garment = (
        channels_last(x) for x in (coarse, garment_input(pairs.cloth, pairs.cloth_mask, small))
    )
    cloth = garment_input(pairs.cloth, pairs.cloth_mask, full)
    tom: Any = networks.tom

    @torch.inference_mode()
    def job() -> int:
        grid = tps_grid(networks.gmm(person, garment).theta, full)
        warped, mask = sample(cloth[:, :3], grid, 1.0), sample(cloth[:, 3:], grid, 0.0)
        with runtime.autocast(networks.device, networks.amp):
            out = tom(fine, warped, mask, parse=False)
        return len(out.tryon(warped))

    return job


@contextlib.contextmanager
def weights_of(preset: str) -> Iterator[Path | None]:
    """A weights folder of `preset`: the shipped one (None), or random weights."""
    if preset == "lite":
        yield None
        return
    from vtcli.core.models.presets import build_gmm, build_tom
    from vtcli.core.models.weights import save_weights

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        for stage, network in (
            ("gmm", build_gmm(preset, False)),
            ("tom", build_tom(preset, False)),
        ):
            save_weights(
                Path(name) / f"{stage}.safetensors", network, {"stage": stage, "preset": preset, "aux": False}
            )
        yield Path(name)
