"""Devices that lack something, errors between ranks, and compiled networks."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import STORE_SIZE, drawn_pairs
from PIL import Image
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vtcli.core.models.load import load_gmm
from vtcli.core.models.weights import stage_file
from vtcli.core.system import distributed, runtime
from vtcli.core.system.errors import VtcliError
from vtcli.core.training.pairs import Pairs
from vtcli.core.training.tom import warp_cloth
from vtcli.core.tryon.pipeline import TryOn

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
ON_THE_CPU = {"refine_hair", "_band", "_basis", "mask_iou"}
"""Functions that bring their tensors to the CPU before they compute in float64."""


class _Float64(TorchDispatchMode):
    """Notes who makes float64 tensors, which Apple's MPS has not."""

    def __init__(self) -> None:
        super().__init__()
        self.makers: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(x, torch.Tensor) and x.dtype == torch.float64 for x in tree_leaves(out)):
            callers = [frame.name for frame in traceback.extract_stack() if "/vtcli/core/" in frame.filename]
            self.makers |= {callers[-1]} if not ON_THE_CPU & set(callers) else set()
        return out


@pytest.mark.parametrize("keep", ["outside", "head"])
def test_float64_is_computed_on_the_cpu_alone(keep: Any) -> None:
    engine = TryOn.load(device="cpu")
    with _Float64() as seen:
        engine.run(SAMPLES / "person.jpg", SAMPLES / "cloth.jpg", keep=keep)
    assert not seen.makers
    assert runtime.exact(torch.device("mps")) == torch.device("cpu")
    assert runtime.exact(torch.device("cuda", 1)) == torch.device("cuda", 1)


def test_the_frozen_gmm_warps_in_float32_within_bfloat16_training() -> None:
    gmm = load_gmm(stage_file(None, "gmm"))
    fields = {k: torch.from_numpy(v) for k, v in drawn_pairs(2, 1, STORE_SIZE).items()}
    pairs = Pairs.of(fields)
    with torch.no_grad():
        alone = warp_cloth(gmm, pairs, True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            within = warp_cloth(gmm, pairs, True)
    for a, b in ((alone.cloth, within.cloth), (alone.mask, within.mask)):
        assert b.dtype == torch.float32 and torch.equal(a, b)


def test_bfloat16_counts_only_where_the_card_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def supported(**how: Any) -> bool:
        asked.append(how)
        return False

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert not runtime.has_bfloat16(torch.device("cuda")) and asked == [{"including_emulation": False}]
    assert not runtime.has_bfloat16(torch.device("mps"))


class _Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.absent = nn.Parameter(torch.ones(1))


def test_the_network_inside_its_wrappers_is_found(tmp_path: Path) -> None:
    """As `--compile` under torchrun wraps it: a stage looks into its network during the loss."""
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    network = _Named()
    assert distributed.unwrap(network) is network
    assert distributed.unwrap(torch.compile(network)) is network  # type: ignore[arg-type]
    dist.init_process_group("gloo", store=dist.FileStore(str(tmp_path / "group"), 1), rank=0, world_size=1)
    try:
        parallel = DistributedDataParallel(network)
        assert distributed.unwrap(parallel) is network
        assert distributed.unwrap(torch.compile(parallel)) is network  # type: ignore[arg-type]
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("[enforce fail] Connection closed by peer [127.0.0.1]:5", "another of the 2 processes has ended"),
        (
            "NCCL error in: x.cpp:1, ncclRemoteError: remote process exited",
            "another of the 2 processes has ended",
        ),
        (
            "NCCL error in: x.cpp:1, invalid usage\nncclInvalidUsage: usually reflects misuse.\nLast error:\n"
            "Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 1000",
            "cannot work together: NCCL error in: x.cpp:1, invalid usage (Duplicate GPU detected",
        ),
        ("gloo: no address for interface eth7", "cannot work together: gloo: no address for interface eth7"),
    ],
)
def test_errors_between_ranks_show_their_cause(
    monkeypatch: pytest.MonkeyPatch, message: str, told: str
) -> None:
    import torch.distributed as dist

    def fails(*_: Any, **__: Any) -> Any:
        raise dist.DistBackendError(message)

    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(dist, "rendezvous", fails)
    with pytest.raises(VtcliError) as caught, distributed.joined():
        pass
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_photos_are_read_though_opencv_cannot_open_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Windows `cv2.imread` opens no path with other letters than those of the system's code page."""
    import cv2

    from vtcli.core.data.labelled_photos import LabelledPhotos

    folder = tmp_path / "Fotos für später"
    for name in ("photos", "labels"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(np.full((40, 30, 3), 90, np.uint8)).save(folder / "photos/größe.jpg")
    Image.fromarray(np.pad(np.ones((20, 10), np.uint8), 10)).save(folder / "labels/größe.png")
    (folder / "labels.json").write_text('["background", "hair"]')
    monkeypatch.setattr(cv2, "imread", lambda *_: None)
    photos = LabelledPhotos.read(folder)
    assert len(photos) == 1 and photos.photos[0].shape == (40, 30, 3) and photos.boxes == [(10, 10, 20, 30)]
