"""Necklines are even: the curve through a torn outline, and no curve through a print."""

from __future__ import annotations

import numpy as np
import pytest

from vtcli.core.garments.neckline_curve import evenness, under_neckline


def _garment() -> np.ndarray:
    """Bool (64, 96), its shoulders falling away from the middle."""
    rows, columns = np.mgrid[:64, :96]
    return (abs(columns - 48) < 40) & (rows > 10 + abs(columns - 48) * 0.15)


def _opening(half: float, depth: float, roundness: float) -> np.ndarray:
    rows, columns = np.mgrid[:64, :96]
    away = np.clip(abs(columns - 48) / half, 0, 1)
    return (
        _garment() & (rows < 10 + half * 0.15 + depth * (1 - away**roundness)) & (abs(columns - 48) <= half)
    )


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize(
    ("half", "depth", "roundness"), [(14, 22, 1.0), (16, 14, 2.0), (22, 10, 3.0), (12, 18, 4.0)]
)
def test_a_torn_outline_becomes_the_necklines(half: float, depth: float, roundness: float) -> None:
    mask, truth = _garment(), _opening(half, depth, roundness)
    rng = np.random.default_rng(3)
    logits = np.where(truth, 2.0, -2.0) + rng.normal(0, 0.5, truth.shape)
    bite = truth.copy()
    bite[12:20, 52:58], logits[12:20, 52:58] = False, -0.5  # a label
    bite[22:28, 40:44], logits[22:28, 40:44] = True, 0.5  # and a fold
    seen = bite & mask
    found = under_neckline(logits, seen, mask)
    assert _overlap(found, truth) > max(0.88, _overlap(seen, truth))


def test_a_print_is_no_neckline() -> None:
    mask, seen = _garment(), np.zeros((64, 96), bool)
    seen[11:40:3, 40:56] = True
    seen[30:44, 50:70] = True
    assert not under_neckline(np.where(seen, 2.0, -2.0), seen, mask).any()
    assert not under_neckline(np.full((64, 96), -3.0), np.zeros((64, 96), bool), mask).any()


def test_evenness_tells_a_neckline_from_a_leak() -> None:
    mask, bowl = _garment(), _opening(16, 14, 2.0)
    leak = bowl.copy()
    leak[20:44, 58:66] = mask[20:44, 58:66]
    leak[12:18, 36:44] = False
    assert evenness(bowl, mask) > 0.88 > 0.75 > evenness(leak, mask)


def test_of_a_shallow_rim_the_label_is_a_part() -> None:
    """Two pieces of an inside, three rows high, to both sides of a label."""
    mask = _garment()
    mask[:12] = False
    rim = mask & (np.arange(64)[:, None] < 16)
    seen = np.zeros_like(mask)
    seen[12:15, 34:44] = seen[12:15, 52:62] = True
    found = under_neckline(np.where(seen, 2.0, -2.0), seen, mask)
    assert found[12:15, 36:60].all() and not (found & ~rim).any()
