"""The paired bootstrap, and LPIPS from a local trunk."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from score_samples import blur, make_results, make_store, run_score

from vtcli.core.scoring.bootstrap import paired_difference
from vtcli.core.scoring.distances import Statistics, frechet_difference, frechet_distance
from vtcli.core.system.errors import VtcliError


def test_interval_of_a_mean_is_that_of_the_normal_theory_and_covers() -> None:
    generator = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        noise = generator.normal(size=(80, 1))  # common to both runs: pairing must cancel it
        first, mine = 10 * noise, 10 * noise + generator.normal(0.3, 1, size=(80, 1))
        found = paired_difference(mine, first, 300, trial)
        hits += found.low <= 0.3 <= found.high
        half = 1.96 * (mine - first).std(ddof=1) / np.sqrt(80)
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.35)
        assert found.value == pytest.approx((mine - first).mean())
    assert 180 <= hits <= 199


def test_metrics_that_are_not_means_are_drawn_from_their_sums() -> None:
    def ratio(sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / sums[..., 1]

    generator = np.random.default_rng(0)
    first = generator.integers(1, 50, (60, 2)).astype(float)
    mine = first * (2.0, 1.0)
    found = paired_difference(mine, first, 200, 0, ratio)
    assert found.value == pytest.approx(first[:, 0].sum() / first[:, 1].sum())
    assert found.low < found.value < found.high


def test_difference_of_distances_is_theirs_and_its_interval_tells_like_from_unlike() -> None:
    generator = np.random.default_rng(3)
    photos, first = generator.normal(size=(90, 12)), generator.normal(0.2, 1, size=(80, 12))
    of_photos = Statistics.of(photos)
    worse = first + generator.normal(0.5, 0.5, size=first.shape)
    found = frechet_difference(of_photos, worse, first, 200, 0)
    apart = [frechet_distance(of_photos, Statistics.of(side)) for side in (worse, first)]
    assert found.value == pytest.approx(apart[0] - apart[1])
    assert 0 < found.low < found.value < found.high
    alike = frechet_difference(of_photos, first + generator.normal(0, 0.01, size=first.shape), first, 200, 0)
    assert alike.low < 0 < alike.high
    assert found == frechet_difference(of_photos, worse, first, 200, 0)
    few = frechet_difference(Statistics.of(photos[:9]), worse, first, 20, 0)  # fewer photos than dimensions
    apart = [frechet_distance(Statistics.of(photos[:9]), Statistics.of(side)) for side in (worse, first)]
    assert few.value == pytest.approx(apart[0] - apart[1])


def test_lpips_is_the_packages_with_the_given_trunk(tmp_path: Path) -> None:
    lpips = pytest.importorskip("lpips", reason="the package lpips is not installed")
    torch.manual_seed(0)
    store = make_store(tmp_path / "store", 3)
    folder = make_results(tmp_path / "run", store, blur(1, 0.5))
    trunk = torchvision.models.alexnet(weights=None)
    torch.save(trunk.state_dict(), tmp_path / "alexnet.pth")
    result = run_score(
        folder, "--lpips-weights", tmp_path / "alexnet.pth", "--json", tmp_path / "scores.json"
    )
    assert result.exception is None, result.exception
    row = json.loads((tmp_path / "scores.json").read_text())[0]
    assert "LPIPS ↓" in result.output

    theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    for name, module in theirs.net.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            module.load_state_dict(trunk.features[int(name.rsplit(".", 1)[1])].state_dict())
    values = []
    for i in range(3):
        pair = (np.array(Image.open(folder / f"images/p{i}.png")), store.read("image", [i])[0])
        a, b = (torch.from_numpy(x).permute(2, 0, 1)[None].float() / 127.5 - 1 for x in pair)
        values.append(theirs(a, b).item())
    assert row["lpips"] == pytest.approx(np.mean(values), rel=1e-4)
    assert row["lpips"] > 0


def test_a_foreign_trunk_is_named(tmp_path: Path) -> None:
    pytest.importorskip("lpips", reason="the package lpips is not installed")
    store = make_store(tmp_path / "store", 2)
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "foreign.pth")
    result = run_score(
        make_results(tmp_path / "run", store, blur(1)), "--lpips-weights", tmp_path / "foreign.pth"
    )
    with pytest.raises(VtcliError, match=r"foreign\.pth: not torchvision's AlexNet or VGG-16"):
        raise result.exception or AssertionError("no error")
