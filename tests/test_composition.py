"""Equation (1), and what `keep` lets change."""

from __future__ import annotations

import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.models.common import TOMOutput
from vtcli.core.models.composition import HELD, held_garment, try_on, within

SIZE = (128, 96)


def _box(top: int, bottom: int, left: int, right: int) -> Tensor:
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., top:bottom, left:right] = 1.0
    return mask


def test_equation_one_and_the_photo_outside_of_the_region() -> None:
    garment, rendering, photo = (torch.full((1, 3, *SIZE), value) for value in (0.8, -0.4, 0.1))
    mask = 0.25 * _box(0, 64, 0, 96)
    tryon = try_on(mask, garment, rendering)
    assert torch.allclose(tryon[:, :, :64], torch.tensor(0.25 * 0.8 - 0.75 * 0.4))
    assert torch.equal(tryon[:, :, 64:], rendering[:, :, 64:])
    result = within(_box(0, 128, 0, 48), tryon, photo)
    assert torch.equal(result[..., :48], tryon[..., :48]) and torch.equal(result[..., 48:], photo[..., 48:])


def test_the_garment_is_held_where_it_lies_and_clothes_are_expected() -> None:
    mask = _box(30, 100, 25, 70)
    expected = torch.zeros(1, L.LABELS, *SIZE)
    expected[:, L.UPPER_CLOTHES] = _box(30, 100, 25, 50)[:, 0]
    cloth = torch.ones(1, 3, *SIZE)
    least = held_garment(mask, expected)
    assert torch.allclose(least[..., 35:95, 30:50], torch.full((), HELD))
    assert float(least[..., 50:].max()) == 0.0 and float((least * (1.0 - mask)).max()) == 0.0
    assert float(least[..., 30:100, 25].max()) < HELD / 2  # at its edge the rendering is free
    free = TOMOutput(torch.zeros_like(cloth), 0.3 * mask, None, torch.zeros_like(mask))
    held = free.holding(least, cloth, mask)
    assert torch.equal(held.composition_mask, torch.maximum(0.3 * mask, least))
    # The garment, brighter than the rendering, takes its brightness.
    assert held.relighting is not None and float(held.relighting[..., 45:85, 35:45].max()) < -0.9
