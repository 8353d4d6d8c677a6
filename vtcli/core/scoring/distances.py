"""Distances between two sets of feature vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from vtcli.core.scoring.bootstrap import LEVEL, Difference
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import write_atomically


@dataclass
class Statistics:
    """Mean (d,) and sample covariance (d, d) of a set of feature vectors, float64."""

    mu: np.ndarray
    sigma: np.ndarray
    deviations: np.ndarray | None = field(default=None, repr=False)

    @classmethod
    def of(cls, features: np.ndarray) -> Statistics:
        """Statistics of (n, d) features, n ≥ 2, as pytorch-fid takes them."""
        wide = features.astype(np.float64)
        mu = wide.mean(axis=0)
        few = len(wide) <= wide.shape[1]
        deviations = (wide - mu).T / np.sqrt(len(wide) - 1) if few else None
        return cls(mu, np.atleast_2d(np.cov(wide, rowvar=False)), deviations)

    @cached_property
    def factor(self) -> np.ndarray:
        """A (d, r) with A·Aᵀ = sigma: the pictures' deviations where they are few, else of sigma's rank."""
        if self.deviations is not None:
            return self.deviations
        values, vectors = np.linalg.eigh(self.sigma)
        keep = values > max(values[-1], 0) * len(values) * np.finfo(np.float64).eps
        return np.asarray(vectors[:, keep] * np.sqrt(values[keep]))

    def save(self, path: Path) -> None:
        """Write pytorch-fid's own `.npz` (arrays `mu` and `sigma`), whole or not at all."""
        write_atomically(path, lambda stream: np.savez_compressed(stream, mu=self.mu, sigma=self.sigma))

    @classmethod
    def load(cls, path: Path, length: int) -> Statistics:
        """Read a `.npz` that `save` or `pytorch-fid --save-stats` wrote, for features of `length`."""
        try:
            with np.load(path, allow_pickle=False) as archive:
                mu, sigma = (np.asarray(archive[name], dtype=np.float64) for name in ("mu", "sigma"))
        except FileNotFoundError:
            raise VtcliError(f"{path}: no such file") from None
        except Exception as problem:  # NumPy's reader of archives stumbles in many ways
            raise VtcliError(
                f"{path}: not FID statistics as pytorch-fid writes them ({problem})"
            ) from problem
        if mu.shape != (length,) or sigma.shape != (length, length):
            raise VtcliError(
                f"{path}: statistics of {'×'.join(map(str, mu.shape))} features, FID here needs {length}"
            )
        if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
            raise VtcliError(f"{path}: the statistics are not finite")
        return cls(mu, sigma)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|μa - μb|² + Tr(Σa + Σb - 2·(Σa·Σb)^½) (Dowson and Landau 1982), as in pytorch-fid.

    The trace of the root is taken from the eigenvalues of Aᵀ·Σb·A with A·Aᵀ = Σa: the same number as of
    pytorch-fid's matrix root, but defined for singular covariances (fewer pictures than features), and quick.
    """
    if a.deviations is None and b.deviations is not None:
        a, b = b, a  # the distance is symmetric, and that factor is there already
    eigenvalues = np.linalg.eigvalsh(a.factor.T @ b.sigma @ a.factor)
    root = np.sqrt(np.clip(eigenvalues, 0, None)).sum()
    difference = a.mu - b.mu
    return float(difference @ difference + np.trace(a.sigma) + np.trace(b.sigma) - 2 * root)


def frechet_difference(
    photos: Statistics, mine: np.ndarray, first: np.ndarray, rounds: int, seed: int
) -> Difference:
    """`frechet_distance` of `mine` less that of `first`, (n, d) vectors of the same pairs in the same order, with its
    95 % interval by the paired bootstrap over results; the photos stay.

    A draw with replacement holds fewer different pictures and lies farther from the photos. That is taken out: the
    interval is the draws' spread about their own mean, set about the difference.
    """
    generator = np.random.default_rng(seed)
    count = len(mine)
    sides = [_Resampled(photos, features) for features in (mine, first)]
    draws = np.empty(rounds)
    for i in range(rounds):
        weights = np.bincount(generator.integers(0, count, count), minlength=count) / count
        draws[i] = sides[0].distance(weights) - sides[1].distance(weights)
    even = np.full(count, 1.0 / count)
    value = sides[0].distance(even) - sides[1].distance(even)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws - draws.mean(), (tail, 1 - tail))
    return Difference(value, value + float(low), value + float(high))


class _Resampled:
    """Fréchet distance between photos and weighted results; what weights do not change is computed once."""

    def __init__(self, photos: Statistics, features: np.ndarray) -> None:
        self.features = features.astype(np.float64)
        self.lengths = np.square(self.features).sum(axis=1)
        self.projected = photos.factor.T @ self.features.T
        self.photos = photos

    def distance(self, weights: np.ndarray) -> float:
        """`weights` (n,) sum to 1."""
        count = len(weights)
        scale = count / (count - 1)
        mean, middle = weights @ self.features, self.projected @ weights
        product = (self.projected * weights) @ self.projected.T - np.outer(middle, middle)
        root = np.sqrt(np.clip(np.linalg.eigvalsh(product * scale), 0, None)).sum()
        spread = (weights @ self.lengths - mean @ mean) * scale
        difference = self.photos.mu - mean
        return float(difference @ difference + np.trace(self.photos.sigma) + spread - 2 * root)


def kernel_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased squared MMD of (n, d) and (m, d) features, kernel (x·y/d + 1)³ (Bińkowski et al., ICLR 2018).

    Over all pictures at once instead of random subsets: the same expectation, less variance. May be negative.
    """
    x, y = x.astype(np.float64), y.astype(np.float64)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray((a @ b.T / a.shape[1] + 1) ** 3)

    def within(a: np.ndarray) -> float:
        k = kernel(a, a)
        return float((k.sum() - np.trace(k)) / (len(a) * (len(a) - 1)))

    return within(x) + within(y) - 2 * float(kernel(x, y).mean())
