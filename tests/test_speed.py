"""Faster is not different: quick ways of doing a thing against plain ones, and against CP-VTON's own."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import drawn_pairs
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import store as stores
from vtcli.core.data.store import FIELDS, Entry, Manifest, PreparedStore, write_manifest, write_shard
from vtcli.core.models.blocks import InstanceNorm
from vtcli.core.models.representation import represent
from vtcli.core.models.tps import tps_grid
from vtcli.core.system.errors import VtcliError
from vtcli.core.training import prefetch
from vtcli.core.training.pairs import Pairs
from vtcli.core.tryon.networks import Networks, People

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

CPU = torch.device("cpu")


def _pairs(count: int) -> Pairs:
    return Pairs.of({k: torch.from_numpy(v) for k, v in drawn_pairs(count, 3, (256, 192)).items()})


def test_instance_norm_keeps_channels_last_and_is_torchs() -> None:
    x = (2 * torch.randn(3, 32, 6, 5) + 1).to(memory_format=torch.channels_last).requires_grad_()
    plain = x.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    ours, expected = InstanceNorm()(x), F.instance_norm(plain)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    weight = torch.randn_like(expected)
    (ours * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(x.grad, plain.grad, atol=1e-5, rtol=0)


def _compose(networks: Networks, pairs: Pairs, keep: str) -> Tensor:
    people = People(pairs.image, pairs.parse, pairs.keypoints)
    warp = networks.warp(people, pairs.cloth, pairs.cloth_mask, pairs.front_mask, keep)
    return networks.compose(people, warp, keep).tryon * 127.5


@pytest.mark.parametrize("keep", ["head", "outside"])
def test_settings_do_not_change_the_picture(keep: str) -> None:
    pairs = _pairs(2)
    quick = _compose(Networks.load(None, CPU, amp=False), pairs, keep)
    plain = Networks.load(None, CPU, amp=False)
    for network in (plain.gmm, plain.tom):
        assert network is not None
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    one_by_one = torch.cat([_compose(plain, pairs[slice(i, i + 1)], keep) for i in range(2)])
    assert (quick - one_by_one).abs().max() < 1  # a grey level
    half = _compose(Networks.load(None, CPU, amp=True), pairs, keep)
    difference = (quick - half).abs()
    assert 0 < difference.mean() < 0.3 and difference.max() < 12  # bfloat16 was in use, and its bound


def test_store_with_more_shards_than_files_may_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "OPEN_FILES", 3)
    fields = drawn_pairs(5, 1, (32, 32))
    for i in range(5):
        write_shard(tmp_path, i, {name: fields[name][i : i + 1] for name in FIELDS})
    entries = [Entry(f"{i}_0", f"{i}_1") for i in range(5)]
    write_manifest(tmp_path, Manifest("train", (32, 32), entries, shard_size=1))
    store = PreparedStore.open(tmp_path)
    rows = np.random.default_rng(0).integers(0, 5, (40, 3))
    with ThreadPoolExecutor(4) as threads:
        for name in FIELDS:
            for order, found in zip(rows, threads.map(lambda r, n=name: store.read(n, r), rows), strict=True):
                assert np.array_equal(found, fields[name][order])
    file = tmp_path / "image-0002.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(VtcliError, match="image-0002"):
        PreparedStore.open(tmp_path).read("image", [2])


def test_batches_come_in_order_from_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "default_jobs", lambda: 5)

    class Steps:
        def batch(self, step: int) -> dict[str, Tensor]:
            if step == 40:
                raise VtcliError("step 40")
            return {"step": torch.tensor(step)}

    with prefetch.prefetched(Steps(), 7, torch.device("meta")) as batches:  # type: ignore[arg-type]
        assert [int(next(batches)["step"]) for _ in range(33)] == list(range(7, 40))
        with pytest.raises(VtcliError, match="step 40"):
            next(batches)


def test_prepare_starts_without_torch() -> None:
    """It would take longer to import than 500 pairs to prepare, in every process."""
    program = "import sys, vtcli.cli.prepare, vtcli.core.data.prepare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_benchmarks_baseline_does_the_same_work() -> None:
    from benchmarks.speed.baseline.dataset import PairDataset
    from benchmarks.speed.baseline.networks import GMM, TpsGrid, UNet
    from vtcli.core.data.annotations import read_parse
    from vtcli.core.data.images import open_rgb
    from vtcli.core.data.poses import read_pose

    with torch.device("meta"):
        assert sum(p.numel() for p in UNet().parameters()) == 21_349_252
    assert sum(p.numel() for p in GMM().parameters()) == 19_057_650
    theta = 0.1 * torch.randn(2, 50)
    torch.testing.assert_close(TpsGrid()(theta), tps_grid(theta, (256, 192)), atol=1e-4, rtol=0)

    sample = PairDataset(ROOT / "sample_data", "test")[0]
    folder, name = ROOT / "sample_data" / "test", Path(str(sample["name"])).stem
    image = np.array(open_rgb(folder / "image" / f"{name}.jpg"))
    parse = read_parse(folder / "image-parse" / f"{name}.png", "lip")
    keypoints = read_pose(folder / "pose" / f"{name}_keypoints.json")
    person = represent(
        torch.from_numpy(image)[None].permute(0, 3, 1, 2) / 127.5 - 1, torch.from_numpy(parse)[None],
        torch.from_numpy(keypoints)[None], "head", (256, 192),
    )  # fmt: skip
    difference = (person.channels[0] - sample["agnostic"]).abs()
    assert difference.max() < 3 / 127.5  # Pillow rounds the shape to whole grey levels
    assert (difference[4:] == 0).all()
