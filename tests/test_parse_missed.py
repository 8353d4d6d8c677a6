"""What a given parse map misses is seen by the parser, and changed with the rest of the garment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vtcli.core.data import labels as L
from vtcli.core.data.parse_missed import add_missed
from vtcli.core.models.load import load_parser
from vtcli.core.models.weights import stage_file
from vtcli.core.tryon.photos.annotate import Annotation, Annotator

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"


@pytest.fixture(scope="module")
def seen() -> Annotation:
    photo = sorted((SAMPLES / "test" / "image").glob("*.jpg"))[0]
    annotator = Annotator(load_parser(stage_file(None, "parser")), torch.device("cpu"))
    return annotator.look(np.asarray(Image.open(photo).convert("RGB")))


def _without(labels: torch.Tensor, part: torch.Tensor, top: int) -> torch.Tensor:
    """`labels` whose top is called `top`, and `part` (1, H, W) bool background."""
    given = torch.where(labels == L.UPPER_CLOTHES, torch.full_like(labels, top), labels)
    return torch.where(part, torch.zeros_like(labels), given)


def test_half_a_top_comes_back_under_the_maps_own_label(seen: Annotation) -> None:
    labels = seen.parse
    top = labels == L.UPPER_CLOTHES
    rows = torch.nonzero(top[0].any(1))[:, 0]
    low = torch.arange(256)[None, :, None] > rows.float().mean()
    given = _without(labels, top & low, L.DRESS)
    mended = add_missed(given, seen.probabilities, seen.keypoints)
    assert float((mended[top & low] == L.DRESS).float().mean()) > 0.9
    assert torch.equal(mended[given > 0], given[given > 0])


def test_outlines_do_not_grow(seen: Annotation) -> None:
    """A rim that is a pixel wide is where two outlines differ, not a piece."""
    labels = seen.parse
    top = (labels == L.UPPER_CLOTHES).float()[None]
    inside = -torch.nn.functional.max_pool2d(-top, 3, 1, 1)
    rim = (top > 0) & (inside == 0)
    given = _without(labels, rim[0], L.UPPER_CLOTHES)
    added = (add_missed(given, seen.probabilities, seen.keypoints) != given) & rim[0]
    assert float(added.float().sum()) < 0.1 * float(rim.float().sum())


def test_a_map_that_misses_nothing_stays(seen: Annotation) -> None:
    labels = seen.parse
    assert torch.equal(add_missed(labels, seen.probabilities, seen.keypoints), labels)
