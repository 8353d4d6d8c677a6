"""Threads prepare batches ahead of the training step."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from vtcli.core.system.workers import default_jobs
from vtcli.core.training.stage import Batch, Stage

AHEAD = 3
"""Batches that are ready or being made while a step runs, beside one for each further thread."""
MOST_THREADS = 8
"""Threads beside a GPU; more than these no longer speed up the reading of a store."""


@contextmanager
def prefetched(stage: Stage, start: int, device: torch.device) -> Iterator[Iterator[Batch]]:
    """The stage's batches from step `start` on, in order; an error in a thread is raised by `next` of its batch.

    On a CPU one thread makes them, so that the step keeps the cores. Beside a GPU the cores have nothing else to
    do, and batches lie in pinned memory, from which copies do not hold up the step.
    """
    threads = 1 if device.type == "cpu" else max(1, min(MOST_THREADS, default_jobs() - 1))

    def make(step: int) -> Batch:
        batch = stage.batch(step)
        return {k: v.pin_memory() for k, v in batch.items()} if device.type == "cuda" else batch

    pool = ThreadPoolExecutor(threads)
    ready = deque(pool.submit(make, start + i) for i in range(AHEAD + threads - 1))

    def batches() -> Iterator[Batch]:
        for step in itertools.count(start + len(ready)):
            ready.append(pool.submit(make, step))
            yield ready.popleft().result()

    try:
        yield batches()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
