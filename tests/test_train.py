"""`vtcli train`: every stage learns, stops, resumes to the same bits, and says what is wrong in one line."""

from __future__ import annotations

import itertools
import json
import math
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cpvton
import cv2
import numpy as np
import pytest
import torch
from conftest import drawn_pairs, small_presets, write_store
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import vgg19

from vtcli.core.data import labels as L
from vtcli.core.data.labelled_photos import COLLAR, GROUPS, NECK, group_matrix
from vtcli.core.data.pixels import signed
from vtcli.core.data.store import PreparedStore
from vtcli.core.models.load import load_gmm, load_parser, load_tom
from vtcli.core.models.weights import read_metadata, read_weights, sha256
from vtcli.core.synthetic.__main__ import main as synthetic_main
from vtcli.core.system.errors import VtcliError
from vtcli.core.training import trainer
from vtcli.core.training.checkpoint import TrainState
from vtcli.core.training.gmm import GMMStage
from vtcli.core.training.logs import LossMeter, contact_sheet
from vtcli.core.training.losses import VGG19Distance, label_weights
from vtcli.core.training.options import OptimizerSettings, TrainOptions
from vtcli.core.training.parser import group_cross_entropy
from vtcli.core.training.run import build_stage, split_pairs
from vtcli.core.training.stage import Order, Stage

Vtcli = Callable[..., Any]
AT_ONCE = OptimizerSettings(warmup=1)
FEW = ("--batch-size", 2, "--val", 2, "--device", "cpu")


def _tensors(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)


def _same(a: Path, b: Path) -> bool:
    left, right = _tensors(a), _tensors(b)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def _log(folder: Path, group: str) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["group"] == group]


pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture(scope="module")
def gmm(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a GMM of one step, for the TOM to warp with."""
    out = tmp_path_factory.mktemp("gmm")
    options = TrainOptions("gmm", store, out, steps=1, batch_size=2, val=2)
    with small_presets():
        trainer.train(build_stage(options), options, torch.device("cpu"), lambda event: None, resume=False)
    return out


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stage | type[Stage], int], None]:
    """Press Ctrl-C during a stage's nth loss."""

    def at(stage: type[Stage], nth: int) -> None:
        original, calls = stage.loss, []

        def loss(self: Stage, *arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == nth:
                signal.raise_signal(signal.SIGINT)
            return original(self, *arguments)

        monkeypatch.setattr(stage, "loss", loss)

    return at


def _stage_class(name: str) -> type[Stage]:
    from vtcli.core.training.parser import ParserStage
    from vtcli.core.training.tom import TOMStage

    return {"parser": ParserStage, "gmm": GMMStage, "tom": TOMStage}[name]


@pytest.mark.parametrize("name", ["parser", "gmm", "tom"])
def test_loss_falls_on_one_batch(name: str, store: Path, gmm: Path, tmp_path: Path) -> None:
    options = TrainOptions(
        name, store, tmp_path, steps=10, batch_size=2, val=2, optimizer=AT_ONCE, gmm=gmm, seed=3
    )
    stage = build_stage(options)
    fixed, losses, original = stage.batch(0), [], stage.loss

    def loss(network: nn.Module, batch: Any, progress: float) -> Any:
        torch.manual_seed(0)  # the same window for the perceptual distance each time
        total, parts = original(network, batch, progress)
        losses.append(total.item())
        return total, parts

    stage.batch, stage.loss = lambda step: fixed, loss  # type: ignore[method-assign]
    trainer.train(stage, options, torch.device("cpu"), lambda event: None, resume=False)
    assert min(losses[-3:]) < 0.9 * losses[0], losses


def test_discriminator_alone_judges_people_in_other_garments(store: Path, gmm: Path, tmp_path: Path) -> None:
    options = TrainOptions("tom", store, tmp_path, steps=10, batch_size=4, gmm=gmm, adversarial_weight=0.1)
    stage = build_stage(options)
    stage.network.eval()
    batch = stage.batch(0)
    assert batch["unpaired"].tolist() == [2]  # of the half that keeps what lies outside
    assert not torch.equal(batch["other_cloth"][0], batch["cloth"][2])

    def parts(batch: Any, progress: float) -> dict[str, float]:
        torch.manual_seed(0)
        return {k: v.item() for k, v in stage.loss(stage.network, batch, progress)[1].items()}

    assert "generator" not in parts(batch, 0.0)
    judged = parts(batch, 1.0)
    assert stage.discriminator_loss(batch) is not None
    other = parts({**batch, "other_cloth": 255 - batch["other_cloth"]}, 1.0)
    assert [k for k in judged if abs(judged[k] - other[k]) > 1e-6] == ["generator"]
    assert torch.equal(stage.batch(0)["other_cloth"], batch["other_cloth"])


@pytest.mark.parametrize(
    ("name", "where"),
    [("parser", ()), ("gmm", ()), ("tom", ()), ("gmm", ("--resident",)), ("tom", ("--resident",))],
)
def test_resumed_equals_uninterrupted(
    name: str,
    where: tuple[str, ...],
    vtcli: Vtcli,
    store: Path,
    gmm: Path,
    tmp_path: Path,
    interrupt: Callable,
) -> None:
    more: tuple[object, ...] = ("--gmm", gmm, "--adversarial-weight", 0.1) if name == "tom" else ()
    command = ("train", name, "--data", store, "--steps", 5, *FEW, *more, *where)
    whole = vtcli(*command, "--out", tmp_path / "whole")
    assert whole.code == 0, whole.err
    metadata = read_metadata(tmp_path / "whole" / name / "best.safetensors")
    for figure, value in metadata["figures"].items():
        row = re.search(rf"{figure} .*", whole.out)
        assert row is not None and row[0].count(f"{value:.4f}") == 2, whole.out  # last and best are the same
    assert str(tmp_path / "whole" / name / "best.safetensors") in whole.err
    assert "use them: vtcli" in whole.err

    interrupt(_stage_class(name), 4)  # tom: the discriminator is at work by then
    halted = vtcli(*command, "--out", tmp_path / "parts")
    assert halted.code == 130
    assert "stopped at step 4" in halted.err and "--resume" in halted.err
    folder = tmp_path / "parts" / name
    assert (folder / "last.safetensors").is_file() and not (folder / "final.safetensors").exists()
    assert not _same(folder / "last.safetensors", tmp_path / "whole" / name / "last.safetensors")

    again = vtcli(*command, "--out", tmp_path / "parts")
    assert again.code == 1 and "--resume" in again.err  # nobody's run is written over by accident
    resumed = vtcli(*command, "--out", tmp_path / "parts", "--resume")
    assert resumed.code == 0, resumed.err
    assert "from step 4 on" in resumed.err
    assert _same(folder / "last.safetensors", tmp_path / "whole" / name / "last.safetensors")
    assert _same(folder / "final.safetensors", tmp_path / "whole" / name / "final.safetensors")
    assert _log(folder, "validation") == _log(tmp_path / "whole" / name, "validation")

    load = {"parser": load_parser, "gmm": load_gmm, "tom": load_tom}[name]
    load(folder / "final.safetensors")
    assert read_metadata(folder / "final.safetensors")["steps"] == 5


def test_ctrl_c_in_a_terminal(store: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vtcli", "train", "gmm", "--data", store, "--out", tmp_path, *FEW]
    process = subprocess.Popen(
        [*map(str, command), "--epochs", "1000"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    assert "12 pairs, 2 to a batch, 6,000 steps" in first
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.count("\n") == 1 and "stopped at step" in err, err
    assert (tmp_path / "gmm" / "last.safetensors").is_file()


def test_sigterm_breaks_a_validation_off(
    vtcli: Vtcli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("train", "gmm", "--data", store, "--steps", 4, "--validate-every", 2, *FEW)
    assert vtcli(*command, "--out", tmp_path / "whole").code == 0
    original, told = GMMStage.validate, []

    def validate(self: GMMStage, network: nn.Module) -> Any:
        if not told:
            signal.raise_signal(signal.SIGTERM)
        figures = original(self, network)
        told.append(1)  # the first never gets here
        return figures

    with monkeypatch.context() as patch:
        patch.setattr(GMMStage, "validate", validate)
        stopped = vtcli(*command, "--out", tmp_path / "parts")
    assert stopped.code == 130 and "stopped at step 2" in stopped.err and not told
    assert not (tmp_path / "parts" / "gmm" / "best.safetensors").exists()
    with (tmp_path / "parts" / "gmm" / "log.jsonl").open("a") as stream:
        stream.write('{"step": 3, "group": "training"}\n{"step": 2, "gro')  # what a crash might have left
    assert vtcli(*command, "--out", tmp_path / "parts", "--resume").code == 0
    (
        tmp_path / "parts" / "gmm" / "final.safetensors"
    ).unlink()  # killed in its last moments, it is only finished
    assert vtcli(*command, "--out", tmp_path / "parts", "--resume").code == 0
    for name in ("last", "best", "final"):
        ours, theirs = (tmp_path / run / "gmm" / f"{name}.safetensors" for run in ("parts", "whole"))
        assert _same(ours, theirs), name
    assert _log(tmp_path / "parts" / "gmm", "validation") == _log(tmp_path / "whole" / "gmm", "validation")


def test_resumed_with_other_options_it_says_so(vtcli: Vtcli, store: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "other", "train", 8, seed=7)
    write_store(tmp_path / "other", "test", 4, seed=8)
    command = ("train", "gmm", "--out", tmp_path, "--val", 2, "--device", "cpu")
    assert vtcli(*command, "--data", store, "--steps", 1, "--batch-size", 2).code == 0
    same = vtcli(*command, "--data", store, "--steps", 1, "--batch-size", 2, "--resume")
    assert same.code == 0 and "goes on with" not in same.err
    ended = vtcli(
        *command, "--data", tmp_path / "other", "--steps", 2, "--batch-size", 4, "--lr", 2e-4, "--aux-weight", 0.5,
        "--resume",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert [line.partition("goes on with ")[2] for line in ended.err.splitlines() if "goes on with" in line] == [
        "another aux_weight: 0.5, begun with 0.1", "another batch: 4, begun with 2",
        "another learning rate: 0.0002, begun with 0.001", "another store",
    ]  # fmt: skip


def test_seed_reproduces(vtcli: Vtcli, store: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        command = ("train", "gmm", "--data", store, "--out", tmp_path / name, "--steps", 2, *FEW)
        assert vtcli(*command, "--seed", seed).code == 0
    a, b, c = (tmp_path / name / "gmm" / "last.safetensors" for name in "abc")
    assert _same(a, b) and not _same(a, c)


def test_minutes_bound_a_run(vtcli: Vtcli, store: Path, tmp_path: Path) -> None:
    done = vtcli(
        "train", "gmm", "--data", store, "--out", tmp_path, "--minutes", 0.01, "--validate-every", 1, *FEW
    )
    assert done.code == 0, done.err
    metadata = read_metadata(tmp_path / "gmm" / "final.safetensors")
    assert 1 <= metadata["steps"] < 100 and metadata["samples"] == 2 * metadata["steps"]
    assert len(_log(tmp_path / "gmm", "validation")) == metadata["steps"]
    assert done.err.count("warp_iou") >= metadata["steps"]  # a line for each


def test_without_the_auxiliary_decoder(vtcli: Vtcli, store: Path, gmm: Path, tmp_path: Path) -> None:
    for name, more in (("gmm", ()), ("tom", ("--gmm", gmm, "--keep", "head", "--perceptual", "none"))):
        command = ("train", name, "--no-aux", "--data", store, "--out", tmp_path, "--steps", 1, *FEW, *more)
        done = vtcli(*command)
        assert done.code == 0, done.err
        metadata, state = read_weights(tmp_path / name / "final.safetensors")
        assert metadata["aux"] is False and not any("parse" in key for key in state)
        assert "parse" not in _log(tmp_path / name, "training")[0]
    assert metadata["keep"] == "head"
    assert {"ssim", "ssim_head", "l1_head"} == best_metrics(tmp_path / "tom").keys()


def best_metrics(folder: Path) -> dict[str, float]:
    return read_metadata(folder / "best.safetensors")["figures"]


def test_tom_takes_the_gmm_of_the_same_folder(
    vtcli: Vtcli, store: Path, gmm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vtcli.core.models.weights.DEFAULT_FOLDER", tmp_path / "shipped")
    command = ("train", "tom", "--data", store, "--steps", 1, "--perceptual", "none", "--out", tmp_path, *FEW)
    without = vtcli(*command)
    assert without.code == 1 and "no gmm.safetensors" in without.err
    (tmp_path / "gmm").symlink_to(gmm / "gmm")
    done = vtcli(*command)
    assert done.code == 0, done.err
    metadata = read_metadata(tmp_path / "tom" / "best.safetensors")
    assert metadata["gmm"] == sha256(tmp_path / "gmm" / "best.safetensors")
    assert str(tmp_path) not in str(metadata)  # weights travel; the machine's paths do not


def test_init_starts_from_weights(vtcli: Vtcli, store: Path, gmm: Path, tmp_path: Path) -> None:
    path = gmm / "gmm" / "best.safetensors"
    state = read_weights(path)[1]
    for init in (path, gmm):
        stage = build_stage(TrainOptions("gmm", store, tmp_path, steps=1, val=2, init=init, seed=9))
        assert all(torch.equal(v.float(), state[k].float()) for k, v in stage.network.state_dict().items())
    command = ("train", "gmm", "--data", store, "--out", tmp_path, "--steps", 1, *FEW)
    wrong = vtcli(*command, "--init", path, "--no-aux")
    assert wrong.code == 1 and str(path) in wrong.err and wrong.err.count("\n") == 1
    assert vtcli(*command, "--init", tmp_path / "absent").code == 1
    assert vtcli(*command, "--init", path, "--lr", 1e-9).code == 0
    after = read_weights(tmp_path / "gmm" / "final.safetensors")[1]
    for key, value in state.items():
        if not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
            torch.testing.assert_close(after[key], value, atol=1e-3, rtol=2e-3)


def test_other_labelled_photos(vtcli: Vtcli, store: Path, gmm: Path, tmp_path: Path) -> None:
    """--photos: the parser learns from them, the TOM takes their backgrounds."""
    photos = tmp_path / "photos"
    fields = drawn_pairs(2, 4, (192, 144))
    for folder in ("photos", "labels"):
        (photos / folder).mkdir(parents=True)
    (photos / "labels.json").write_text(
        json.dumps([f"belt{i}" if i == L.SOCKS else n for i, n in enumerate(L.LIP_NAMES)])
    )
    for i in range(2):
        wide = [
            cv2.copyMakeBorder(fields[f][i], 0, 0, 60, 0, cv2.BORDER_REPLICATE) for f in ("image", "parse")
        ]
        cv2.imwrite(str(photos / "photos" / f"{i}.jpg"), wide[0])
        cv2.imwrite(str(photos / "labels" / f"{i}.png"), wide[1])
    stage: Any = build_stage(
        TrainOptions("parser", store, tmp_path, steps=1, val=2, batch_size=8, photos=[photos])
    )
    batch = stage.batch(0)
    assert batch["image"].shape == (8, 256, 192, 3)
    assert batch["joints_known"].tolist() == [True] * 5 + [False] * 3
    assert (batch["groups"][5:] == L.IGNORE).any()
    assert len(stage.strips) == 2
    command = ("train", "tom", "--data", store, "--out", tmp_path, "--gmm", gmm, "--photos", photos, *FEW)
    done = vtcli(*command, "--steps", 1, "--backgrounds", 1, "--keep", "outside", "--perceptual", "none")
    assert done.code == 0, done.err
    lost = vtcli(*command, "--steps", 1, "--photos", tmp_path / "absent")
    assert lost.code == 1 and "labels.json" in lost.err


def test_some_of_the_parsers_samples_show_nobody(store: Path, tmp_path: Path) -> None:
    stage: Any = build_stage(TrainOptions("parser", store, tmp_path, steps=1, val=2, batch_size=8))
    batches = [stage.batch(step) for step in range(12)]
    groups, joints, known = (
        torch.cat([b[name] for b in batches]) for name in ("groups", "keypoints", "joints_known")
    )
    empty = (groups == L.BACKGROUND).all(2).all(1)
    assert 0.01 < float(empty.float().mean()) < 0.2
    assert not joints[empty].any() and bool(known[empty].all())
    assert bool((joints[~empty][..., :2] > 1).any(2).any(1).all())


def test_the_parser_learns_neck_and_things(store: Path, tmp_path: Path) -> None:
    """Synthetic people say where neck and things are; what the store's maps call background there is no loss for them."""
    height = str(PreparedStore.open(store, "train").size[0])
    words = ["--train", "2", "--test", "0", "--samples", "1", "--height", height]
    assert synthetic_main(["triplets", str(tmp_path / "t"), *words]) == 0
    options = TrainOptions("parser", store, tmp_path, steps=1, val=2, batch_size=8, triplets=tmp_path / "t")
    groups = {}
    for share in (0.0, 1.0):
        stage: Any = build_stage(replace(options, triplet_share=share))
        groups[share] = torch.cat([stage.batch(step)["groups"] for step in range(3)])
    in_neck, maybe = GROUPS.index(NECK), GROUPS.index(COLLAR)
    assert not (groups[0.0] == L.TORSO_SKIN).any() and (groups[0.0] >= in_neck).any()
    assert (groups[1.0] == L.TORSO_SKIN).any() and not (groups[1.0] >= in_neck).any()
    # Skin costs nothing in the store's necks, nor clothes; background does where it cannot be seen.
    matrix = torch.from_numpy(group_matrix())
    for group, allowed in ((in_neck, (L.TORSO_SKIN, L.UPPER_CLOTHES)), (maybe, (L.TORSO_SKIN, L.BACKGROUND))):
        target = torch.full((1, 8, 8), group, dtype=torch.uint8)
        losses = [
            float(
                group_cross_entropy(
                    40.0 * F.one_hot(torch.full((1, 4, 4), c), 22).permute(0, 3, 1, 2).float(), target, matrix
                )
            )
            for c in range(L.PARSER_LABELS)
        ]
        assert all(losses[label] < 1e-3 for label in allowed) and losses[L.FACE] > 10 and losses[L.THING] > 10
        assert (losses[L.BACKGROUND] < 1e-3) == (group == maybe)


def test_vgg19_distance(tmp_path: Path) -> None:
    cpvton.write_vgg19(tmp_path / "vgg19.pth")
    distance = VGG19Distance(tmp_path / "vgg19.pth")
    generator = torch.Generator().manual_seed(1)
    a, b = torch.rand((2, 1, 3, 32, 32), generator=generator) * 2 - 1
    assert distance(a, a) == 0
    # CP-VTON: 1/32, 1/16, 1/8, 1/4, 1 of the L1 at the first ReLU after each pooling.
    state = {k.removeprefix("features."): v for k, v in torch.load(tmp_path / "vgg19.pth").items()}
    with torch.device("meta"):
        features = vgg19(weights=None).features
    features.load_state_dict(state, assign=True)
    expected, x, y, after_pool, shares = 0.0, a, b, True, [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1]
    with torch.inference_mode():
        for layer in features:
            x, y = layer(x.clone()), layer(y.clone())
            if isinstance(layer, nn.MaxPool2d):
                after_pool = True
            elif isinstance(layer, nn.ReLU) and after_pool:
                expected += shares.pop(0) * float((x - y).abs().mean())
                after_pool = False
    assert not shares and expected > 0
    assert float(distance(a, b)) == pytest.approx(expected, rel=1e-4)
    a.requires_grad_(), b.requires_grad_()
    distance(a, b).backward()
    assert a.grad is not None and a.grad.abs().sum() > 0 and b.grad is None


def test_perceptual_choices(
    vtcli: Vtcli, store: Path, gmm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpvton.write_vgg19(tmp_path / "vgg19.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    command = ("train", "tom", "--data", store, "--gmm", gmm, "--steps", 1, "--out", tmp_path, *FEW)
    missing = vtcli(*command, "--perceptual", "vgg19")
    assert missing.code == 1 and missing.err.count("\n") == 1
    assert "--vgg-weights" in missing.err and str(tmp_path / "home") in missing.err
    torch.save({"features.0.weight": torch.zeros(2)}, tmp_path / "other.pth")
    other = vtcli(*command, "--perceptual", "vgg19", "--vgg-weights", tmp_path / "other.pth")
    assert other.code == 1 and "other.pth" in other.err and other.err.count("\n") == 1
    assert vtcli(*command, "--vgg-weights", tmp_path / "vgg19.pth").code == 2
    assert not (tmp_path / "tom").exists()
    done = vtcli(*command, "--perceptual", "vgg19", "--vgg-weights", tmp_path / "vgg19.pth")
    assert done.code == 0, done.err
    assert _log(tmp_path / "tom", "training")[0]["perceptual"] > 0


@pytest.mark.parametrize(
    ("losses", "parts"),
    [
        ("full", {"perceptual", "rendered", "squared", "multi_scale_ssim"}),
        ("cpvton", {"perceptual"}),
        ("l1", set()),
    ],
)
def test_losses_are_those_asked_for(
    losses: str, parts: set[str], vtcli: Vtcli, store: Path, gmm: Path, tmp_path: Path
) -> None:
    command = ("train", "tom", "--data", store, "--gmm", gmm, "--steps", 1, "--out", tmp_path, *FEW)
    done = vtcli(*command, "--losses", losses)
    assert done.code == 0, done.err
    logged = set(_log(tmp_path / "tom", "training")[0])
    every = {"perceptual", "rendered", "squared", "multi_scale_ssim"}
    assert logged & every == parts and {"l1", "mask", "parse"} <= logged


@pytest.mark.parametrize("losses", ["full", "l1"])
def test_mask_weight_weighs_the_loss_of_the_composition_mask(
    losses: str, store: Path, gmm: Path, tmp_path: Path
) -> None:
    totals = []
    for weight in (0.0, 2.0):
        options = TrainOptions(
            "tom", store, tmp_path, steps=1, batch_size=2, gmm=gmm, losses=losses, mask_weight=weight
        )
        torch.manual_seed(0)
        stage = build_stage(options)
        total, parts = stage.loss(stage.network, stage.batch(0), 0.0)
        totals.append(total.item())
    assert totals[1] - totals[0] == pytest.approx(2.0 * parts["mask"].item(), rel=1e-3)


def test_lost_steps_are_skipped_and_counted(
    vtcli: Vtcli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls, bad = GMMStage.loss, [], {2, 3}

    def loss(self: GMMStage, network: nn.Module, batch: Any, progress: float) -> Any:
        calls.append(1)
        if len(calls) in bad:
            batch = dict(batch, cloth=signed(batch["cloth"]) * math.nan)
        return original(self, network, batch, progress)

    monkeypatch.setattr(GMMStage, "loss", loss)
    command = ("train", "gmm", "--data", store, "--steps", 5, *FEW)
    done = vtcli(*command, "--out", tmp_path / "a")
    assert done.code == 0, done.err
    assert "(1 so far)" in done.err and "(2 so far)" in done.err and "(3 so far)" not in done.err
    with safe_open(str(tmp_path / "a" / "gmm" / "last.safetensors"), framework="pt") as file:
        assert json.loads(file.metadata()["state"])["skipped"] == 2
    tensors = _tensors(tmp_path / "a" / "gmm" / "last.safetensors")
    assert all(torch.isfinite(v).all() for v in tensors.values())
    counts = {float(v) for k, v in tensors.items() if k.startswith("optimizer") and k.endswith(".step")}
    assert counts == {3.0}
    assert all(
        math.isfinite(v) for v in _log(tmp_path / "a" / "gmm", "training")[0].values() if v != "training"
    )

    calls.clear()
    bad.update(range(1, 1000))
    monkeypatch.setattr(trainer, "SKIPS_ALLOWED", 3)
    lost = vtcli(*command, "--out", tmp_path / "b")
    assert lost.code == 1 and "not finite in 4 steps" in lost.err and "--lr" in lost.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step": -1}, "step is -1"),
        ({"step": 2.5}, "step is 2.5"),
        ({"skipped": True}, "skipped is True"),
        ({"validated": None}, "validated is None"),
        ({"seconds": math.nan}, "seconds are nan"),
        ({"best": "high"}, "best is 'high'"),
        ({"best": math.inf}, "best is inf"),
        ({"more": 1}, "fields"),
    ],
)
def test_a_checkpoints_state_is_checked(change: dict[str, Any], words: str) -> None:
    state = TrainState(step=4, seconds=2.5, best=0.5, skipped=1, validated=2)
    assert TrainState.from_json(json.loads(json.dumps(asdict(state)))) == state
    with pytest.raises(ValueError, match=words):
        TrainState.from_json({**asdict(state), **change})


def test_a_checkpoints_state_has_all_fields() -> None:
    for values in ({k: v for k, v in asdict(TrainState()).items() if k != "best"}, {}, [], None):
        with pytest.raises(ValueError, match="fields"):
            TrainState.from_json(values)


def test_broken_checkpoints_are_named(vtcli: Vtcli, store: Path, gmm: Path, tmp_path: Path) -> None:
    good = gmm / "gmm" / "last.safetensors"
    tensors, data = _tensors(good), good.read_bytes()
    with safe_open(str(good), framework="pt") as file:
        header = file.metadata()
    path = tmp_path / "gmm" / "last.safetensors"
    path.parent.mkdir()
    weight = next(k for k in tensors if k.startswith("module.network") and tensors[k].ndim > 1)
    broken = {
        "not a readable checkpoint": data[: len(data) // 2],
        "step is 'four'": save(
            tensors, {**header, "state": header["state"].replace('"step": 1', '"step": "four"')}
        ),
        "its state does not": save(tensors, {**header, "state": "7"}),
        "('state')": save(tensors, {"options": header["options"]}),
        "not finite": save({**tensors, weight: tensors[weight] * math.nan}, header),
        "other options (network)": save({k: v for k, v in tensors.items() if k != weight}, header),
        "optimizer of network": save({**tensors, "optimizer.network.999.step": torch.ones(())}, header),
    }
    for words, content in broken.items():
        path.write_bytes(content)
        done = vtcli("train", "gmm", "--data", store, "--out", tmp_path, "--steps", 2, "--resume", *FEW)
        assert done.code == 1 and str(path) in done.err and words in done.err, (words, done.err)
        assert done.err.count("\n") == 1
        assert path.read_bytes() == content


def test_a_validation_without_a_number_is_not_the_best(
    vtcli: Vtcli, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, scores = GMMStage.validate, iter([math.nan, 0.25])

    def validate(self: GMMStage, network: nn.Module) -> Any:
        result = original(self, network)
        result.metrics["warp_iou"] = next(scores)
        return result

    monkeypatch.setattr(GMMStage, "validate", validate)
    done = vtcli(
        "train", "gmm", "--data", store, "--out", tmp_path, "--steps", 2, "--validate-every", 1, *FEW
    )
    assert done.code == 0, done.err
    assert read_metadata(tmp_path / "gmm" / "best.safetensors")["figures"]["warp_iou"] == 0.25


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gmm", "--steps", 1, "--minutes", 1), "--steps and --minutes"),
        (("gmm", "--epochs", 0), "--epochs 0"),
        (("gmm", "--minutes", "nan"), "--minutes nan"),
        (("gmm", "--lr", 0), "--lr 0"),
        (("gmm", "--steps", 0), "steps"),
        (("gmm", "--preset", "huge"), "huge"),
        (("refiner",), "refiner"),
        (("tom", "--keep", "hands"), "hands"),
        (("tom", "--backgrounds", 2), "backgrounds"),
        (("gmm", "--device", "cuda:77"), "present: cpu"),
        (("tom", "--batch-size", 3, "--gmm", "GMM"), "--batch-size"),
        ((), "STAGE"),
    ],
)
def test_off_calls(
    arguments: tuple[object, ...], words: str, vtcli: Vtcli, store: Path, gmm: Path, tmp_path: Path
) -> None:
    given = [gmm if a == "GMM" else a for a in arguments]
    done = vtcli("train", *given, "--data", store, "--out", tmp_path)
    assert done.code == 2, done.err
    assert words in done.err
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_trained_on(vtcli: Vtcli, store: Path, gmm: Path, tmp_path: Path) -> None:
    absent = vtcli("train", "gmm", "--data", tmp_path / "absent", "--steps", 1)
    assert absent.code == 1 and "vtcli prepare" in absent.err
    resume = vtcli("train", "gmm", "--data", store, "--out", tmp_path / "empty", "--resume")
    assert resume.code == 1 and "start anew (without --resume)" in resume.err
    write_store(tmp_path / "odd", "train", 3, seed=0, size=(100, 80))
    for name, more in (("parser", ()), ("gmm", ()), ("tom", ("--gmm", gmm))):
        odd = vtcli("train", name, "--data", tmp_path / "odd", *more)
        assert odd.code == 2 and "100x80" in odd.err and "--size" in odd.err
    other = vtcli("train", "gmm", "--data", store, "--out", gmm, "--resume", "--no-aux", "--steps", 9)
    assert other.code == 1 and "other options" in other.err and other.err.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("stage", "option", "users"),
    [
        ("gmm", "--keep=head", "only tom"),
        ("gmm", "--photos=x", "only parser and tom"),
        ("parser", "--no-aux", "only gmm and tom"),
        ("parser", "--preset=paper", "only gmm and tom"),
    ],
)
def test_options_of_another_stage_are_errors(
    stage: str, option: str, users: str, vtcli: Vtcli, store: Path, tmp_path: Path
) -> None:
    done = vtcli("train", stage, "--data", store, "--out", tmp_path, "--steps", 1, option, *FEW)
    assert done.code == 2 and done.err.count("\n") == 1, done.err
    assert option.partition("=")[0] in done.err and f"train {stage}" in done.err and users in done.err
    assert not list(tmp_path.iterdir())


def test_quiet_shows_the_metrics_alone(vtcli: Vtcli, store: Path, tmp_path: Path) -> None:
    quiet = vtcli("train", "gmm", "--data", store, "--out", tmp_path / "q", "--steps", 1, "--quiet", *FEW)
    assert quiet.err == "" and "warp_iou" in quiet.out


def test_help_states_defaults_and_needs_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['vtcli', 'train', *sys.argv[1:], '--help']\n"
        "from vtcli.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: print('torch' in sys.modules)"
    )

    def words(*stage: str) -> str:
        command = [sys.executable, "-c", code, *stage]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert out.rstrip().endswith("False")
        return " ".join(out.replace("│", " ").split())

    assert all(stage in words() for stage in ("parser", "gmm", "tom"))
    common = (
        "--data", "--out", "--steps", "--epochs", "--minutes", "--batch-size", "--lr", "--seed", "--val", "--resume",
        "--init", "--extra", "--amp", "--compile", "--device", "--quiet",
    )  # fmt: skip
    networks = ("--preset", "--aux", "--skin-weight", "--background-weight", "--aux-weight")
    own = (
        "--keep", "--gmm", "--photos", "--losses", "--perceptual", "--vgg-weights", "--perceptual-weight",
        "--mask-weight", "--adversarial-weight", "--backgrounds",
    )  # fmt: skip
    for stage, options in (("parser", ("--photos",)), ("gmm", networks), ("tom", (*networks, *own))):
        text = words(stage)
        assert "30 for parser, 40 for gmm and tom" in text and "not with --minutes" in text
        assert [o for o in (*common, *networks, *own) if f"{o} " in text] == [
            o for o in (*common, *networks, *own) if o in (*common, *options)
        ]


def test_validation_pairs_were_never_trained_on(store: Path, tmp_path: Path) -> None:
    options = TrainOptions("gmm", store, tmp_path, val=3)
    train, rows, val, val_rows = split_pairs(options)
    assert (len(rows), val.manifest.split, val_rows.tolist()) == (12, "test", [0, 1])  # half of the four
    write_store(tmp_path, "train", 20, seed=0)
    train, rows, val, val_rows = split_pairs(TrainOptions("gmm", tmp_path, tmp_path))
    assert val is train and val_rows.tolist() == [18, 19] and rows.tolist() == list(range(18))
    write_store(tmp_path / "one", "train", 1, seed=0)
    with pytest.raises(VtcliError, match="too few pairs"):
        split_pairs(TrainOptions("gmm", tmp_path / "one", tmp_path))


def test_each_epoch_sees_each_pair_once() -> None:
    order = Order(10, 4, seed=1)
    rows = np.concatenate([order.rows(step) for step in range(5)])  # two epochs
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10].tolist() != rows[10:].tolist()
    assert Order(10, 4, seed=1).rows(3).tolist() == rows[12:16].tolist()  # without the steps before
    assert Order(10, 4, seed=2).rows(0).tolist() != rows[:4].tolist()
    assert len(Order(2, 8, seed=0).rows(5)) == 8  # fewer pairs than a batch takes


def test_a_second_store_gives_its_share(vtcli: Vtcli, store: Path, tmp_path: Path) -> None:
    write_store(tmp_path / "extra", "train", 1, seed=77)
    other = PreparedStore.open(tmp_path / "extra", "train").read("image", [0])[0]
    counts = []
    for share in (0.0, 0.3, 1.0):
        options = TrainOptions("gmm", store, tmp_path, val=2, extra=tmp_path / "extra", extra_share=share)
        stage: Any = build_stage(options)
        images = stage.pairs.source.read([np.random.default_rng(i) for i in range(200)], np.arange(200) % 12)[
            "image"
        ]
        counts.append(sum(np.array_equal(image, other) for image in images))
    assert counts[0] == 0 and 40 <= counts[1] <= 80 and counts[2] == 200
    command = ("train", "gmm", "--data", store, "--out", tmp_path, "--steps", 1, *FEW)
    assert vtcli(*command, "--extra", tmp_path / "extra", "--extra-share", 0.5).code == 0
    metadata = read_metadata(tmp_path / "gmm" / "best.safetensors")
    assert metadata["options"]["extra"] == "extra" and metadata["options"]["extra_share"] == 0.5
    write_store(tmp_path / "large", "train", 1, seed=0, size=(256, 192))
    large = vtcli(*command[:-2], "--out", tmp_path / "x", "--extra", tmp_path / "large")
    assert large.code == 1 and "another size" in large.err


def test_log_lines_are_means_over_the_steps_that_had_the_loss() -> None:
    meter = LossMeter()
    meter.add({"loss": torch.tensor(1.0)})
    meter.add({"loss": torch.tensor(3.0), "generator": torch.tensor(5.0)})
    assert meter.steps == 2 and meter.take() == {"loss": 2.0, "generator": 5.0}
    assert meter.steps == 0 and meter.take() == {}


def test_contact_sheet_has_a_row_for_each_kind_of_picture() -> None:
    shades = torch.linspace(-1, 1, 11)[:, None, None, None].expand(-1, 3, 4, 2)
    sheet = contact_sheet(shades, -shades)
    assert sheet.shape == (8, 8 * 2, 3) and sheet.dtype == np.uint8
    assert sheet[0, ::2, 0].tolist() == [0, 25, 51, 76, 102, 128, 153, 178]
    assert sheet[4, ::2, 0].tolist() == [255, 230, 204, 178, 153, 128, 102, 76]


def test_learning_rate_warms_up_and_falls() -> None:
    rates = [trainer.learning_rate(1e-3, step, step / 1000, 100) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-5) and max(rates) == pytest.approx(rates[99], rel=0.01)
    assert all(a > b for a, b in itertools.pairwise(rates[100:]))
    assert trainer.learning_rate(1e-3, 5000, 1.0, 100) == pytest.approx(1e-5)


def test_skin_and_background_weigh_more() -> None:
    weights = label_weights(3.0, 5.0)
    assert weights[L.BACKGROUND] == 5 and all(weights[i] == 3 for i in (L.FACE, L.LEFT_ARM, L.RIGHT_LEG))
    assert weights[L.UPPER_CLOTHES] == 1 and weights[L.HAIR] == 1
