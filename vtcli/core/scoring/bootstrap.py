"""Confidence intervals of the difference between two runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Confidence level of all intervals."""


@dataclass(frozen=True)
class Difference:
    """A run's metric less the first run's, with its 95 % interval by the paired bootstrap."""

    value: float
    low: float
    high: float


def paired_difference(
    mine: np.ndarray,
    first: np.ndarray,
    rounds: int,
    seed: int,
    metric: Callable[[np.ndarray], np.ndarray] = lambda sums: sums[..., 0],
) -> Difference:
    """Paired percentile bootstrap over pictures (Efron and Tibshirani 1993, ch. 13).

    `mine` and `first` hold (n, …) what each picture adds to the metric; both runs draw the same pictures with
    replacement, `rounds` times, by a generator seeded with `seed`. `metric` maps summed contributions divided
    by n to the metric itself; by default that is a plain mean of (n, 1).
    """
    count = len(mine)
    generator = np.random.default_rng(seed)
    shape = mine.shape[1:]
    flat = np.concatenate([mine.reshape(count, -1), first.reshape(count, -1)], axis=1).astype(np.float64)
    draws = np.empty(rounds)
    for i in range(rounds):
        weight = np.bincount(generator.integers(0, count, count), minlength=count)
        sums = weight @ flat / count
        a, b = (part.reshape(shape) for part in np.split(sums, 2))
        draws[i] = metric(a) - metric(b)
    a, b = (part.reshape(shape) for part in np.split(flat.mean(axis=0), 2))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, (tail, 1 - tail))
    return Difference(float(metric(a) - metric(b)), float(low), float(high))
