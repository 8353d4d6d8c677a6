"""The TOM's losses: multi-scale SSIM, and where M_cm is held to the garment."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from vtcli.core.models.relighting import pattern, relighting_offset
from vtcli.core.training.losses import multi_scale_ssim_loss, ssim_map

SIZE = (128, 96)


def _garment(mask: Tensor, stripes: bool = False) -> Tensor:
    """A dark garment on white, plain or with stripes of four pixels."""
    cloth = torch.ones(1, 3, *SIZE)
    colour = torch.full((1, 3, *SIZE), -0.6)
    if stripes:
        colour[:, :, torch.arange(SIZE[0]) // 4 % 2 == 0] = 0.6
    return torch.where(mask > 0, colour, cloth)


@pytest.fixture
def mask() -> Tensor:
    out = torch.zeros(1, 1, *SIZE)
    out[..., 24:104, 20:76] = 1.0
    return out


def test_plain_cloth_has_no_pattern_whatever_its_outline(mask: Tensor) -> None:
    assert float(pattern(_garment(mask), mask).max()) == 0.0


def test_stripes_and_prints_are_patterns_inside_of_the_garment(mask: Tensor) -> None:
    striped = pattern(_garment(mask, stripes=True), mask)
    assert float(striped[..., 32:96, 28:68].min()) == 1.0
    assert float(striped[..., :8, :].max()) == 0.0
    printed = _garment(mask)
    printed[..., 50:60, 40:56] = 0.8
    found = pattern(printed, mask)
    assert float(found[..., 50:60, 40:56].min()) == 1.0
    assert float(found[..., 90:100, 24:72].max()) == 0.0


def test_plain_cloth_takes_the_renderings_brightness_but_not_its_colour(mask: Tensor) -> None:
    cloth = _garment(mask)
    rendered = cloth + 0.3 * mask * (torch.arange(SIZE[0]) > 64)[:, None]
    rendered[:, 0] += 0.1 * 0.587 * mask[:, 0]  # redder and less green: as bright as before
    rendered[:, 1] -= 0.1 * 0.299 * mask[:, 0]
    lit = cloth + relighting_offset(rendered, cloth, mask, mask)
    assert torch.allclose(lit[..., 32:56, 28:68], cloth[..., 32:56, 28:68], atol=1e-3)
    assert torch.allclose(lit[..., 72:96, 28:68], cloth[..., 72:96, 28:68] + 0.3, atol=1e-3)


def test_light_leaves_stripes_and_prints_their_contrast(mask: Tensor) -> None:
    striped = _garment(mask, stripes=True)
    blurred = torch.where(mask > 0, torch.zeros(()), striped).requires_grad_()
    added = relighting_offset(blurred, striped, mask, mask)
    assert float((striped + added.detach())[0, 0, 40:88, 32:64].std()) > 0.9 * float(
        striped[0, 0, 40:88, 32:64].std()
    )
    printed = _garment(mask)
    printed[..., 50:60, 40:56] = 0.8
    lit = printed + relighting_offset(_garment(mask), printed, mask, mask)
    assert float(lit[..., 52:58, 42:54].mean() - lit[..., 36:42, 42:54].mean()) > 0.6 * 1.4
    added.sum().backward()
    assert blurred.grad is not None and float(blurred.grad[..., 40:88, 32:64].min()) > 0


def test_multi_scale_ssim_sees_what_one_fine_scale_does_not() -> None:
    rng = torch.Generator().manual_seed(0)
    photo = torch.rand(2, 3, 16, 12, generator=rng) * 2 - 1
    photo = torch.nn.functional.interpolate(photo, size=(256, 192), mode="bilinear")
    noisy = (photo + 0.1 * torch.randn(photo.shape, generator=rng)).clamp(-1, 1)
    assert multi_scale_ssim_loss(photo, photo).abs().max() < 1e-5
    missing = multi_scale_ssim_loss(noisy, photo)
    assert missing.shape == (2,) and bool((missing > 0.01).all())
    shifted = photo.roll(12, dims=3)
    assert bool((multi_scale_ssim_loss(shifted, photo) > missing).all())


def test_multi_scale_ssim_gives_a_gradient_at_every_scale() -> None:
    photo = torch.rand(1, 3, 256, 192, generator=torch.Generator().manual_seed(1)) * 2 - 1
    generated = torch.zeros_like(photo, requires_grad=True)
    multi_scale_ssim_loss(generated, photo).sum().backward()
    assert generated.grad is not None and bool(torch.isfinite(generated.grad).all())
    assert float(generated.grad.abs().max()) > 0


def test_ssim_map_is_ssim() -> None:
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(1, 3, 64, 48, generator=rng) * 2 - 1
    b = (a + 0.3 * torch.randn(a.shape, generator=rng)).clamp(-1, 1)
    _, theirs = structural_similarity(
        (a[0].numpy() + 1) / 2, (b[0].numpy() + 1) / 2, win_size=7, data_range=1.0, channel_axis=0, full=True,
        use_sample_covariance=False,
    )  # fmt: skip
    ours = ssim_map(a, b, stride=2)[0].numpy()
    assert np.allclose(ours[:, 4:-4, 4:-4], theirs[:, 8:-8:2, 8:-8:2], atol=1e-5)
