"""The one training loop of all stages: AdamW, warm-up and cosine, clipping, EMA, validation, checkpoints. How much there
is of each says the recipe (`options.py`).

A run lives in `out/<stage>/`: `last.safetensors` (everything that resuming needs), `best.safetensors` and
`final.safetensors` (weights to use), `log.jsonl`, and TensorBoard's events where tensorboard is installed.

Under torchrun each rank makes its share of every batch, the gradients are averaged (`vtcli.core.system.distributed`),
and rank 0 alone validates and writes. Batch size, learning rate and the samples of a step are those of the global
batch: they do not depend on the number of ranks, which may change when a run is resumed.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from vtcli.core.data.store import digest
from vtcli.core.models.weights import save_weights
from vtcli.core.system import distributed, runtime
from vtcli.core.system.errors import Interrupted, VtcliError
from vtcli.core.system.files import sweep
from vtcli.core.system.locks import hold
from vtcli.core.training.captured import CapturedSteps
from vtcli.core.training.checkpoint import TrainState, changed_options, load_checkpoint, save_checkpoint
from vtcli.core.training.ema import EMA
from vtcli.core.training.logs import LossMeter, RunLog
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.prefetch import prefetched
from vtcli.core.training.signals import stop_requests
from vtcli.core.training.stage import Batch, Stage, to_device

LOG_EVERY = 20
"""Steps whose mean losses make one line of the log."""
SKIPS_ALLOWED = 50
"""Steps of a run that may be lost to a loss that is not finite."""


@dataclass
class ProgressEvent:
    """What a run reports: `kind` is "started", "changed", "step", "validated", "skipped" or "done"."""

    kind: str
    step: int
    steps: int | None
    """The run's bound in steps, where it has one."""
    progress: float
    """The share of the run that is done, from 0 to 1."""
    values: dict[str, float]
    words: str = ""
    """Of "changed": an option that differs from those that the run was begun with."""


class _ValidationStopped(Exception):
    """Thrown out of a validation when the run was asked to stop."""


def train(
    stage: Stage,
    options: TrainOptions,
    device: torch.device,
    report: Callable[[ProgressEvent], None],
    resume: bool,
) -> Path:
    """Train `stage` until its budget is used up; returns the run's folder.

    Raises Interrupted after Ctrl-C or SIGTERM (the step in progress ends first, a validation is broken off and made
    up for later, a checkpoint is written), VtcliError when the loss stays non-finite or another run is at work here.
    """
    folder = options.out / stage.name
    with hold(folder, f"vtcli train {stage.name}") if distributed.is_first() else nullcontext():
        Trainer(stage, options, device, report, folder).run(resume)
    return folder


def learning_rate(base: float, step: int, progress: float, warmup: int, final: float = 0.01) -> float:
    """Linear warm-up over `warmup` steps, then half a cosine from `base` to `final` times `base`.

    A function, not torch's LambdaLR: the cosine follows the run's progress, which may be one of time, and after
    a resumption the rate must be the same to the last bit.
    """
    cosine = final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    return base * min(1.0, (step + 1) / max(warmup, 1)) * cosine


class Trainer:
    """One run of one stage: the loop is `run`, one step of it `_step`."""

    def __init__(
        self,
        stage: Stage,
        options: TrainOptions,
        device: torch.device,
        report: Callable[[ProgressEvent], None],
        folder: Path,
    ) -> None:
        self.stage, self.options, self.device = stage, options, device
        self.report, self.folder = report, folder
        self.first = distributed.is_first()
        self.last = folder / "last.safetensors"
        self.saved_at = time.monotonic()
        self.state = TrainState()
        self.steps = _step_limit(options, stage)
        self.seconds = None if options.minutes is None else options.minutes * 60.0
        self.settings = settings = options.optimizer or options.defaults.optimizer
        amp = settings.amp if options.amp is None else options.amp
        self.amp = runtime.has_bfloat16(device) if amp is None else amp
        self.lr = options.lr or stage.lr
        self.validate_every = options.validate_every or stage.validate_every
        self.meter = LossMeter()
        self.captured: CapturedSteps | None = None

        stage.network = distributed.synchronised_norms(stage.network.to(device), device)
        layout = runtime.training_layout(device) if settings.channels_last else torch.contiguous_format
        self.network = stage.network.to(memory_format=layout)  # type: ignore[call-overload]
        self.ema = EMA(self.network, settings.ema)
        self.modules: dict[str, nn.Module] = {"network": self.network, "ema": self.ema.network}
        self.optimizers: dict[str, Optimizer] = {
            "network": AdamW(
                _parameter_groups(self.network, settings.weight_decay),
                lr=self.lr,
                betas=settings.betas,
                fused=device.type in ("cpu", "cuda"),
            )
        }
        if stage.discriminator is not None:
            self.modules["discriminator"] = stage.discriminator.to(device)
            self.optimizers["discriminator"] = AdamW(
                stage.discriminator.parameters(), lr=self.lr, betas=(0.5, 0.99)
            )

    @property
    def progress(self) -> float:
        """The share of the budget that is used up, by steps or by time, from 0 to 1."""
        by_steps = self.state.step / self.steps if self.steps else 0.0
        by_time = self.state.seconds / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_steps, by_time))

    def run(self, resume: bool) -> None:
        """Train from the start, or from the last checkpoint, to the end of the budget."""
        self._restore(resume)
        parallel = distributed.data_parallel(self.network, self.device)
        self.forward: nn.Module = torch.compile(parallel) if self.options.compile else parallel  # type: ignore[assignment]
        with ExitStack() as stack:
            self.log = self._open_log(stack)
            self.stop = stack.enter_context(stop_requests())
            batches = self._batches(stack)
            stack.enter_context(self._stoppable_validation())
            self._loop(batches)
            self._finish()
        distributed.barrier()  # rank 0 has written what the others' callers may read
        self._tell("done", {})

    def _batches(self, stack: ExitStack) -> Iterator[Batch]:
        """The steps' batches on the device; empty ones where they are made in the step itself."""
        if not self.options.resident:
            ready = stack.enter_context(prefetched(self.stage, self.state.step, self.device))
            return (to_device(batch, self.device) for batch in ready)
        self.stage.reside(self.device)
        self.captured = CapturedSteps(
            lambda: self._gradients(self.stage.resident_batch()),
            [self.modules[name] for name in self.optimizers],
            self.device,
        )
        return itertools.repeat({})

    def _restore(self, resume: bool) -> None:
        if resume:
            self.state = load_checkpoint(self.last, self.modules, self.optimizers)
            for words in changed_options(self.last, self._asked()):
                self._tell("changed", {}, words)
        elif self.last.exists():
            raise VtcliError(
                f"{self.folder}: holds a run already; resume it (--resume), or choose another folder (--out)"
            )

    def _open_log(self, stack: ExitStack) -> RunLog | None:
        if not self.first:
            return None
        sweep(self.folder)
        log = RunLog(self.folder, self.state.step, self.state.validated)
        stack.callback(log.close)
        return log

    def _loop(self, batches: Iterator[Batch]) -> None:
        clock = time.monotonic() - self.state.seconds
        self._tell(
            "started", {"samples": float(self.stage.length), "batch_size": float(self.stage.batch_size)}
        )
        if self._validation_is_due() and 0 < self.state.step != self.state.validated:
            self._validate()  # the run was stopped before or in this one
            self._stop_if_asked(self.state.seconds)
        self.network.train()
        while self.progress < 1.0:
            losses = self._step(next(batches))
            self.state.step += 1
            self._stop_if_asked(time.monotonic() - clock)
            self._log_losses(losses)
            if self._validation_is_due():
                self._validate()
                self.network.train()
                self._stop_if_asked(self.state.seconds)

    def _step(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the network and, where there is one, of the discriminator.

        Returns the losses by name. A step whose gradient is not finite changes nothing and returns none.
        """
        step, network = self.state.step, self.network
        torch.manual_seed(self.options.seed * 1_000_003 + step)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self._learning_rate(step)
        if self.captured is None:
            for optimizer in self.optimizers.values():
                optimizer.zero_grad(set_to_none=True)
            losses = self._gradients(batch)
        else:
            variant = step % self.stage.variants
            seed = self.options.seed * 1_000_003 + variant
            losses = self.captured((self.stage.phase(self.progress), variant), seed)
        norm = nn.utils.clip_grad_norm_(network.parameters(), self.settings.clip)
        if not bool(torch.isfinite(norm)):
            self.ema.restore_buffers(network)
            self._count_skip()
            return {}
        self.optimizers["network"].step()
        distributed.average_buffers(network, self.device)
        self.ema.update(network, step)
        if "discriminator" in losses and not self._discriminator_step():
            del losses["discriminator"]
        return losses

    def _gradients(self, batch: Batch) -> dict[str, Tensor]:
        """Forward and backward: the losses by name, and the gradients of network and discriminator, added to what is
        there."""
        with runtime.autocast(self.device, self.amp):
            loss, parts = self.stage.loss(self.forward, batch, self.progress)
        loss.backward()  # type: ignore[no-untyped-call]
        with runtime.autocast(self.device, self.amp):
            of_discriminator = self.stage.discriminator_loss(batch)
        if of_discriminator is None or self.stage.discriminator is None:
            return {"loss": loss, **parts}
        # The network's own loss went through the discriminator, too.
        torch._foreach_zero_([p.grad for p in self.stage.discriminator.parameters() if p.grad is not None])
        of_discriminator.backward()  # type: ignore[no-untyped-call]
        return {"loss": loss, **parts, "discriminator": of_discriminator}

    def _learning_rate(self, step: int) -> float:
        return learning_rate(self.lr, step, self.progress, self.settings.warmup, self.settings.final_lr)

    def _discriminator_step(self) -> bool:
        """The discriminator follows its gradient, if that is finite."""
        discriminator = self.stage.discriminator
        assert discriminator is not None
        distributed.average_gradients(discriminator)
        norm = nn.utils.get_total_norm(p.grad for p in discriminator.parameters() if p.grad is not None)
        if not bool(torch.isfinite(norm)):
            self._count_skip()
            return False
        self.optimizers["discriminator"].step()
        return True

    def _count_skip(self) -> None:
        self.state.skipped += 1
        self._tell("skipped", {"skipped": self.state.skipped})
        if self.state.skipped > SKIPS_ALLOWED:
            raise VtcliError(
                f"{self.folder}: the loss was not finite in {self.state.skipped} steps; lower the learning rate "
                "(--lr), or train in float32 (--no-amp). The last checkpoint is sound."
            )

    def _stop_if_asked(self, seconds: float) -> None:
        # Rank 0's clock counts for all, and a signal to any rank stops all.
        self.state.seconds, stop = distributed.agree(seconds, self.stop.is_set())
        if stop or time.monotonic() - self.saved_at > self.options.checkpoint_minutes * 60.0:
            self._save()
            self.saved_at = time.monotonic()
        if stop:
            raise Interrupted(f"stopped at step {self.state.step}; go on with the same command and --resume")

    def _log_losses(self, losses: dict[str, Tensor]) -> None:
        if losses:
            self.meter.add(losses)
        if self.meter.steps == LOG_EVERY or (self.meter.steps and self.progress >= 1.0):
            values = distributed.mean(self.meter.take())
            if self.log is not None:
                rate = self._learning_rate(self.state.step - 1)
                self.log.scalars("training", {**values, "lr": rate}, self.state.step)
            self._tell("step", values)

    def _validation_is_due(self) -> bool:
        return self.state.step % self.validate_every == 0 and self.progress < 1.0

    def _validate(self) -> dict[str, float]:
        """Validate the averaged weights: rank 0's metrics; none on other ranks, and where it was broken off."""
        if self.log is None:
            self.state.validated = self.state.step
            return {}
        self.ema.network.eval()
        try:
            with torch.inference_mode():
                result = self.stage.validate(self.ema.network)
        except _ValidationStopped:
            return {}
        if self.state.validated != self.state.step:  # a run killed in its last moments validates once more
            self.log.scalars("validation", result.metrics, self.state.step)
            self.log.panels(result.panels, self.state.step)
        self._keep_best(result.metrics)
        self.state.validated = self.state.step
        self._tell("validated", result.metrics)
        return result.metrics

    def _keep_best(self, metrics: dict[str, float]) -> None:
        score = metrics[self.stage.best_by.lstrip("-")] * (
            -1.0 if self.stage.best_by.startswith("-") else 1.0
        )
        if self.state.best is None or score > self.state.best:
            self.state.best = score if math.isfinite(score) else None
            self._save_weights("best.safetensors", metrics)

    @contextmanager
    def _stoppable_validation(self) -> Iterator[None]:
        """A stop request breaks a validation off at the network's next forward pass."""

        def stop(*_: object) -> None:
            if self.stop.is_set():
                raise _ValidationStopped

        hook = self.ema.network.register_forward_pre_hook(stop)
        try:
            yield
        finally:
            hook.remove()

    def _finish(self) -> None:
        metrics = self._validate()
        self._save()
        if distributed.agree(0.0, self.first and not metrics)[1]:
            raise Interrupted("stopped in the last validation; go on with the same command and --resume")
        if self.first:
            self._save_weights("final.safetensors", metrics)

    def _save(self) -> None:
        if self.first:
            save_checkpoint(self.last, self.modules, self.optimizers, self.state, self._asked())

    def _asked(self) -> dict[str, Any]:
        """The run's options as a checkpoint keeps them: with what holds where none was given, and the store's digest."""
        chosen = {
            "batch_size": self.stage.batch_size,
            "lr": self.lr,
            "store": digest(self.options.data, "train"),
        }
        return {**self.options.to_json(), **chosen}

    def _save_weights(self, name: str, metrics: dict[str, float]) -> None:
        metadata: dict[str, Any] = {
            **self.stage.metadata(),
            "size": list(self.stage.val_store.size),
            "steps": self.state.step,
            "samples": self.state.step * self.stage.batch_size,
            "seconds": round(self.state.seconds),
            "device": str(self.device),
            "seed": self.options.seed,
            "options": self.options.to_json(names_only=True),
            "figures": metrics,  # the header field's name in every weights file there is
        }
        save_weights(self.folder / name, self.ema.network, metadata)

    def _tell(self, kind: str, values: dict[str, float], words: str = "") -> None:
        if self.first:
            step = self.state.step
            self.report(ProgressEvent(kind, step, self.steps, self.progress, values, words))


def _step_limit(options: TrainOptions, stage: Stage) -> int | None:
    if options.steps is not None:
        return options.steps
    if options.epochs is not None:
        return max(1, round(options.epochs * stage.length / stage.batch_size))
    return None


def _parameter_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    # Norms and biases are not decayed.
    matrices = [p for p in network.parameters() if p.ndim > 1 and p.requires_grad]
    vectors = [p for p in network.parameters() if p.ndim <= 1 and p.requires_grad]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]
