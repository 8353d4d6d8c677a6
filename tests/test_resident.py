"""`--resident`: batches made on the device are such as the processors make, and a step never waits for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_store
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import has_label
from vtcli.core.data.store import PreparedStore
from vtcli.core.synthetic.triplets import write_triplets
from vtcli.core.training import device_augment as augment
from vtcli.core.training import tom
from vtcli.core.training.augment import GARMENT_MOVE, PERSON_MOVE
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.pairs import Pairs
from vtcli.core.training.run import build_stage
from vtcli.core.training.stage import Stage
from vtcli.core.tryon.networks import Networks
from vtcli.core.tryon.split import SplitOptions, run_split

Vtcli = Callable[..., Any]
SIZE = (128, 96)


def _smooth(count: int, seed: int) -> Tensor:
    """Pictures (count, 3, *SIZE) in [-1, 1] that bilinear sampling hardly blurs."""
    coarse = torch.rand(count, 3, 6, 5, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return F.interpolate(coarse, size=SIZE, mode="bicubic").clamp(-1, 1)


def _at(pictures: Tensor, places: Tensor) -> Tensor:
    """Colours of `pictures` at `places` (B, …, 2) in pixels."""
    x, y = places.unbind(-1)
    grid = augment.from_pixels(x, y, SIZE).movedim(1, -1).flatten(1, -2)[:, None]
    return F.grid_sample(pictures, grid, align_corners=False)[:, :, 0]


def _moves(count: int) -> tuple[Tensor, Tensor, Tensor]:
    flip = torch.arange(count) % 2 == 0
    move = augment.affine(flip, SIZE, *PERSON_MOVE)
    return flip, move, augment.grid_of(move, SIZE)


def test_joints_move_with_the_picture() -> None:
    torch.manual_seed(0)
    flip, move, grid = _moves(8)
    pictures = _smooth(8, 1)
    joints = torch.rand(8, 18, 3) * torch.tensor([70.0, 100.0, 1.0]) + torch.tensor([13.0, 14.0, 0.0])
    joints[:, 3] = 0.0  # not found
    after = augment.moved_keypoints(joints, move, flip, SIZE)
    assert (after[flip][:, L.FLIP_JOINTS[3]] == 0).all() and (after[~flip][:, 3] == 0).all()
    back = torch.where(flip.view(-1, 1, 1), after[:, L.FLIP_JOINTS.tolist()], after)
    there = L.joints_present(back)
    assert there.float().mean() > 0.8
    was, now = _at(pictures, joints[..., :2]), _at(augment.moved(pictures, grid), back[..., :2])
    assert ((was - now).abs().amax(1)[there] < 0.05).all()


def test_a_correspondence_still_leads_to_the_same_cloth() -> None:
    torch.manual_seed(1)
    flip, _, grid = _moves(8)
    # the garment's photo is the person's own, so that every pixel's place is the pixel itself
    pictures = _smooth(8, 2)
    rows, columns = torch.meshgrid(torch.arange(0, SIZE[0], 2), torch.arange(0, SIZE[1], 2), indexing="ij")
    places = torch.stack([columns, rows], dim=-1).float().expand(8, -1, -1, -1).clone()
    places[:, :20, :20] = torch.nan
    places[:, [0, 1, -2, -1]] = places[:, :, [0, 1, -2, -1]] = torch.nan  # the edge of the garment's photo
    shift = augment.affine(flip, SIZE, *GARMENT_MOVE)
    cloth = augment.moved(pictures, augment.grid_of(shift, SIZE), 1.0)
    after = augment.moved_correspondence(places, grid, shift, SIZE)
    known = after.isfinite().all(-1)
    assert 0.5 < known.float().mean() < 0.97
    inside = known & (after > 2).all(-1) & (after[..., 0] < SIZE[1] - 3) & (after[..., 1] < SIZE[0] - 3)
    worn = augment.moved(pictures, grid)[:, :, ::2, ::2]
    found = _at(cloth, torch.nan_to_num(after)).view_as(worn)
    assert ((worn - found).abs().amax(1)[inside] < 0.06).all()


def test_a_mirrored_parse_has_its_sides_exchanged() -> None:
    parse = torch.arange(20, dtype=torch.uint8).view(1, 1, 1, 20)
    assert augment.exchanged(parse).flatten().tolist() == L.FLIP_LABELS.tolist()


def test_batches_have_what_the_stage_takes(store: Path, tmp_path: Path) -> None:
    options = TrainOptions("gmm", store, tmp_path, batch_size=4, val=2, resident=True)
    stage = build_stage(options)
    stage.reside(torch.device("cpu"))
    torch.manual_seed(3)
    ours, theirs = stage.resident_batch(), stage.batch(0)
    a, b = Pairs.of(ours), Pairs.of(theirs)
    for name in Pairs.__dataclass_fields__:
        assert getattr(a, name).shape == getattr(b, name).shape, name
        assert getattr(a, name).dtype == getattr(b, name).dtype, name
    assert ours["sleeves"].shape == theirs["sleeves"].shape
    assert torch.equal(ours["neckline"], theirs["neckline"])
    assert set(np.unique(a.parse)) <= set(range(20)) and a.image.min() >= -1 and a.image.max() <= 1


@pytest.fixture(scope="module")
def unpaired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store, its training people in other garments, and triplets."""
    root, size = tmp_path_factory.mktemp("unpaired"), (256, 192)
    write_store(root / "store", "train", 6, seed=1, size=size)
    write_store(root / "store", "test", 2, seed=2, size=size)
    networks = Networks.load(None, torch.device("cpu"))
    options = SplitOptions(pairs="shuffled", keep="outside", save_parse=True)
    list(run_split(networks, PreparedStore.open(root / "store", "train"), root / "others", options))
    list(write_triplets(root / "triplets", 2, 7, 0, "train", size, 1))
    return root


@pytest.mark.parametrize("resident", [False, True])
def test_people_are_given_in_other_garments(unpaired: Path, tmp_path: Path, resident: bool) -> None:
    options = TrainOptions(
        "gmm", unpaired / "store", tmp_path, batch_size=16, val=2, resident=resident, others=[unpaired / "others"],
        other_share=1.0, triplets=unpaired / "triplets", triplet_share=0.4,
    )  # fmt: skip
    stage = build_stage(options)
    torch.manual_seed(0)
    if resident:
        stage.reside(torch.device("cpu"))
    pairs = Pairs.of(stage.resident_batch() if resident else stage.batch(0))
    synthetic = pairs.correspondence.isfinite().flatten(1).any(1)
    assert 0 < synthetic.sum() < 16
    changed = (pairs.given_image - pairs.image).abs().amax(1) > 0.1
    assert changed[~synthetic].flatten(1).any(1).all()  # everybody has another garment on …
    head = has_label(pairs.parse, L.HEAD_LABELS) & has_label(pairs.given_parse, L.HEAD_LABELS)
    assert (changed & head)[~synthetic].float().mean() < 0.02  # … and the same head
    loss, parts = stage.loss(stage.network, stage.resident_batch() if resident else stage.batch(0), 1.0)
    assert loss.isfinite() and parts["truth"] > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("parser",), "--resident"),
        (("gmm", "--preset", "paper", "--recipe", "cpvton"), "is for GMM and TOM with --recipe vtcli"),
        (("gmm", "--compile"), "does not go together with --compile"),
    ],
)
def test_what_cannot_reside_is_refused(
    vtcli: Vtcli, store: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    refused = vtcli("train", *arguments, "--resident", "--data", store, "--out", tmp_path, "--steps", 1)
    assert refused.code == 2 and said in refused.err


# -- a step on a GPU that is only imagined ---------------------------------------------------------------------


class _Watch(TorchDispatchMode):
    """Notes copies from the host's memory to the device. Where a step would wait for the device's values, `FakeTensorMode`
    itself raises an error."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), more: Any = None) -> Any:
        out = operation(*arguments, **(more or {}))
        given = [x for x in tree_leaves((arguments, more or {})) if isinstance(x, Tensor)]
        made = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        on_host = [x for x in given if x.device.type == "cpu" and (x.ndim or "copy" in str(operation))]
        on_device = any(x.device.type == "cuda" for x in given + made)
        if on_host and on_device:
            self.found.append(str(operation))
        return out


def _imagine(network: nn.Module, device: torch.device) -> None:
    """Give `network` weights on a device that is not there."""
    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for name, x in tensors.items():
                if x is not None:
                    empty = torch.empty(x.shape, dtype=x.dtype, device=device)
                    tensors[name] = nn.Parameter(empty) if isinstance(x, nn.Parameter) else empty


@contextmanager
def _imagined(stage: Stage) -> Iterator[None]:
    device = torch.device("cuda:0")
    with FakeTensorMode(allow_non_fake_inputs=True), torch.backends.cudnn.flags(enabled=False):
        for network in (stage.network, getattr(stage, "gmm", None)):
            if network is not None:
                _imagine(network, device)
        stage.reside(device)
        yield


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["gmm", "tom"])
def test_a_step_neither_waits_for_the_device_nor_copies_to_it(
    name: str, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TrainOptions(name, store, tmp_path, batch_size=4, val=2, resident=True, perceptual="none")
    stage = build_stage(options)
    monkeypatch.setattr(nn.Module, "to", lambda self, *_, **__: self)
    monkeypatch.setattr(
        tom, "drawn", lambda low, high: high
    )  # the host's generator is real, its numbers are not here
    with _imagined(stage):
        stage.network.train()
        stage.loss(stage.network, stage.resident_batch(), 1.0)  # constants are made once
        with _Watch() as watch:
            loss, _ = stage.loss(stage.network, stage.resident_batch(), 1.0)
        assert loss.device.type == "cuda"
    assert watch.found == []
    with _imagined(stage), _Watch() as watch:  # a list as an index is such a copy
        torch.ones(2, device="cuda:0")[[0]]
    assert watch.found
