"""What the loop asks of a stage: its network, its batches, its loss and its metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vtcli.core.data.store import PreparedStore
from vtcli.core.system import distributed
from vtcli.core.system.errors import UsageProblem
from vtcli.core.training.options import TrainOptions

Batch = dict[str, Tensor]
Rows = tuple[PreparedStore, np.ndarray]
"""A store, and the positions of some of its pairs."""


@dataclass
class Validation:
    """Metrics of one validation, and panels (name → uint8 image (H, W, 3)) for TensorBoard."""

    metrics: dict[str, float]
    panels: dict[str, np.ndarray] = field(default_factory=dict)


class Stage(ABC):
    """One network in training. Subclasses set `name`, `network`, `length`, `batch_size`, `lr` and `best_by`.

    `batch_size` is that of the global batch, whatever the number of ranks; each rank makes its own share of it.
    """

    name: str
    network: nn.Module
    discriminator: nn.Module | None = None
    length: int
    batch_size: int
    lr: float
    best_by: str
    """The metric whose highest value marks the best weights; a leading "-" means the lowest."""
    validate_every: int = 500
    """Steps between validations."""
    variants: int = 1
    """How many captured steps take turns: a captured step always has the same of what is drawn from the CPU's generator."""

    def __init__(self, options: TrainOptions, val: Rows, length: int) -> None:
        self.options = options
        self.val_store, self.val_rows = val
        self.length = length

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """This rank's share of the step's batch, on the CPU. Each sample is a function of the seed, `step` and
        its position alone, so that runs can be resumed, with another number of ranks as well."""

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch, progress: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to descend and its named parts; `progress` runs from 0 to 1 over the run."""

    def discriminator_loss(self, batch: Batch) -> Tensor | None:
        """The discriminator's loss on the pictures of the last `loss`, or None while it is off."""
        return None

    def reside(self, device: torch.device) -> None:
        """Take the training samples into the device's memory, for `resident_batch`."""
        raise UsageProblem(f"--resident: not for the {self.name}")

    def resident_batch(self) -> Batch:
        """A batch made on the device from torch's generators; like `batch`, but with float pictures and masks."""
        raise NotImplementedError

    def phase(self, progress: float) -> int:
        """Which way `loss` takes at `progress`: captured steps of one phase are of no use in another."""
        return 0

    @abstractmethod
    def validate(self, network: nn.Module) -> Validation:
        """Metrics of `network` (in eval mode, no gradients) on the validation pairs."""

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """What the header of the weights file says of the network (preset, aux, keep, …)."""


def share_of_batch(batch_size: int, parts: int = 1) -> np.ndarray:
    """Positions in the global batch of the samples that this rank makes: every nth, and so the same number of
    each of the batch's `parts` equal parts. UsageProblem where the ranks cannot share it equally."""
    rank, world = distributed.rank(), distributed.world()
    if batch_size % (world * parts):
        raise UsageProblem(
            f"--batch-size {batch_size}: is that of all {world} processes together, which must share "
            f"{'each half of ' if parts == 2 else ''}it equally; take a multiple of {world * parts}"
        )
    return np.arange(rank, batch_size, world)


class Order:
    """Which samples make up which batch: a new seeded permutation each epoch."""

    def __init__(self, length: int, batch_size: int, seed: int) -> None:
        self.length, self.batch_size, self.seed = length, batch_size, seed

    def rows(self, step: int) -> np.ndarray:
        """Indices of the samples of batch `step`, shape (batch_size,)."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        return np.array(
            [
                _permutation(self.seed, int(p) // self.length, self.length)[int(p) % self.length]
                for p in positions
            ]
        )


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, length: int) -> np.ndarray:
    return np.random.default_rng([seed, 1, epoch]).permutation(length)


def sample_rng(seed: int, step: int, position: int) -> np.random.Generator:
    """The random numbers of the sample at `position` of a step's global batch."""
    return np.random.default_rng([seed, 2, step, position])


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch, without waiting where the device allows it."""
    if device.type == "cuda":
        return {k: v.pin_memory().to(device, non_blocking=True) for k, v in batch.items()}
    return {k: v.to(device) for k, v in batch.items()}
