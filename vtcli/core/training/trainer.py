"""The one training loop of all stages: AdamW, warm-up and cosine, clipping, EMA, validation, checkpoints.

A run lives in `out/<stage>/`: `last.safetensors` (everything that resuming needs), `best.safetensors` and
`final.safetensors` (weights to use), `log.jsonl`, and TensorBoard's events where tensorboard is installed.

Under torchrun each rank makes its share of every batch, the gradients are averaged (`vtcli.core.system.distributed`), and
rank 0 alone validates and writes. Batch size, learning rate and the samples of a step are those of the joint
batch: they do not depend on the number of ranks, which may change when a run is resumed.
"""

from __future__ import annotations

import itertools
import json
import math
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW

from vtcli.core.models.weights import save_weights
from vtcli.core.system import distributed, runtime
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import sweep, write_atomically
from vtcli.core.system.locks import hold
from vtcli.core.system.workers import default_jobs
from vtcli.core.training.checkpoint import load_checkpoint, save_checkpoint
from vtcli.core.training.ema import Average
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.stage import Batch, Stage, to_device

LOG_EVERY = 20
SKIPS_ALLOWED = 50
"""Steps of a run that may be lost to a loss that is not finite."""


@dataclass
class Progress:
    """News of a run: `kind` is "started", "step", "validated", "skipped" or "done"."""

    kind: str
    step: int
    steps: int | None
    progress: float
    values: dict[str, float]
    path: Path | None = None


class Interrupted(VtcliError):
    """The run was asked to stop; a checkpoint stands."""

    exit_code = 130


class _Stopped(Exception):
    """Thrown out of a validation that was asked to stop."""


def learning_rate(base: float, step: int, progress: float, warmup: int) -> float:
    """Linear warm-up over `warmup` steps, then half a cosine from `base` to a hundredth of it."""
    cosine = 0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return base * min(1.0, (step + 1) / max(warmup, 1)) * cosine


def train(
    stage: Stage,
    options: TrainOptions,
    device: torch.device,
    report: Callable[[Progress], None],
    resume: bool,
) -> Path:
    """Train `stage` until its budget is used up; returns the run's folder.

    Raises Interrupted after Ctrl-C or SIGTERM (a checkpoint stands: the step in progress ends first, a validation
    is broken off and made up for later), VtcliError when the loss stays non-finite or another run is at work here.
    """
    folder = options.out / stage.name
    with hold(folder, f"vtcli train {stage.name}") if distributed.is_first() else nullcontext():
        _train(stage, options, device, report, resume, folder)
    return folder


def _train(
    stage: Stage,
    options: TrainOptions,
    device: torch.device,
    report: Callable[[Progress], None],
    resume: bool,
    folder: Path,
) -> None:
    stage.network = distributed.synchronised_norms(stage.network.to(device), device)
    network = stage.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lr = options.lr or stage.lr
    optimizer = AdamW(_groups(network, options.weight_decay), lr=lr, fused=device.type in ("cpu", "cuda"))
    average = Average(network, options.ema)
    modules: dict[str, nn.Module] = {"network": network, "average": average.network}
    optimizers: dict[str, torch.optim.Optimizer] = {"network": optimizer}
    if stage.adversary is not None:
        stage.adversary.to(device)
        modules["adversary"] = stage.adversary
        optimizers["adversary"] = AdamW(stage.adversary.parameters(), lr=lr, betas=(0.5, 0.99))
    amp = runtime.has_bfloat16(device) if options.amp is None else options.amp

    state: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": None, "skipped": 0, "validated": 0}
    last = folder / "last.safetensors"
    if resume:
        loaded = load_checkpoint(last, modules, optimizers)["state"]
        state.update({"validated": loaded["step"], **loaded})
    elif last.exists():
        raise VtcliError(f"{folder}: holds a run already; continue it with --resume, or choose another --out")
    joint = distributed.data_parallel(network, device)
    forward: nn.Module = torch.compile(joint) if options.compile else joint  # type: ignore[assignment]

    steps = _step_limit(options, stage)
    budget = None if options.minutes is None else options.minutes * 60.0
    first = distributed.is_first()
    if first:
        sweep(folder)
    log = _Log(folder, state["step"], state["validated"]) if first else None
    clock = time.monotonic() - state["seconds"]
    saved_at = time.monotonic()
    running: dict[str, float] = {}
    counted = 0
    every = options.validate_every or stage.validate_every

    def tell(kind: str, step: int, values: dict[str, float], path: Path | None = None) -> None:
        if first:
            report(Progress(kind, step, steps, done(), values, path))

    def facts() -> dict[str, Any]:
        return {
            **stage.facts(), "steps": state["step"], "samples": state["step"] * stage.batch_size,
            "seconds": round(state["seconds"]), "device": str(device), "seed": options.seed,
            "options": options.to_json(names_only=True),
        }  # fmt: skip

    def save() -> None:
        if first:
            save_checkpoint(last, modules, optimizers, {"state": state, "options": options.to_json()})

    def done() -> float:
        by_steps = state["step"] / steps if steps else 0.0
        return min(1.0, max(by_steps, state["seconds"] / budget if budget else 0.0))

    def validate() -> dict[str, float]:
        """Rank 0's figures; nothing on other ranks, and where it was broken off."""
        if log is None:
            state["validated"] = state["step"]
            return {}
        average.network.eval()
        try:
            with torch.inference_mode():
                result = stage.validate(average.network)
        except _Stopped:
            return {}
        if (
            state["validated"] != state["step"]
        ):  # a run that was killed in its last moments validates once more
            log.scalars("validation", result.figures, state["step"])
            log.panels(result.panels, state["step"])
        key = stage.best_by.lstrip("-")
        score = result.figures[key] * (-1.0 if stage.best_by.startswith("-") else 1.0)
        if state["best"] is None or score > state["best"]:
            state["best"] = score
            save_weights(folder / "best.safetensors", average.network, {**facts(), "figures": result.figures})
        state["validated"] = state["step"]
        tell("validated", state["step"], result.figures)
        return result.figures

    def lost(step: int) -> None:
        state["skipped"] += 1
        tell("skipped", step, {"skipped": state["skipped"]})
        if state["skipped"] > SKIPS_ALLOWED:
            raise VtcliError(
                f"{folder}: the loss was not finite in {state['skipped']} steps; lower --lr, or train "
                "without --amp. The last checkpoint is sound."
            )

    def stop_if_asked(seconds: float) -> None:
        nonlocal saved_at
        # Rank 0's clock counts for all, and a signal to any rank stops all.
        state["seconds"], stop = distributed.agree(seconds, stopped.is_set())
        if stop or time.monotonic() - saved_at > options.checkpoint_minutes * 60.0:
            save()
            saved_at = time.monotonic()
        if stop:
            raise Interrupted(f"stopped at step {state['step']}; go on with the same command and --resume")

    with ExitStack() as stack:
        if log is not None:
            stack.callback(log.close)
        stopped = stack.enter_context(_stop_signals())
        batches = stack.enter_context(_prefetched(stage, state["step"], device))

        def break_off(*_: object) -> None:
            if stopped.is_set():
                raise _Stopped

        stack.callback(average.network.register_forward_pre_hook(break_off).remove)
        begun = {"samples": float(stage.length), "batch_size": float(stage.batch_size)}
        tell("started", state["step"], begun)
        if 0 < state["step"] != state["validated"] and state["step"] % every == 0 and done() < 1.0:
            validate()  # the run was stopped before or in this one
            stop_if_asked(state["seconds"])
        network.train()
        while done() < 1.0:
            step = state["step"]
            batch = to_device(next(batches), device)
            torch.manual_seed(options.seed * 1_000_003 + step)
            for o in optimizers.values():
                for group in o.param_groups:
                    group["lr"] = learning_rate(lr, step, done(), options.warmup)
            with runtime.autocast(device, amp):
                loss, parts = stage.loss(forward, batch, done())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = nn.utils.clip_grad_norm_(network.parameters(), options.clip)
            finite = bool(torch.isfinite(norm))
            if finite:
                optimizer.step()
                distributed.average_buffers(network, device)
                average.update(network, step)
            else:
                average.restore_buffers(network)
                lost(step)
            with runtime.autocast(device, amp):
                against = stage.adversary_loss(batch) if finite else None
            if against is not None and stage.adversary is not None:
                optimizers["adversary"].zero_grad(set_to_none=True)
                against.backward()  # type: ignore[no-untyped-call]
                distributed.average_gradients(stage.adversary)
                size = nn.utils.get_total_norm(
                    p.grad for p in stage.adversary.parameters() if p.grad is not None
                )
                if bool(torch.isfinite(size)):
                    optimizers["adversary"].step()
                    parts["adversary"] = against
                else:
                    lost(step)
            state["step"] = step + 1
            stop_if_asked(time.monotonic() - clock)
            if finite:
                for key, value in {"loss": loss, **parts}.items():
                    running[key] = running.get(key, 0.0) + value.detach()  # type: ignore[assignment]
                counted += 1
            if counted == LOG_EVERY or (counted and done() >= 1.0):
                values = distributed.mean({k: float(v) / counted for k, v in running.items()})
                running, counted = {}, 0
                if log is not None:
                    rate = learning_rate(lr, step, done(), options.warmup)
                    log.scalars("training", {**values, "lr": rate}, step + 1)
                tell("step", step + 1, values)
            if state["step"] % every == 0 and done() < 1.0:
                validate()
                network.train()
                stop_if_asked(state["seconds"])
        figures = validate()
        save()
        if distributed.agree(0.0, first and not figures)[1]:
            raise Interrupted("stopped in the last validation; go on with the same command and --resume")
        if first:
            save_weights(folder / "final.safetensors", average.network, {**facts(), "figures": figures})
    distributed.barrier()  # rank 0 has written what the others' callers may read
    tell("done", state["step"], {}, folder)


def _step_limit(options: TrainOptions, stage: Stage) -> int | None:
    if options.steps is not None:
        return options.steps
    if options.epochs is not None:
        return max(1, round(options.epochs * stage.length / stage.batch_size))
    return None


def _groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    # Norms and biases are not decayed.
    many = [p for p in network.parameters() if p.ndim > 1 and p.requires_grad]
    few = [p for p in network.parameters() if p.ndim <= 1 and p.requires_grad]
    return [{"params": many, "weight_decay": decay}, {"params": few, "weight_decay": 0.0}]


@contextmanager
def _prefetched(stage: Stage, start: int, device: torch.device, ahead: int = 3) -> Iterator[Iterator[Batch]]:
    """Batches from `start` on, in order, made a few steps ahead; a failure there is raised here.

    One thread makes them, so that cores that compute have no rival; beside a GPU the cores have nothing else to do,
    and batches lie in pinned memory, from which copies do not hold up the step.
    """
    threads = 1 if device.type == "cpu" else max(1, min(8, default_jobs() - 1))

    def make(step: int) -> Batch:
        batch = stage.batch(step)
        return {k: v.pin_memory() for k, v in batch.items()} if device.type == "cuda" else batch

    pool = ThreadPoolExecutor(threads)
    ready = deque(pool.submit(make, start + i) for i in range(ahead + threads - 1))

    def batches() -> Iterator[Batch]:
        for step in itertools.count(start + len(ready)):
            ready.append(pool.submit(make, step))
            yield ready.popleft().result()

    try:
        yield batches()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, so that the step in progress ends before the run does."""
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    former = {s: signal.signal(s, lambda *_: stopped.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class _Log:
    """`log.jsonl`, and TensorBoard beside it where it is installed. Of a run that goes on from `step`, lines of
    later steps and validations, and one cut short, are taken out: they are made again."""

    def __init__(self, folder: Path, step: int, validated: int) -> None:
        self._path = folder / "log.jsonl"
        self._keep(step, validated)
        try:
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as problem:
            raise self._failed(problem) from problem
        self._board: Any = None
        with suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder), max_queue=100, purge_step=step or None)  # type: ignore[no-untyped-call]

    def _keep(self, step: int, validated: int) -> None:
        if not self._path.is_file():
            return
        lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = []
        for line in lines:
            group, made = _group_and_step(line)
            if made <= (validated if group == "validation" else step):
                kept.append(line)
        if kept != lines:
            text = "".join(f"{line}\n" for line in kept)
            write_atomically(self._path, lambda stream: stream.write(text.encode()))

    def _failed(self, problem: OSError) -> VtcliError:
        return VtcliError(f"{self._path}: cannot be written ({problem.strerror or problem})")

    def scalars(self, group: str, values: dict[str, float], step: int) -> None:
        line = {"step": step, "group": group, **{k: round(float(v), 6) for k, v in values.items()}}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as problem:
            raise self._failed(problem) from problem
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(f"{group}/{key}", value, step)

    def panels(self, panels: dict[str, Any], step: int) -> None:
        if self._board is not None:
            for name, image in panels.items():
                self._board.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        with suppress(OSError):  # told already; closing tries once more to write what is left
            self._file.close()
        if self._board is not None:
            with suppress(OSError):
                self._board.close()


def _group_and_step(line: str) -> tuple[str, float]:
    try:
        value = json.loads(line)
        return str(value["group"]), float(value["step"])
    except (ValueError, TypeError, KeyError):
        return "", math.inf
