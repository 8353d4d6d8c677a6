"""Labels and masks are measured by one rule, in training, scoring and benchmarks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vtcli.core.data import labels as L
from vtcli.core.data.label_metrics import CLASSES, LabelCounts, class_overlaps, mask_iou, mean_iou, pck


def test_overlaps_are_those_of_sets_of_pixels() -> None:
    rng = np.random.default_rng(0)
    predicted, truth = rng.integers(0, L.LABELS, (2, 40, 30), np.uint8)
    truth[:5] = L.IGNORE
    expected = []
    for members in CLASSES.values():
        ours = set(map(tuple, np.argwhere(np.isin(predicted, members) & (truth != L.IGNORE))))
        theirs = set(map(tuple, np.argwhere(np.isin(truth, members))))
        expected.append((len(ours & theirs), len(ours | theirs)))
    assert class_overlaps(predicted, truth).tolist() == [list(e) for e in expected]
    predicted[10] = 77  # no label at all: wrong, like any other
    assert class_overlaps(predicted, truth).shape == (6, 2)


def test_the_two_arms_are_one_class() -> None:
    """One arm taken for the other is right, and a long arm weighs more than a short one."""
    truth = torch.tensor([[L.LEFT_ARM] * 6 + [L.RIGHT_ARM] * 2])
    counts = LabelCounts()
    counts.add(torch.where(truth == L.RIGHT_ARM, L.BACKGROUND, L.RIGHT_ARM), truth)
    metrics = counts.metrics()
    assert metrics["iou_arms"] == pytest.approx(6 / 8)
    assert metrics["accuracy"] == 0


def test_mean_iou_leaves_out_classes_that_do_not_occur_and_unknown_pixels() -> None:
    truth = torch.tensor([[L.HAIR, L.HAIR, L.FACE, L.IGNORE]])
    counts = LabelCounts()
    counts.add(torch.tensor([[L.HAIR, L.FACE, L.FACE, L.PANTS]]), truth)
    metrics = counts.metrics()
    assert metrics["mean_iou"] == pytest.approx((1 / 2 + 1 / 2) / 2)
    assert metrics["accuracy"] == pytest.approx(2 / 3)
    assert metrics["iou_upper_clothes"] == 0
    halves = LabelCounts()
    for i in range(4):
        halves.add(torch.tensor([[L.HAIR, L.FACE, L.FACE, L.PANTS]])[:, i], truth[:, i])
    assert halves.metrics() == metrics  # summed over pictures, not averaged
    assert mean_iou(np.zeros((3, 6, 2))).tolist() == [0, 0, 0]


def test_mask_iou() -> None:
    a = torch.zeros(3, 4, 4, dtype=torch.bool)
    b = a.clone()
    a[0, :2], b[0, 1:3] = True, True
    a[1, 0, 0] = True
    assert mask_iou(a, b).tolist() == [pytest.approx(1 / 3), 0, 1]


def test_pck_counts_joints_within_a_tenth_of_the_torso() -> None:
    truth = torch.zeros(2, L.JOINTS, 3)
    for joint, place in ((L.NECK, (50, 20)), (L.R_HIP, (40, 120)), (L.L_HIP, (60, 120)), (L.NOSE, (50, 10))):
        truth[0, joint, :2] = torch.tensor(place)
    truth[1, L.NOSE, :2] = 10.0  # no torso: not counted
    predicted = truth.clone()
    predicted[0, L.NOSE, 0] += 9.0
    predicted[0, L.R_HIP, 0] += 11.0
    assert pck(predicted, truth) == (3, 4)
