"""Two ranks do what one process does: the same gradients, the same store, the same pictures, each once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Ended, write_store
from ranks import run_ranks
from safetensors.torch import load_file, save_file
from test_prepare import SIZE, _data, _list, _save_pair
from torch import nn

from vtcli.core.data.prepare import PrepareOptions, SplitDone, prepare
from vtcli.core.data.results import ResultsInfo
from vtcli.core.data.store import PreparedStore
from vtcli.core.system import distributed
from vtcli.core.system.errors import UsageProblem, VtcliError
from vtcli.core.training import trainer
from vtcli.core.training.options import OptimizerSettings, TrainOptions
from vtcli.core.training.run import build_stage
from vtcli.core.training.stage import Stage
from vtcli.core.tryon import split
from vtcli.core.tryon.networks import Networks

CPU = torch.device("cpu")


def _without_batch_statistics(network: nn.Module) -> None:
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, nn.GroupNorm(1, child.num_features))
        else:
            _without_batch_statistics(child)


def _without_kinks(network: nn.Module) -> None:
    """What lies at a kink of ReLU, as plain areas may, has another slope after rounding: of the gradients, several times
    what is allowed to differ."""
    for name, child in network.named_children():
        if isinstance(child, nn.ReLU | nn.LeakyReLU):
            setattr(network, name, nn.SiLU())
        else:
            _without_kinks(child)


def _stage(options: TrainOptions) -> Stage:
    stage = build_stage(options)
    torch.manual_seed(0)
    _without_batch_statistics(stage.network)
    for network in (stage.network, stage.discriminator):
        if network is not None:
            _without_kinks(network)
    return stage


# -- training ------------------------------------------------------------------------------------------------


def _gradients(name: str, adversarial_weight: float, store: Path, file: Path) -> None:
    # The discriminator stands beside L1 alone: summed over all losses, rounding would be as large as what is looked for.
    options = TrainOptions(
        name, store, file.parent, steps=1, batch_size=8 if adversarial_weight else 4, val=2,
        adversarial_weight=adversarial_weight, losses="l1" if adversarial_weight else None,
    )  # fmt: skip
    with distributed.joined():
        stage = _stage(options)
        network = distributed.data_parallel(stage.network, CPU)
        torch.manual_seed(5)
        batch = stage.batch(0)
        loss, _ = stage.loss(network, batch, 0.5)
        loss.backward()
        trained = list(stage.network.named_parameters())
        discriminator_loss = stage.discriminator_loss(batch)
        if discriminator_loss is not None and stage.discriminator is not None:
            stage.discriminator.zero_grad()
            discriminator_loss.backward()  # type: ignore[no-untyped-call]
            distributed.average_gradients(stage.discriminator)
            trained += [(f"discriminator.{k}", p) for k, p in stage.discriminator.named_parameters()]
        if distributed.is_first():
            save_file({k: p.grad.contiguous() for k, p in trained if p.grad is not None}, file)


@pytest.mark.parametrize(
    ("name", "adversarial_weight"), [("gmm", 0.0), ("tom", 0.0), ("tom", 0.02), ("parser", 0.0)]
)
def test_gradients_of_two_ranks_are_those_of_the_global_batch(
    name: str, adversarial_weight: float, store: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    _gradients(name, adversarial_weight, store, one)
    assert run_ranks(2, _gradients, name, adversarial_weight, store, two) == [0, 0]
    whole, shared = load_file(one), load_file(two)
    assert whole.keys() == shared.keys() and any(g.abs().max() > 1e-4 for g in whole.values())
    assert any(key.startswith("discriminator.") for key in whole) == bool(adversarial_weight)
    for key, gradient in whole.items():
        torch.testing.assert_close(
            shared[key], gradient, rtol=1e-3, atol=2e-5, msg=lambda m, k=key: f"{k}: {m}"
        )


def _train(store: Path, out: Path, resume: bool, stop_at: int, by: int) -> None:
    """Five steps; at step `stop_at` rank `by` alone gets a SIGTERM."""
    options = TrainOptions(
        "gmm", store, out, steps=5, batch_size=4, val=2, optimizer=OptimizerSettings(warmup=1), lr=1e-4
    )
    with distributed.joined():
        stage = _stage(options)
        original, batch_of = stage.loss, stage.batch

        def loss(network: nn.Module, batch: Any, progress: float) -> Any:
            if round(progress * 5) == stop_at and distributed.rank() == by:
                signal.raise_signal(signal.SIGTERM)
            return original(network, batch, progress)

        stage.loss, stage.batch = loss, batch_of  # type: ignore[method-assign]
        try:
            trainer.train(stage, options, CPU, lambda event: None, resume)
        except trainer.Interrupted:
            os._exit(30)


@pytest.mark.usefixtures("small_networks")
def test_resumes_with_other_numbers_of_ranks(store: Path, tmp_path: Path) -> None:
    _train(store, tmp_path / "one", False, -1, 0)
    assert run_ranks(2, _train, store, tmp_path / "two", False, 1, 1) == [
        30,
        30,
    ]  # a signal to one stops both
    assert run_ranks(1, _train, store, tmp_path / "two", True, 3, 0) == [30]
    assert run_ranks(2, _train, store, tmp_path / "two", True, -1, 0) == [0, 0]
    ours, theirs = (load_file(tmp_path / name / "gmm" / "last.safetensors") for name in ("two", "one"))
    assert ours.keys() == theirs.keys()
    # AdamW makes a whole step of a gradient that is nothing but rounding, so that some weights differ by what they
    # moved; with other samples, or another learning rate, all would.
    start = _stage(TrainOptions("gmm", store, tmp_path, steps=1, batch_size=4, val=2)).network.state_dict()
    apart = sum((ours[f"module.network.{k}"] - theirs[f"module.network.{k}"]).abs().sum() for k in start)
    moved = sum((start[k] - theirs[f"module.network.{k}"]).abs().sum() for k in start)
    assert moved > 0 and apart < 0.1 * moved
    steps = [json.loads(x)["step"] for x in (tmp_path / "two" / "gmm" / "log.jsonl").read_text().splitlines()]
    assert steps.count(5) == 2  # a line of losses and one of metrics: rank 0's alone


def test_samples_do_not_depend_on_the_ranks(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def batch(name: str, rank: int, world: int) -> dict[str, torch.Tensor]:
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        monkeypatch.setattr(distributed, "world", lambda: world)
        return build_stage(TrainOptions(name, store, tmp_path, steps=1, batch_size=4, val=2)).batch(3)

    for name in ("gmm", "tom", "parser"):
        whole = batch(name, 0, 1)
        for rank in (0, 1):
            for key, value in batch(name, rank, 2).items():
                assert torch.equal(value, whole[key][rank::2]), (name, key)
    with pytest.raises(UsageProblem, match=r"--batch-size 4.*multiple of 3"):
        batch("gmm", 0, 3)
    with pytest.raises(UsageProblem, match=r"each half.*multiple of 8"):
        batch("tom", 0, 4)


def test_torchrun_speaks_once_and_writes_once(store: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "vtcli",
        "train", "gmm", "--data", store, "--out", tmp_path, "--steps", 2, "--batch-size", 4, "--val", 2,
        "--device", "cpu",
    ]  # fmt: skip
    ended = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("warp_iou") == 1 and ended.stderr.count("12 pairs, 4 to a batch, 2 steps") == 1
    assert (tmp_path / "gmm" / "final.safetensors").is_file()


# -- try-on over a split -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people")
    write_store(root, "test", 9, seed=3, size=(256, 192))
    return root / "test"


def _tryon(people: Path, out: Path, names: Path, die_after: int | None = None) -> None:
    """Try on, and note in `names` which pictures this rank has made; rank 1 dies after `die_after` of them."""
    original, count = split._make, Counter[str]()

    def make(networks: Networks, annotator: Any, store: PreparedStore, batch: list[Any], *more: Any) -> Any:
        with (names / f"{distributed.rank()}.txt").open("a") as stream:
            stream.writelines(f"{job.name}\n" for job in batch)
        made = original(networks, annotator, store, batch, *more)
        count["batches"] += 1
        if distributed.rank() == 1 and count["batches"] == die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    split._make = make  # type: ignore[assignment]
    try:
        with distributed.joined():
            networks = Networks.load(None, CPU)
            for _ in split.run_split(
                networks, PreparedStore.open(people), out, split.SplitOptions(batch_size=2)
            ):
                pass
    finally:
        split._make = original


def _names(names: Path) -> list[str]:
    return [name for file in sorted(names.iterdir()) for name in file.read_text().split()]


def _pictures(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (out / "images").iterdir()}


def test_ranks_share_a_split_and_a_dead_ones_share_is_picked_up(people: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "first", "second"):
        (tmp_path / "names" / name).mkdir(parents=True)
    _tryon(people, tmp_path / "one", tmp_path / "names" / "one")
    alone, info = _pictures(tmp_path / "one"), ResultsInfo.load(tmp_path / "one")
    assert len(alone) == 9

    assert run_ranks(2, _tryon, people, tmp_path / "two", tmp_path / "names" / "two") == [0, 0]
    made = _names(tmp_path / "names" / "two")
    assert sorted(made) == sorted(p.name for p in info.pairs)  # all of them, none twice
    assert len(list((tmp_path / "names" / "two").iterdir())) == 2
    assert _pictures(tmp_path / "two") == alone
    merged = ResultsInfo.load(tmp_path / "two")
    assert (
        merged.pairs == info.pairs and merged.figures == info.figures and len(merged.figures["warp_iou"]) == 9
    )
    assert {p.name for p in (tmp_path / "two").iterdir()} == {"images", "results.json", ".lock"}

    codes = run_ranks(2, _tryon, people, tmp_path / "dead", tmp_path / "names" / "first", 2)
    assert codes == [1, -signal.SIGKILL]
    assert not (tmp_path / "dead" / "results.json").exists()
    left = set(alone) - set(_pictures(tmp_path / "dead"))
    assert left and len(left) < 9
    assert run_ranks(2, _tryon, people, tmp_path / "dead", tmp_path / "names" / "second") == [0, 0]
    assert _pictures(tmp_path / "dead") == alone
    assert ResultsInfo.load(tmp_path / "dead").figures == info.figures
    again = _names(tmp_path / "names" / "second")
    assert len(again) == len(set(again)) and {f"{n}.png" for n in again} >= left
    assert len(again) <= len(left) + 2  # the batch whose metrics were not written down, at most


# -- prepare -------------------------------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Eleven training pairs, two of them repetitions and one unreadable; four of test, one of them seen."""
    root = tmp_path / "data"
    fields = _data(root, train=8, test=4)
    for number, like in ((20, 1), (21, 6)):
        _save_pair(root / "train", number, {k: v[like] for k, v in fields.items()})
    _save_pair(root / "train", 22, {k: v[0] for k, v in fields.items()})
    (root / "train" / "image" / "000022_0.jpg").write_bytes(b"no picture")
    _save_pair(root / "test", 30, {k: v[2] for k, v in fields.items()})
    _list(root, "train", [(i, i) for i in (0, 1, 2, 22, 3, 20, 4, 5, 6, 21, 7)])
    _list(root, "test", [(8, 9), (9, 8), (10, 11), (11, 10), (30, 30)])
    return root


def _prepare(data: Path, out: Path, shard: int, die_after: int | None = None) -> None:
    options = PrepareOptions(size=SIZE, jobs=1, shard_size=shard)
    with distributed.joined():
        for count, event in enumerate(prepare(data, out, options)):
            assert not isinstance(event, SplitDone) or distributed.is_first()
            if distributed.rank() == 1 and count == die_after:
                os.kill(os.getpid(), signal.SIGKILL)


def _files(folder: Path) -> dict[str, bytes]:
    every = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in every if not p.name.startswith(".lock")}


@pytest.mark.parametrize("shard", [2, 64])
def test_ranks_prepare_the_same_store(planted: Path, tmp_path: Path, shard: int) -> None:
    _prepare(planted, tmp_path / "one", shard)
    assert run_ranks(2, _prepare, planted, tmp_path / "two", shard) == [0, 0]
    assert _files(tmp_path / "two") == _files(tmp_path / "one")
    assert len(PreparedStore.open(tmp_path / "two", "train")) == 8
    assert run_ranks(2, _prepare, planted, tmp_path / "two", shard) == [0, 0]  # and find it done
    assert _files(tmp_path / "two") == _files(tmp_path / "one")


@pytest.mark.parametrize("then", [1, 2])
def test_a_dead_ranks_share_of_prepare_is_picked_up(
    planted: Path, tmp_path: Path, then: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepare(planted, tmp_path / "one", 2)
    assert run_ranks(2, _prepare, planted, tmp_path / "two", 2, 4) == [1, -signal.SIGKILL]
    parts = sorted((tmp_path / "two" / "train" / "parts").glob("*.json"))
    assert parts and not (tmp_path / "two" / "train" / "manifest.json").exists()
    before = {p: p.stat().st_mtime_ns for p in parts}
    if then == 2:
        assert run_ranks(2, _prepare, planted, tmp_path / "two", 2) == [0, 0]
    else:
        events = prepare(planted, tmp_path / "two", PrepareOptions(size=SIZE, jobs=1, shard_size=2))
        for event in events:
            if isinstance(event, SplitDone) and event.split == "train":
                assert not any(p.exists() for p in before)
    assert _files(tmp_path / "two") == _files(tmp_path / "one")


# -- one folder, one run -------------------------------------------------------------------------------------


def _hold(folder: Path) -> None:
    from vtcli.core.system.locks import hold

    with hold(folder, "vtcli tryon"):
        (folder / "held").touch()
        signal.pause()


def test_a_second_run_in_a_folder_is_told_of_the_first(
    people: Path, store: Path, tmp_path: Path, vtcli: Callable[..., Ended]
) -> None:
    import multiprocessing
    import time

    data = tmp_path / "data"
    _data(data, train=2, test=1)
    owner: Any = multiprocessing.get_context("fork").Process(target=_hold, args=(tmp_path / "out",))
    owner.start()
    while not (tmp_path / "out" / "held").exists():
        time.sleep(0.01)
    try:
        train = ("train", "gmm", "--data", store, "--out", tmp_path, "--steps", 1)
        (tmp_path / "gmm").symlink_to(tmp_path / "out")
        for command in (
            ("prepare", data, "--out", tmp_path / "out", "--size", "64x48", "--jobs", 1),
            ("tryon", "--data", people, "-o", tmp_path / "out"),
            ("warp", "--data", people, "-o", tmp_path / "out"),
            (*train, "--batch-size", 2, "--val", 2, "--device", "cpu"),
        ):
            ended = vtcli(*command)
            assert ended.code == 1 and ended.err.splitlines()[-1].startswith("vtcli: "), ended.err
            assert f"process {owner.pid} on" in ended.err and "`vtcli tryon`" in ended.err
    finally:
        owner.kill()
        owner.join()
    # The owner was killed: its lock is nobody's.
    ended = vtcli("warp", "--data", people, "-o", tmp_path / "out", "--limit", 1)
    assert ended.code == 0, ended.err
    with pytest.raises(VtcliError, match="another run's pictures"):
        _tryon(people, tmp_path / "out", tmp_path)
