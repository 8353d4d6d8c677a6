"""M_exp at work after the networks: θ aligned to it."""

from __future__ import annotations

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.models import alignment
from vtcli.core.models.presets import build_gmm
from vtcli.core.models.representation import mirror_representation
from vtcli.core.models.tps import POINTS, jacobian, sample, tps_grid
from vtcli.core.models.warping import Warp, both_ways, mean_predictions, mean_refinement
from vtcli.core.training.losses import soft_iou, ssim_map

SIZE = (128, 96)


def _box(top: int, bottom: int, left: int, right: int) -> Tensor:
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., top:bottom, left:right] = 1.0
    return mask


def _expected(clothes: Tensor) -> Tensor:
    """M_exp that is sure of upper clothes inside `clothes`, of background elsewhere."""
    out = torch.zeros(len(clothes), L.LABELS, *SIZE)
    out[:, L.UPPER_CLOTHES], out[:, L.BACKGROUND] = clothes[:, 0], 1.0 - clothes[:, 0]
    return out


def _iou(theta: Tensor, mask: Tensor, target: Tensor) -> float:
    return float(soft_iou(sample(mask, tps_grid(theta, SIZE), 0.0), target).mean())


def test_alignment_brings_the_garment_to_what_is_expected() -> None:
    mask, target = _box(30, 90, 24, 72), _box(34, 98, 20, 70)
    theta = torch.zeros(1, 2 * POINTS)
    moved = alignment.align(theta, mask, _expected(target))
    assert _iou(moved, mask, target) > _iou(theta, mask, target) + 0.05
    assert float(jacobian(tps_grid(moved, SIZE)).min()) > 0


def test_a_warp_has_a_grid_of_any_size() -> None:
    theta = 0.1 * torch.randn(2, 2 * POINTS, generator=torch.Generator().manual_seed(0))
    warp = Warp(theta, tps_grid(theta, SIZE), torch.ones(2, 3, *SIZE), torch.ones(2, 1, *SIZE), None)
    assert torch.equal(warp.grid_at(SIZE), warp.grid)
    finer = warp.grid_at((255, 191))  # of pixels and the middles between them
    assert finer.shape == (2, 255, 191, 2)
    torch.testing.assert_close(finer[:, ::2, ::2], warp.grid, atol=1e-5, rtol=0)


def test_alignment_does_not_fold_the_garment_whatever_is_expected() -> None:
    mask = _box(30, 90, 24, 72)
    sliver = _box(20, 24, 10, 90) + _box(24, 110, 46, 48)
    grid = tps_grid(alignment.align(torch.zeros(1, 2 * POINTS), mask, _expected(sliver)), SIZE)
    inside = sample(mask, grid, 0.0)[:, 0, 1:, 1:] > 0.5
    assert float(jacobian(grid)[inside].min()) > 0


def test_unfolded_goes_as_far_as_the_garment_does_not_fold() -> None:
    mask, start = _box(30, 90, 24, 72), torch.zeros(3, 2 * POINTS)
    moved = 0.02 * torch.randn(3, 2 * POINTS, generator=torch.Generator().manual_seed(0))
    moved[1:] *= 15.0
    out = alignment.unfolded(start, moved, mask.expand(3, 1, *SIZE))
    assert torch.equal(out[0], moved[0])
    grid = tps_grid(out, SIZE)
    inside = sample(mask.expand(3, 1, *SIZE), grid, 0.0)[:, 0, 1:, 1:] > 0.5
    assert float(jacobian(grid)[inside].min()) > 0
    assert float(jacobian(tps_grid(moved, SIZE)).amin()) < 0


def test_mirrored_pictures_give_the_mirrored_warp() -> None:
    torch.manual_seed(0)
    gmm = build_gmm("lite", aux=True).eval()
    torch.nn.init.normal_(gmm.regressor.linear.weight, std=0.2)
    torch.nn.init.normal_(gmm.refiner.regressor.linear.weight, std=0.2)
    person, garment = torch.rand(1, 22, *SIZE) * 2 - 1, torch.rand(1, 4, *SIZE)
    straight, turned = both_ways(person, garment), both_ways(mirror_representation(person), garment.flip(3))
    with torch.no_grad():
        theta, expected = mean_predictions(gmm, *straight)
        other, mirrored = mean_predictions(gmm, *turned)
    assert float(theta.abs().max()) > 0.01
    grid, back = tps_grid(theta, SIZE), tps_grid(other, SIZE).flip(2)
    assert torch.allclose(grid, back * torch.tensor([-1.0, 1.0]), atol=1e-4)
    assert expected is not None and mirrored is not None
    assert torch.allclose(expected, mirrored.flip(3)[:, L.FLIP_LABELS.tolist()], atol=1e-5)
    with torch.no_grad():
        refined = mean_refinement(gmm, *straight, expected, theta)
        other = mean_refinement(gmm, *turned, mirrored, other)
    assert float((refined - theta).abs().max()) > 0.01
    grid, back = tps_grid(refined, SIZE), tps_grid(other, SIZE).flip(2)
    assert torch.allclose(grid, back * torch.tensor([-1.0, 1.0]), atol=1e-4)


def test_alignment_leaves_what_agrees_and_what_nobody_expects() -> None:
    mask = _box(30, 90, 24, 72)
    theta = torch.zeros(1, 2 * POINTS)
    agreed = alignment.align(theta, mask, _expected(mask))
    assert _iou(agreed, mask, mask) > 0.97
    unseen = alignment.align(theta, mask, _expected(torch.zeros_like(mask)))
    assert torch.equal(unseen, theta)


def test_alignment_of_each_does_not_depend_on_the_others_and_works_without_gradients() -> None:
    masks = torch.cat([_box(30, 90, 24, 72), _box(20, 100, 10, 80)])
    targets = _expected(torch.cat([_box(34, 98, 20, 70), _box(24, 90, 20, 76)]))
    theta = 0.02 * torch.randn(2, 2 * POINTS, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = alignment.align(theta, masks, targets)
        alone = alignment.align(theta[1:], masks[1:], targets[1:])
    assert torch.allclose(together[1:], alone, atol=1e-4)
    assert not torch.allclose(together, theta, atol=1e-3)


def test_structure_is_ssim() -> None:
    dice = torch.Generator().manual_seed(0)
    a = torch.rand(1, 3, 64, 48, generator=dice) * 2 - 1
    b = (a + 0.3 * torch.randn(a.shape, generator=dice)).clamp(-1, 1)
    _, theirs = structural_similarity(
        (a[0].numpy() + 1) / 2, (b[0].numpy() + 1) / 2, win_size=7, data_range=1.0, channel_axis=0, full=True,
        use_sample_covariance=False,
    )  # fmt: skip
    ours = ssim_map(a, b, stride=2)[0].numpy()
    assert np.allclose(ours[:, 4:-4, 4:-4], theirs[:, 8:-8:2, 8:-8:2], atol=1e-5)
