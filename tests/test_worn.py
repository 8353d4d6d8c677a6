"""A top that somebody wears in the garment's picture: cut out from the front, else it is said what stands against it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vtcli.core.data import labels as L
from vtcli.core.tryon.photos.annotate import Annotation, Annotator
from vtcli.core.tryon.photos.window import frame_of_box, whole
from vtcli.core.tryon.photos.worn import worn_top

PHOTO = np.zeros((800, 600, 3), np.uint8)
BOX = (60, 60, 132, 180)
"""Of the top in the window of the whole photo."""


class Seen(Annotator):
    """An annotator that sees what it is told: a top (256, 192) and joints (18, 3)."""

    def __init__(self, top: np.ndarray, joints: np.ndarray) -> None:
        self.device = torch.device("cpu")
        self.found = Annotation(
            torch.zeros(1, L.LABELS, 256, 192),
            torch.from_numpy(joints)[None].float(),
            torch.zeros(1, 2, 256, 192),
        )
        self.found.probabilities[0, L.UPPER_CLOTHES] = torch.from_numpy(top).float()

    def __call__(self, photos: torch.Tensor, mirror: bool = True) -> Annotation:
        assert photos.shape == (1, 3, 256, 192)
        return self.found


@pytest.fixture
def top() -> np.ndarray:
    """A torso with sleeves, as seen near."""
    out = np.zeros((256, 192), bool)
    out[40:200, 50:142] = out[45:120, 20:172] = True
    return out


@pytest.fixture
def joints() -> np.ndarray:
    out = np.zeros((18, 3))
    at = {
        L.NECK: (96, 40),
        L.R_SHOULDER: (55, 45),
        L.L_SHOULDER: (137, 45),
        L.R_HIP: (75, 180),
        L.L_HIP: (117, 180),
    }
    for joint, (x, y) in at.items():
        out[joint] = x, y, 0.9
    return out


def _look(top: np.ndarray, joints: np.ndarray) -> np.ndarray | str:
    labels = np.zeros((256, 192), np.uint8)
    labels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = L.UPPER_CLOTHES
    return worn_top(Seen(top, joints), PHOTO, whole(PHOTO), labels)


def test_a_top_from_the_front_is_cut_out(top: np.ndarray, joints: np.ndarray) -> None:
    found = _look(top, joints)
    assert isinstance(found, np.ndarray) and found.shape == PHOTO.shape[:2]
    near = frame_of_box(whole(PHOTO).box_out(BOX, (800, 600)), share=0.8)
    seen = near.labels(found.astype(np.uint8)) > 0
    assert (seen & top).sum() / (seen | top).sum() > 0.97


def test_a_skirt_below_the_top_is_left(top: np.ndarray, joints: np.ndarray) -> None:
    with_skirt = top.copy()
    with_skirt[204:235, 60:132] = True
    a, b = _look(top, joints), _look(with_skirt, joints)
    assert isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and np.array_equal(a, b)


def test_what_stands_against_it_is_said(top: np.ndarray, joints: np.ndarray) -> None:
    behind, side, unseen = joints.copy(), joints.copy(), joints.copy()
    behind[[L.R_SHOULDER, L.L_SHOULDER]] = joints[[L.L_SHOULDER, L.R_SHOULDER]]
    side[[L.R_SHOULDER, L.L_SHOULDER], 0] = 85, 107
    unseen[L.R_SHOULDER] = 0
    assert "behind" in _look(top, behind)
    assert "side" in _look(top, side)
    assert "shoulders" in _look(top, unseen)
    bag, dress = top.copy(), top.copy()
    bag[110:170, 70:120] = False
    dress[200:250, 50:142] = True
    assert "before their top" in _look(bag, joints)
    assert "dress" in _look(dress, joints)
    assert "no top" in worn_top(Seen(top, joints), PHOTO, whole(PHOTO), np.zeros((256, 192), np.uint8))
