"""`vtcli weights`: CP-VTON's files become ours and compute the same; hostile files do nothing."""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import cpvton
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vtcli.core.models.load import load_gmm, load_tom
from vtcli.core.models.tps import sample, tps_grid
from vtcli.core.models.weights import read_metadata, sha256


def _inputs(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand((2, 22, 256, 192), generator=generator) * 2 - 1,
        torch.rand((2, 3, 256, 192), generator=generator) * 2 - 1,
    )


@torch.inference_mode()
def test_imported_gmm_computes_the_same(vtcli: Callable, tmp_path: Path) -> None:
    reference = cpvton.randomise(cpvton.GMM(), 3)
    # As DataParallel and a training script would have saved it, in the format of CP-VTON's day.
    state = OrderedDict(
        (f"module.{k}", v) for k, v in reference.state_dict().items() if "num_batches" not in k
    )
    torch.save(
        {"state_dict": state, "epoch": 7}, tmp_path / "gmm_final.pth", _use_new_zipfile_serialization=False
    )
    ended = vtcli("weights", "import", tmp_path / "gmm_final.pth", "--out", tmp_path / "out")
    assert ended.code == 0, ended.err
    assert "19,057,650 parameters" in ended.err

    gmm = load_gmm(tmp_path / "out" / "gmm.safetensors")
    assert sum(p.numel() for p in gmm.parameters()) == 19_057_650
    agnostic, cloth = _inputs(1)
    expected, theta = reference(agnostic, cloth), gmm(agnostic, cloth).theta
    assert expected.abs().mean() > 0.05  # not a spline that does nothing
    torch.testing.assert_close(theta, expected, atol=2e-5, rtol=1e-4)

    grid = tps_grid(theta, (256, 192))
    slow = torch.from_numpy(
        cpvton.tps_grid_by_points(expected[0].double().numpy(), (256, 192), every=5)
    ).float()
    torch.testing.assert_close(grid[0, ::5, ::5], slow, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(sample(cloth, grid), cpvton.warp(cloth, grid))

    metadata = read_metadata(tmp_path / "out" / "gmm.safetensors")
    assert metadata["preset"] == "paper" and metadata["aux"] is False and metadata["keep"] == "head"
    assert metadata["source"] == {"file": "gmm_final.pth", "sha256": sha256(tmp_path / "gmm_final.pth")}


@torch.inference_mode()
def test_imported_tom_computes_the_same(vtcli: Callable, tmp_path: Path) -> None:
    reference = cpvton.randomise(cpvton.UnetGenerator(), 4)
    torch.save(reference.state_dict(), tmp_path / "tom_final.pth")
    ended = vtcli("weights", "import", tmp_path / "tom_final.pth", "--out", tmp_path, "--stage", "tom")
    assert ended.code == 0, ended.err
    assert "21,349,252 parameters" in ended.err

    tom = load_tom(tmp_path / "tom.safetensors")
    assert sum(p.numel() for p in tom.parameters()) == 21_349_252
    agnostic, warped = (x[:1] for x in _inputs(2))
    rendered, mask, picture = cpvton.tryon(reference, agnostic, warped)
    assert rendered.std() > 0.1 and mask.std() > 0.05
    out = tom(agnostic, warped, torch.ones(1, 1, 256, 192))
    torch.testing.assert_close(out.rendered_person, rendered, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out.composition_mask, mask, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(out.tryon(warped), picture, atol=1e-4, rtol=1e-4)
    assert out.expected_parse is None

    listed = vtcli("weights", "list", tmp_path)
    assert listed.code == 0 and "paper" in listed.out and "imported" in listed.out
    assert sha256(tmp_path / "tom.safetensors")[:8] in listed.out

    before = (tmp_path / "tom.safetensors").read_bytes()
    again = vtcli("weights", "import", tmp_path / "tom_final.pth", "--out", tmp_path)
    assert again.code == 1 and "--force" in again.err
    assert (tmp_path / "tom.safetensors").read_bytes() == before
    assert vtcli("weights", "import", tmp_path / "tom_final.pth", "--out", tmp_path, "--force").code == 0


class _Payload:
    """Unpickling this writes a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return exec, (f"open({str(self.target)!r}, 'w').close()",)


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_pickle_does_not_run(vtcli: Callable, tmp_path: Path, new_format: bool) -> None:
    trace = tmp_path / "ran"
    state = {"regression.linear.weight": torch.zeros(1), "more": _Payload(trace)}
    torch.save(state, tmp_path / "gmm_final.pth", _use_new_zipfile_serialization=new_format)
    ended = vtcli("weights", "import", tmp_path / "gmm_final.pth", "--out", tmp_path / "out")
    assert ended.code == 1
    assert "gmm_final.pth" in ended.err and ended.err.count("\n") == 1
    assert not trace.exists() and not (tmp_path / "out").exists()
    torch.load(tmp_path / "gmm_final.pth", weights_only=False)
    assert trace.exists()  # the trap was armed


def test_other_files_are_refused(vtcli: Callable, tmp_path: Path) -> None:
    def refused(name: str, value: object, word: str, *more: object) -> None:
        torch.save(value, tmp_path / name)
        ended = vtcli("weights", "import", tmp_path / name, "--out", tmp_path / "out", *more)
        assert ended.code == (2 if more else 1), ended
        assert name in ended.err and word in ended.err and ended.err.count("\n") == 1, ended.err
        assert not (tmp_path / "out").exists()

    # Expanded zeros share one element: shapes as large as they must be, files small.
    state = {k: torch.zeros(()).expand(v.shape) for k, v in cpvton.GMM().state_dict().items()}
    refused(
        "missing.pth", {k: v for k, v in state.items() if k != "extractionB.model.12.bias"}, "model.12.bias"
    )
    refused("shape.pth", state | {"extractionA.model.0.weight": torch.zeros(64, 21, 4, 4)}, "[64, 21, 4, 4]")
    refused("more.pth", state | {"decoder.weight": torch.zeros(2)}, "decoder.weight")
    refused("nan.pth", state | {"regression.linear.bias": torch.full((50,), torch.nan)}, "not finite")
    refused("stage.pth", state, "gmm", "--stage", "tom")
    refused("other.pth", {"conv.weight": torch.zeros(2)}, "neither")
    refused("list.pth", [torch.zeros(2)], "state dict")
    (tmp_path / "torn.pth").write_bytes((tmp_path / "nan.pth").read_bytes()[:5000])
    (tmp_path / "text.pth").write_text("not weights")
    (tmp_path / "pickle.pth").write_bytes(pickle.dumps({"a": 1}))
    for name in ("torn.pth", "text.pth", "pickle.pth", "absent.pth"):
        ended = vtcli("weights", "import", tmp_path / name, "--out", tmp_path / "out")
        assert ended.code == 1 and name in ended.err and ended.err.count("\n") == 1, ended.err


def test_listing_survives_what_it_finds(
    vtcli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vtcli.cli.weights import describe_installed

    assert vtcli("weights", "list", tmp_path).code == 1
    monkeypatch.setattr("vtcli.core.models.weights.DEFAULT_FOLDER", tmp_path)
    assert describe_installed() == ["no weights installed; train some with `vtcli train`"]
    (tmp_path / "gmm.safetensors").write_bytes(b"nonsense")
    metadata = {
        "stage": "tom",
        "preset": "lite",
        "aux": True,
        "steps": 1234,
        "figures": {"ssim_head": 0.8125},
    }
    header = {"format": "vtcli-weights", "facts": json.dumps(metadata)}
    save_file({"x": torch.zeros(1)}, tmp_path / "tom.safetensors", metadata=header)
    odd = {"stage": ["tom"], "aux": {}, "steps": "many", "figures": {"ssim_head": "high"}}
    header = {"format": "vtcli-weights", "facts": json.dumps(odd)}
    save_file({"x": torch.zeros(1)}, tmp_path / "zzz.safetensors", metadata=header)
    broken, sound, strange = describe_installed()
    assert "gmm.safetensors" in broken
    digest = sha256(tmp_path / "tom.safetensors")[:8]
    assert sound == f"tom  lite  aux  1,234 steps  ssim_head 0.812  {digest}"
    assert "tom" in strange
    listed = vtcli("weights", "list")
    assert listed.code == 0 and "1,234 steps" in listed.out and "gmm.safetensors" in listed.err


def test_cp_vton_pluss_files_are_called_by_name(vtcli: Callable, tmp_path: Path) -> None:
    gmm = {k: torch.zeros(()).expand(v.shape) for k, v in cpvton.GMM().state_dict().items()}
    tom = {k: torch.zeros(()).expand(v.shape) for k, v in cpvton.UnetGenerator().state_dict().items()}
    for name, state in (
        ("gmm_final.pth", gmm | {"extractionB.model.0.weight": torch.zeros(64, 1, 4, 4)}),
        ("tom_final.pth", tom | {"model.model.0.weight": torch.zeros(64, 26, 4, 4)}),
    ):
        torch.save(state, tmp_path / name)
        ended = vtcli("weights", "import", tmp_path / name, "--out", tmp_path / "out")
        assert ended.code == 1 and "of CP-VTON+" in ended.err and ended.err.count("\n") == 1
        assert not (tmp_path / "out").exists()


def test_two_files_of_one_stage_are_told_and_nothing_is_written(vtcli: Callable, tmp_path: Path) -> None:
    state = {k: torch.zeros(()).expand(v.shape) for k, v in cpvton.GMM().state_dict().items()}
    for name in ("one.pth", "two.pth"):
        torch.save(state, tmp_path / name)
    ended = vtcli("weights", "import", tmp_path / "one.pth", tmp_path / "two.pth", "--out", tmp_path / "out")
    assert (
        ended.code == 2 and "one.pth" in ended.err and "two.pth both hold the weights of a gmm" in ended.err
    )
    assert not (tmp_path / "out").exists()


def test_tensors_are_found_in_what_training_programs_wrap_around_them(
    vtcli: Callable, tmp_path: Path
) -> None:
    state = {k: torch.zeros(()).expand(v.shape) for k, v in cpvton.UnetGenerator().state_dict().items()}
    for number, value in enumerate(({"epoch": 3, "model": state}, {"step": 1, "net": {"state_dict": state}})):
        torch.save(value, tmp_path / "tom.pth")
        ended = vtcli("weights", "import", tmp_path / "tom.pth", "--out", tmp_path / f"out-{number}")
        assert ended.code == 0, ended.err


def test_what_is_no_weights_file_says_what_it_is_and_what_to_do(vtcli: Callable, tmp_path: Path) -> None:
    import argparse
    import zipfile

    (tmp_path / "page.pth").write_text("<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning")
    (tmp_path / "pointer.pth").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    )
    (tmp_path / "empty.pth").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "archive.pth", "w") as archive:
        archive.writestr("checkpoints/gmm_final.pth", b"")
    torch.save({"opt": argparse.Namespace(a=1), "w": torch.zeros(1)}, tmp_path / "objects.pth")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "network.pth")
    for name, words in (
        ("page.pth", "a web page"), ("pointer.pth", "git lfs pull"), ("empty.pth", "empty file"),
        ("archive.pth", "unpack it"), ("objects.pth", "an object of argparse.Namespace"),
        ("network.pth", "torch.save(network.state_dict()"),
    ):  # fmt: skip
        ended = vtcli("weights", "import", tmp_path / name, "--out", tmp_path / "out")
        assert ended.code == 1 and name in ended.err and words in ended.err, ended.err
        assert ended.err.count("\n") == 1
    for name in ("page", "pointer"):
        (tmp_path / "gmm.safetensors").write_bytes((tmp_path / f"{name}.pth").read_bytes())
        ended = vtcli("tryon", "p.jpg", "c.jpg", "-o", tmp_path / "o.png", "--weights", tmp_path)
        assert ended.code == 1, ended.err
        ended = vtcli("weights", "list", tmp_path)
        assert ("a web page" if name == "page" else "git lfs pull") in ended.err
    torch.save({"w": torch.zeros(1)}, tmp_path / "gmm_final.pth")
    ended = vtcli("weights", "list", tmp_path / "gmm_final.pth")
    assert "foreign ones go through `vtcli weights import`" in ended.err
