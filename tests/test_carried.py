"""What people carry in front of their tops: drawn for training, found by the head, kept by the composer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_cut import _joints, _person

from vtcli.core.data import labels as L
from vtcli.core.training.things import put_thing
from vtcli.core.tryon.annotate import Annotation
from vtcli.core.tryon.carried import LEAST, carried_things


def _seen(chances: np.ndarray) -> Annotation:
    return Annotation(
        torch.zeros(1, L.LABELS, 256, 192),
        torch.zeros(1, 18, 3),
        torch.from_numpy(chances.astype(np.float32))[None],
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_drawn_thing_is_where_its_mask_says(seed: int) -> None:
    parse = _person(110, 150)
    parse[70:90, 80:110] = L.HAIR
    before = np.full((256, 192, 3), 200, np.uint8)
    photo = before.copy()
    seen = put_thing(np.random.default_rng(seed), photo, parse, _joints(), [])
    assert seen is not None and seen.dtype == bool
    changed = np.abs(photo.astype(int) - before).max(2)
    assert not (seen & (parse == L.HAIR)).any()  # hair lies in front of a strap
    away = ~(torch.nn.functional.max_pool2d(torch.from_numpy(seen)[None].float(), 25, 1, 12)[0] > 0).numpy()
    assert changed[away].max(initial=0) <= 2
    nobody = put_thing(np.random.default_rng(seed), photo, parse, np.zeros((18, 3), np.float32), [])
    assert nobody is None


def test_a_thing_is_certain_somewhere_and_not_too_small() -> None:
    chances = np.zeros((256, 192))
    chances[50:150, 60:64] = 0.6  # a strap, surely one at its end
    chances[140:150, 60:64] = 0.95
    chances[50:150, 120:124] = 0.7  # never sure
    chances[200 : 200 + LEAST // 5, 100:104] = 0.99  # a button
    found = carried_things(_seen(chances))
    assert found[50:150, 60:64].all() and found.sum() == 400


def test_nobody_looked_nothing_found() -> None:
    alone = Annotation(torch.zeros(1, L.LABELS, 256, 192), torch.zeros(1, 18, 3))
    assert not carried_things(alone).any()
