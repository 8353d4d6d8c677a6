"""The recipe `cpvton` trains as CP-VTON's code does, and its networks see what CP-VTON's see."""

from __future__ import annotations

import copy
import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cpvton
import numpy as np
import pytest
import torch
from conftest import write_store
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn

from vtcli.core.models.presets import build_gmm
from vtcli.core.models.weights import read_metadata, save_weights
from vtcli.core.training import trainer
from vtcli.core.training.cpvton_recipe import SIZE, CPVTONStage, Inputs
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.run import build_stage

Vtcli = Callable[..., Any]
SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
STEPS = 2


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared store of CP-VTON's size; the given masks and parses have holes, which must stay."""
    root = tmp_path_factory.mktemp("pairs")
    for split, count in (("train", 4), ("test", 2)):
        write_store(root, split, count, seed=count, size=SIZE)
        for name, hole in (("cloth_mask", np.s_[:, 120:130, 90:100]), ("parse", np.s_[:, 130:138, 90:98])):
            file = root / split / f"{name}-0000.npy"
            array = np.load(file)
            array[hole] = 0
            np.save(file, array)
        cloth = np.load(root / split / "cloth-0000.npy")
        cloth[:, :, :8] = (200, 40, 90)  # a shop photo with a coloured edge
        np.save(root / split / "cloth-0000.npy", cloth)
    return root


def _plain(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch as CP-VTON's data set gives it; what ours makes of it is the same."""
    fields = ("image", "cloth", "cloth_mask", "parse", "keypoints")
    samples = [
        cpvton.sample(*(batch[f][i].numpy() for f in fields), False) for i in range(len(batch["image"]))
    ]
    plain = {name: torch.stack([s[name] for s in samples]) for name in samples[0]}
    given = Inputs.of(batch)
    ours = (given.image, given.cloth, given.mask, given.worn, given.person)
    for name, value in zip(("image", "cloth", "cloth_mask", "parse_cloth", "agnostic"), ours, strict=True):
        torch.testing.assert_close(value, plain[name], atol=2e-6, rtol=0)
    return plain


def _assert_trains_alike(
    options: TrainOptions, reference: Any, losses_of: Callable[[Any, dict[str, Tensor]], dict[str, Tensor]]
) -> nn.Module:
    """The one loop takes `STEPS` steps. At each, the plain rewriting, with the same weights, has the same losses and the
    same gradient; and Adam makes the same weights of it. (Each has a step of its own: Adam goes as far for a gradient
    that is nothing but rounding as for any other, and two runs would part by that.) Returns the network as it was."""
    stage: Any = build_stage(options)
    before = copy.deepcopy(stage.network)
    _take_weights(reference, before)
    reference.train()
    optimizer = cpvton.adam(reference)
    told: list[dict[str, float]] = []
    original, steps = stage.loss, itertools.count()

    def loss(*given: Any) -> Any:
        total, parts = original(*given)
        told.append({name: part.item() for name, part in parts.items()})
        assert total.item() == pytest.approx(sum(told[-1].values()), rel=1e-6)  # weights of 1
        return total, parts

    def step(*_: Any) -> None:
        theirs = losses_of(reference, _plain(stage.batch(next(steps))))
        assert told[-1] == pytest.approx({k: v.item() for k, v in theirs.items()}, rel=1e-4)
        optimizer.zero_grad()
        sum(theirs.values(), torch.zeros(())).backward()
        _take_gradient(reference, stage.network)
        optimizer.step()

    stage.loss = loss
    loop = trainer.Trainer(stage, options, torch.device("cpu"), lambda event: None, options.out / stage.name)
    (options.out / stage.name).mkdir(parents=True)
    loop.optimizers["network"].register_step_pre_hook(step)
    loop.run(resume=False)
    assert next(steps) == len(told) == STEPS
    for mine, theirs in zip(stage.network.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-7, rtol=0)
    for (name, mine), theirs in zip(stage.network.named_buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-3, rtol=1e-3, msg=name)
    with safe_open(str(options.out / stage.name / "last.safetensors"), framework="pt") as file:
        for name, value in stage.network.state_dict().items():  # no moving average
            assert torch.equal(file.get_tensor(f"module.ema.{name}"), value)
    return before


def _take_weights(theirs: nn.Module, ours: nn.Module) -> None:
    """Both list their layers in the same order."""
    pairs = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict({name: value.clone() for name, value in pairs})


def _take_gradient(theirs: nn.Module, ours: nn.Module) -> None:
    """After a look whether it is the same, length included: nothing was clipped."""
    pairs = list(zip(theirs.parameters(), ours.parameters(), strict=True))
    mine, reference = (torch.cat([p[i].grad.flatten() for p in pairs]) for i in (1, 0))  # type: ignore[union-attr]
    assert torch.nn.functional.cosine_similarity(mine.double(), reference.double(), 0) > 0.9999
    for a, b in pairs:
        assert a.grad is not None and b.grad is not None
        assert (a.grad - b.grad).norm() <= 0.02 * a.grad.norm() + 1e-6 * reference.norm()
        a.grad = b.grad.clone()


def _options(stage: str, data: Path, out: Path, **more: Any) -> TrainOptions:
    return TrainOptions(
        stage, data, out, preset="paper", recipe="cpvton", keep="head", steps=STEPS, val=1,
        **{"aux": False, "perceptual": "vgg19", "batch_size": 2, **more},
    )  # fmt: skip


def test_gmm_takes_the_steps_of_cp_vtons_code(pairs: Path, tmp_path: Path) -> None:
    before = _assert_trains_alike(_options("gmm", pairs, tmp_path), cpvton.GMM(), cpvton.gmm_losses)
    for extractor in (before.person_encoder, before.cloth_encoder):
        for layer in extractor.layers:
            if isinstance(layer, nn.Conv2d):
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
            elif isinstance(layer, nn.BatchNorm2d):
                assert layer.weight.std().item() == pytest.approx(0.02, rel=0.35) and not layer.bias.any()
    facts = read_metadata(tmp_path / "gmm" / "final.safetensors")
    assert facts["recipe"] == "cpvton" and facts["aux"] is False


def test_tom_takes_the_steps_of_cp_vtons_code(pairs: Path, tmp_path: Path) -> None:
    cpvton.write_vgg19(tmp_path / "vgg19.pth")
    vgg, gmm = cpvton.VGGLoss(tmp_path / "vgg19.pth"), cpvton.randomise(cpvton.GMM(), 3)
    save_gmm(gmm, tmp_path / "gmm.safetensors")

    def losses(network: Any, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        return cpvton.tom_losses(network, vgg, inputs, *cpvton.warped_cloth(gmm, inputs))

    files = {"gmm": tmp_path, "vgg_weights": tmp_path / "vgg19.pth"}
    options = _options("tom", pairs, tmp_path, batch_size=1, **files)  # larger ones are the GMM's test
    _assert_trains_alike(options, cpvton.UnetGenerator(), losses)


def save_gmm(theirs: nn.Module, path: Path) -> None:
    """As `vtcli weights import` does."""
    gmm = build_gmm("paper", aux=False)
    gmm.load_state_dict(dict(zip(gmm.state_dict(), theirs.state_dict().values(), strict=True)))
    save_weights(path, gmm, {"stage": "gmm", "preset": "paper", "aux": False}, half=False)


def test_the_auxiliary_decoder_comes_on_top(pairs: Path, tmp_path: Path) -> None:
    stages = [build_stage(_options("gmm", pairs, tmp_path, aux=aux)) for aux in (False, True)]
    assert all(isinstance(stage, CPVTONStage) for stage in stages)
    plain, both = stages
    both.network.load_state_dict(plain.network.state_dict(), strict=False)
    batch = plain.batch(0)
    alone, parts = plain.loss(plain.network, batch, 0.0)
    total, more = both.loss(both.network, batch, 0.0)
    assert set(parts) == {"l1"} and set(more) == {"l1", "parse", "parse_accuracy"}
    assert total.item() == pytest.approx(alone.item() + 0.1 * more["parse"].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("gmm", "--recipe", "cpvton"), ("--recipe cpvton", "--preset paper")),
        (("tom", "--recipe", "cpvton", "--preset", "lite"), ("--recipe cpvton", "--preset paper")),
        (("gmm", "--preset", "paper", "--extra", "x"), ("--extra:", "no use")),
        (("tom", "--preset", "paper", "--losses", "full"), ("--losses:", "no use")),
        (("tom", "--preset", "paper", "--adversarial-weight", "0.1"), ("--adversarial-weight:", "no use")),
        (("tom", "--preset", "paper", "--perceptual-weight", "0.5"), ("--perceptual-weight:", "no use")),
        (("tom", "--preset", "paper", "--keep", "both"), ("--keep both", "head alone")),
        (("tom", "--preset", "paper"), ("not a GMM of CP-VTON's", "--gmm")),
    ],
)
def test_what_the_recipe_has_no_use_for(
    command: tuple[str, ...], words: tuple[str, ...], vtcli: Vtcli, pairs: Path, tmp_path: Path
) -> None:
    done = vtcli("train", *command, "--data", pairs, "--out", tmp_path, "--steps", 1, "--device", "cpu")
    assert done.code == 2 and done.err.count("\n") == 1, done.err
    assert all(word in done.err for word in words), done.err
    assert not list(tmp_path.iterdir())


def test_without_vgg19_another_recipe_by_name(
    vtcli: Vtcli, pairs: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    save_gmm(cpvton.randomise(cpvton.GMM(), 3), tmp_path / "gmm.safetensors")
    command = ("train", "tom", "--preset", "paper", "--gmm", tmp_path, "--batch-size", 1, "--val", 1)
    run = (*command, "--out", tmp_path, "--steps", 1, "--device", "cpu", "--data")
    missing = vtcli(*run, pairs)
    assert missing.code == 1 and missing.err.count("\n") == 1, missing.err
    assert "--vgg-weights" in missing.err and "--perceptual lite0" in missing.err
    assert not (tmp_path / "tom").exists()
    small = vtcli(*run, store, "--perceptual", "none")
    assert small.code == 2 and "256x192" in small.err and small.err.count("\n") == 1
    done = vtcli(*run, pairs, "--perceptual", "none", "--aux")
    assert done.code == 0, done.err
    facts = read_metadata(tmp_path / "tom" / "final.safetensors")
    assert facts["recipe"] == "cpvton-none" and facts["aux"] is True and facts["options"]["steps"] == 1


def test_imported_weights_give_cp_vtons_pictures(vtcli: Vtcli, tmp_path: Path) -> None:
    """`warp` and `tryon` over a split against a plain rewriting of CP-VTON's test script, lossless between its stages."""
    names = ["000040", "000047", "000051"]
    for folder in ("image", "cloth", "cloth-mask", "image-parse", "pose"):
        (tmp_path / "data" / "test" / folder).mkdir(parents=True)
        for file in (SAMPLES / "test" / folder).iterdir():
            if file.name[:6] in names:
                shutil.copy(file, tmp_path / "data" / "test" / folder)
    spoil(tmp_path / "data" / "test", names[0])
    (tmp_path / "data" / "test_pairs.txt").write_text("".join(f"{n}_0.jpg {n}_1.jpg\n" for n in names))
    gmm, unet = cpvton.randomise(cpvton.GMM(), 3), cpvton.randomise(cpvton.UnetGenerator(), 4)
    torch.save(gmm.state_dict(), tmp_path / "gmm_final.pth")
    torch.save(unet.state_dict(), tmp_path / "tom_final.pth")
    weights = tmp_path / "weights"
    for words in (
        ("weights", "import", tmp_path / "gmm_final.pth", tmp_path / "tom_final.pth", "--out", weights),
        ("prepare", tmp_path / "data", "--out", tmp_path / "prepared"),
        ("warp", "--data", tmp_path / "prepared", "--weights", weights, "-o", tmp_path / "warps"),
        ("tryon", "--data", tmp_path / "prepared", "--pairs", "paired", "--keep", "head", "--weights", weights,
         "-o", tmp_path / "tryons"),
    ):  # fmt: skip
        done = vtcli(*words)
        assert done.code == 0, done.err
    for name in names:
        plain = cpvton.read_sample(tmp_path / "data" / "test", f"{name}_0", f"{name}_1", False)
        inputs = {key: value[None] for key, value in plain.items()}
        warped, _ = cpvton.warped_cloth(gmm, inputs)
        with torch.no_grad():
            picture = cpvton.tryon(unet, inputs["agnostic"], warped)[2]
        for folder, expected in (("warps", warped), ("tryons", picture)):
            made = np.asarray(Image.open(tmp_path / folder / "images" / f"{name}_0.png"), np.float32)
            levels = (expected[0].permute(1, 2, 0).numpy() + 1) * 127.5
            assert np.abs(made - levels.round()).mean() <= 0.1, (name, folder)


def spoil(split: Path, name: str) -> None:
    """What vtcli's own networks would not see: a hole in the worn garment's label, and a shop photo with an edge."""
    file = split / "image-parse" / f"{name}_0.png"
    picture = Image.open(file)
    parse = np.array(picture)
    y, x = np.median(np.argwhere(parse == 5), axis=0).astype(int)
    parse[y - 4 : y + 4, x - 4 : x + 4] = 0
    out = Image.fromarray(parse)
    if picture.mode == "P":
        out.putpalette(picture.getpalette())
    out.save(file)
    file = split / "cloth" / f"{name}_1.jpg"
    cloth = np.array(Image.open(file))
    cloth[:, :8] = (200, 40, 90)
    Image.fromarray(cloth).save(file, quality=95)
