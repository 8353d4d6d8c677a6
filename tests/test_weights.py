"""Weights files: what is written is what is read; what lies is refused; pickles are never opened."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vtcli.core.models import weights
from vtcli.core.models.load import load_gmm, load_parser, load_tom
from vtcli.core.models.presets import build_gmm, build_tom
from vtcli.core.system.errors import VtcliError

METADATA = {"stage": "gmm", "preset": "lite", "aux": True, "figures": {"warp_iou": 0.5}}


@pytest.fixture(scope="module")
def gmm() -> nn.Module:
    torch.manual_seed(0)
    return build_gmm("lite", aux=True)


def test_round_trip(gmm: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "new" / "gmm.safetensors"
    weights.save_weights(path, gmm, METADATA, half=False)
    assert weights.read_metadata(path) == METADATA
    metadata, state = weights.read_weights(path)
    assert metadata == METADATA
    assert all(torch.equal(v, state[k]) for k, v in gmm.state_dict().items())
    weights.save_weights(path, gmm, METADATA)  # half of the size, half of the digits
    _, halved = weights.read_weights(path)
    for key, value in gmm.state_dict().items():
        assert halved[key].dtype == value.dtype
        torch.testing.assert_close(halved[key], value, atol=1e-6, rtol=1e-3)
    loaded = load_gmm(path)
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())
    inputs = torch.rand(1, 22, 128, 96), torch.rand(1, 4, 128, 96)
    with torch.inference_mode():
        expected = gmm.eval()(*inputs)
        out = loaded(*inputs)
    torch.testing.assert_close(out.expected_parse, expected.expected_parse, atol=0.05, rtol=0.05)


def test_each_loader_takes_its_own_stage(gmm: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "gmm.safetensors"
    weights.save_weights(path, gmm, METADATA)
    for load in (load_tom, load_parser):
        with pytest.raises(VtcliError, match=r"gmm\.safetensors: weights of a gmm, not of a"):
            load(path)
    tom = build_tom("lite", aux=False)
    weights.save_weights(tmp_path / "tom.safetensors", tom, {"stage": "tom", "preset": "lite", "aux": False})
    assert load_tom(tmp_path / "tom.safetensors").parse_decoder is None


@pytest.mark.parametrize(
    "lie",
    [
        {"preset": "paper"}, {"preset": "huge"}, {"preset": ["lite"]}, {"preset": None}, {"aux": False},
        {"aux": None}, {"stage": "tom"},
    ],
    ids=str,
)  # fmt: skip
def test_lying_facts_are_told_in_one_line(gmm: nn.Module, tmp_path: Path, lie: dict[str, object]) -> None:
    path = tmp_path / "gmm.safetensors"
    weights.save_weights(path, gmm, {k: v for k, v in (METADATA | lie).items() if v is not None})
    with pytest.raises(VtcliError, match=r"gmm\.safetensors") as caught:
        load_gmm(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        None, {"format": "pt"}, {"format": "vtcli-weights"}, {"format": "vtcli-weights", "facts": "{"},
        {"format": "vtcli-weights", "facts": "[1]"}, {"format": "vtcli-weights", "facts": "[" * 100_000},
    ],
)  # fmt: skip
def test_foreign_headers(tmp_path: Path, header: dict[str, str] | None) -> None:
    path = tmp_path / "gmm.safetensors"
    save_file({"x": torch.zeros(2)}, path, metadata=header)
    for read in (weights.read_metadata, weights.read_weights):
        with pytest.raises(VtcliError, match=r"gmm\.safetensors") as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "gmm.safetensors"
    good = {"format": weights.FORMAT, "facts": json.dumps(METADATA)}
    save_file({"x": torch.zeros(1000)}, path, metadata=good)
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = whole[8 : 8 + size]
    for data in (
        b"", whole[:6], whole[:100], whole[:-1],  # torn
        whole.replace(b'"data_offsets":[0,4000]', b'"data_offsets":[0,9000]'),  # more than there is
        whole.replace(b'"shape":[1000]', b'"shape":[9999]'),
        (2**62).to_bytes(8, "little") + whole[8:],  # a header longer than any memory
        whole[:8] + header.replace(b"F32", b"X32") + whole[8 + size :],
    ):  # fmt: skip
        assert data != whole
        path.write_bytes(data)
        with pytest.raises(VtcliError, match=r"gmm\.safetensors"):
            weights.read_weights(path)
    save_file({"x": torch.tensor([0.0, float("inf")])}, path, metadata=good)
    with pytest.raises(VtcliError, match="x holds values that are not finite"):
        weights.read_weights(path)
    with pytest.raises(VtcliError, match="no such weights file"):
        weights.read_weights(tmp_path / "absent.safetensors")


class _Payload:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return exec, (f"open({self.target!r}, 'w').close()",)


def test_a_pickle_under_our_name_is_not_opened(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    path = tmp_path / "gmm.safetensors"
    for write in (
        lambda: path.write_bytes(pickle.dumps(_Payload(str(trace)))),
        lambda: torch.save({"x": _Payload(str(trace))}, path),
    ):
        write()
        with pytest.raises(VtcliError, match="not a readable safetensors file"):
            load_gmm(path)
    assert not trace.exists()


def test_where_weights_are_looked_for(
    gmm: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped, runs = tmp_path / "shipped", tmp_path / "runs"
    for path in (
        shipped / "gmm.safetensors",
        shipped / "parser.safetensors",
        runs / "gmm" / "best.safetensors",
    ):
        weights.save_weights(path, gmm, METADATA)
    monkeypatch.setattr(weights, "DEFAULT_FOLDER", shipped)
    assert weights.stage_file(None, "gmm") == shipped / "gmm.safetensors"
    assert weights.stage_file(runs, "gmm") == runs / "gmm" / "best.safetensors"
    assert weights.stage_file(runs / "gmm" / "best.safetensors", "gmm") == runs / "gmm" / "best.safetensors"
    assert weights.stage_file(runs, "parser") == shipped / "parser.safetensors"
    for folder, stage in ((runs, "tom"), (None, "tom"), (tmp_path / "absent", "parser")):
        with pytest.raises(VtcliError, match="train one"):
            weights.stage_file(folder, stage)
