"""Dense flow: offsets that any resolution can read, folds taken out, the losses, and what training is given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.models.flow import (
    folds,
    identity_grid,
    offset_grid,
    resize_offsets,
    spline_offsets,
    unfold,
)
from vtcli.core.models.tps import jacobian, sample, tps_grid
from vtcli.core.models.warping import Warp
from vtcli.core.training import augment
from vtcli.core.training.flow_losses import (
    bending_loss,
    flow_loss,
    picture_loss,
    similarity_loss,
    true_offsets,
    truth_error,
)
from vtcli.core.training.pairs import Pairs

SIZE = (128, 96)


def _box(top: int, bottom: int, left: int, right: int) -> Tensor:
    mask = torch.zeros(1, 1, *SIZE)
    mask[:, :, top:bottom, left:right] = 1.0
    return mask


def _wave(strength: float) -> Tensor:
    """Offsets (1, 2, 64, 48) that swing across the picture."""
    y = torch.linspace(0, 4 * torch.pi, 64)[:, None].expand(64, 48)
    x = torch.linspace(0, 4 * torch.pi, 48)[None].expand(64, 48)
    return strength * torch.stack([x.sin() * y.cos(), y.sin()])[None]


def test_no_offsets_leave_a_picture_as_it_is() -> None:
    picture = torch.rand(1, 3, *SIZE)
    grid = offset_grid(resize_offsets(torch.zeros(1, 2, 64, 48), SIZE, smooth=True))
    torch.testing.assert_close(sample(picture, grid), picture, atol=1e-4, rtol=0)


def test_spline_offsets_are_the_spline() -> None:
    theta = 0.1 * torch.randn(2, 50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        offset_grid(spline_offsets(theta, SIZE)), tps_grid(theta, SIZE), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("dense", [False, True])
def test_a_warp_has_a_grid_of_any_size(dense: bool) -> None:
    theta = 0.05 * torch.randn(1, 50, generator=torch.Generator().manual_seed(0))
    offsets = _wave(0.02) if dense else None
    grid = (
        tps_grid(theta, SIZE) if offsets is None else offset_grid(resize_offsets(offsets, SIZE, smooth=True))
    )
    warp = Warp(theta, offsets, grid, torch.ones(1, 3, *SIZE), torch.ones(1, 1, *SIZE), None)
    assert torch.equal(warp.grid_at(SIZE), warp.grid)
    finer = warp.grid_at((255, 191))  # of pixels and the middles between them
    assert finer.shape == (1, 255, 191, 2)
    torch.testing.assert_close(finer[:, ::2, ::2], warp.grid, atol=2e-3 if dense else 1e-5, rtol=0)


def test_folds_are_smoothed_away_and_the_rest_stays() -> None:
    mask = _box(30, 100, 20, 76).expand(3, 1, *SIZE)
    offsets = torch.cat([_wave(0.02), _wave(0.02), _wave(2.0)])
    offsets[1, :, 30, 20] += 0.3  # one cell jumps
    assert folds(offsets, mask).tolist() == [False, True, True]
    spline = torch.zeros(3, 2, 64, 48)
    out = unfold(offsets, mask, spline)
    assert torch.equal(out[0], offsets[0])
    assert not folds(out, mask).any()
    grid = offset_grid(resize_offsets(out, SIZE, smooth=True))
    inside = sample(mask, grid, 0.0)[:, 0, 1:, 1:] > 0.5
    assert float(jacobian(grid)[inside].min()) > 0
    assert float(out[1].abs().max()) > 0.015  # smoothed, not thrown away
    alone = unfold(offsets[1:2], mask[1:2], spline[1:2])
    torch.testing.assert_close(alone, out[1:2], atol=1e-6, rtol=0)


def test_bending_counts_turns_for_nothing_and_waves_for_much() -> None:
    worn = torch.ones(1, 1, 64, 48)
    identity = identity_grid((64, 48), torch.device("cpu"))
    x, y = identity * torch.tensor([47 / 2, 63 / 2]).view(2, 1, 1)  # in cells, which are square
    turn = torch.tensor(0.3)
    turned = torch.stack([turn.cos() * x - turn.sin() * y, turn.sin() * x + turn.cos() * y])
    offsets = (turned / torch.tensor([47 / 2, 63 / 2]).view(2, 1, 1) - identity)[None]
    assert float(bending_loss(offsets, worn, worn)) < 0.02 < float(bending_loss(_wave(0.05), worn, worn))
    assert float(similarity_loss(offsets, worn)) < 0.01
    squeezed = torch.stack([0.5 * identity[0], torch.zeros(64, 48)])[None]
    assert float(similarity_loss(squeezed, worn)) > 0.4


def _pairs(correspondence: Tensor) -> Pairs:
    generator = torch.Generator().manual_seed(0)
    cloth = torch.rand(1, 3, 256, 192, generator=generator) * 2 - 1
    mask = F.interpolate(_box(20, 110, 15, 80), size=(256, 192))
    parse = (5 * mask[:, 0]).to(torch.uint8)
    joints = torch.zeros(1, 18, 3)
    return Pairs(cloth, parse, cloth, parse, cloth, mask, mask, joints, correspondence)


def test_truth_of_the_identity_is_no_offset() -> None:
    rows, columns = torch.meshgrid(torch.arange(0, 256, 2), torch.arange(0, 192, 2), indexing="ij")
    places = torch.stack([columns, rows], -1).float()[None]
    places[:, :20] = torch.nan
    known, truth = true_offsets(_pairs(places), SIZE)
    assert not known[:, :, :20].any() and known[:, :, 20:].all()
    assert float((truth * known).abs().max()) < 1e-6
    error = truth_error(torch.zeros(1, 2, 64, 48), truth, known)
    moved = truth_error(torch.full((1, 2, 64, 48), 0.1), truth, known)
    assert float(error) < 0.6 and float(moved) > 10.0


def test_the_true_flow_costs_less_than_another() -> None:
    places = torch.full((1, 128, 96, 2), torch.nan)
    pairs = _pairs(places)
    garment = F.avg_pool2d(
        torch.cat([pairs.cloth * pairs.front_mask + 1 - pairs.front_mask, pairs.front_mask], 1), 2
    )
    good, bad = (
        flow_loss([offsets], torch.zeros(1, 50), None, garment, garment, pairs)[0]
        for offsets in (torch.zeros(1, 2, 64, 48), torch.full((1, 2, 64, 48), 0.1))
    )
    assert float(good) < 0.1 < float(bad)
    counted = torch.ones(1, 1, *SIZE)
    assert float(picture_loss(garment, torch.zeros(1, 2, 64, 48), garment, counted)[0]) < 1e-3


def test_a_moved_correspondence_still_points_at_the_same_cloth() -> None:
    """Person and shop photo are moved by two matrices; what a pixel showed before it shows after."""
    rng = np.random.default_rng(0)
    cloth = np.zeros((256, 192, 3), np.uint8)
    cloth[..., 0], cloth[..., 1] = np.arange(192)[None], np.arange(256)[:, None]
    rows, columns = np.mgrid[0:256:2, 0:192:2].astype(np.float32)
    places = np.stack([columns * 0.8 + 12, rows * 0.9 + 8], -1)
    places[:10] = np.nan
    move = augment.affine(rng, (96, 128), 256, (256, 192), (0.93, 1.1), 0.04, 3.0)
    shift = augment.mirror(augment.affine(rng, (96, 128), 256, (256, 192), (0.92, 1.06), 0.03, 2.0), 192)
    moved = augment.warp_correspondence(places, move, shift)
    for y, x in ((40, 30), (64, 48), (100, 60)):
        before = np.linalg.inv(np.vstack([move, [0, 0, 1]])) @ (2 * x, 2 * y, 1)
        place = np.array([before[0] * 0.8 + 12, before[1] * 0.9 + 8])
        assert np.abs(moved[y, x] - (shift[:, :2] @ place + shift[:, 2])).max() < 2.1
    assert np.isnan(moved).any()
