"""FID is pytorch-fid's own; its statistics files go both ways; the distances are what they are called."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_fid import fid_score, inception
from score_samples import blur, make_results, make_store, run_score

from vtcli.core.scoring.distances import Statistics, frechet_distance, kernel_distance
from vtcli.core.scoring.features import InceptionFeatures, extract
from vtcli.core.scoring.pictures import FilePicture
from vtcli.core.system.errors import UsageProblem, VtcliError

COUNT = 5
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised Inception, in the place where pytorch-fid looks for its own."""
    torch.manual_seed(0)
    holder = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(torch.nn.Module, "load_state_dict", lambda *args, **kwargs: None)
        net = inception.fid_inception_v3()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):  # keeps the features' scale through all layers
            torch.nn.init.kaiming_normal_(module.weight)
    path = holder / "hub/checkpoints" / Path(inception.FID_WEIGHTS_URL).name
    path.parent.mkdir(parents=True)
    torch.save(net.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(results folder, folder of the photos)."""
    root = tmp_path_factory.mktemp("fid")
    store = make_store(root / "store", COUNT, size=(96, 80))
    photos = root / "photos"
    photos.mkdir()
    for i in range(COUNT):
        Image.fromarray(store.read("image", [i])[0]).save(photos / f"p{i}.png")
    return make_results(root / "run", store, blur(1)), photos


def only(tmp_path: Path, *arguments: object) -> tuple[dict[str, Any], str]:
    result = run_score(*arguments, "--json", tmp_path / "scores.json")
    if result.exception is not None:
        raise result.exception
    (row,) = json.loads((tmp_path / "scores.json").read_text())
    return row, result.output


def test_fid_is_what_the_pytorch_fid_command_says(
    tmp_path: Path,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Many more pictures than features: near-singular covariances lose digits in the matrix root.
    dims, count = 64, 96
    store = make_store(tmp_path / "store", count, size=(24, 20))
    run, photos = make_results(tmp_path / "run", store, blur(4)), tmp_path / "photos"
    photos.mkdir()
    for i in range(count):
        Image.fromarray(store.read("image", [i])[0]).save(photos / f"p{i}.png")
    monkeypatch.setenv("TORCH_HOME", str(weights.parents[2]))
    command = ["pytorch-fid", str(run / "images"), str(photos), "--dims", str(dims), "--num-workers", "0"]
    monkeypatch.setattr("sys.argv", [*command, "--device", "cpu"])
    fid_score.main()
    theirs = float(capsys.readouterr().out.rsplit("FID:", 1)[1])
    net = InceptionFeatures(weights, CPU, dims)
    sets = [[FilePicture(path) for path in sorted(folder.iterdir())] for folder in (run / "images", photos)]
    ours = frechet_distance(*(Statistics.of(extract(files, net, lambda done: None)) for files in sets))
    assert theirs > 1e-3
    assert ours == pytest.approx(theirs, rel=1e-5)


def test_statistics_are_pytorch_fids_and_serve_as_reference(
    folders: tuple[Path, Path], weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, photos = folders
    stats = tmp_path / "stats.npz"
    row, output = only(tmp_path, run, "--inception-weights", weights, "--save-stats", stats)
    assert "not the weights that pytorch-fid publishes" in output
    assert "biased upwards" in output
    monkeypatch.setenv("TORCH_HOME", str(weights.parents[2]))
    fid_score.save_fid_stats([str(photos), str(tmp_path / "theirs.npz")], 50, "cpu", 2048, 0)
    with np.load(stats) as ours, np.load(tmp_path / "theirs.npz") as theirs:
        assert set(ours) == set(theirs) == {"mu", "sigma"}
        for name in ours:
            np.testing.assert_allclose(
                ours[name], theirs[name], rtol=1e-4, atol=1e-6 * np.abs(theirs[name]).max()
            )
    # Now the weights are in torch hub's cache, where vtcli finds them without being told.
    for file in (stats, tmp_path / "theirs.npz"):
        by_file, _ = only(tmp_path, run, "--reference", file)
        assert by_file["fid"] == pytest.approx(row["fid"], rel=1e-4)
        assert by_file["ssim"] == row["ssim"]
        assert by_file["fd_lite0"] == row["fd_lite0"]
    assert row["fid"] > 0
    assert row["scoring"]["weights"]["inception"]


def test_statistics_cannot_be_saved_without_weights(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UsageProblem, match=r"--save-stats.*--inception-weights"):
        only(tmp_path, folders[0], "--save-stats", tmp_path / "stats.npz")
    assert not (tmp_path / "stats.npz").exists()


@pytest.mark.parametrize("content", [{"weight": torch.zeros(3)}, torch.zeros(3), None])
def test_foreign_weights_are_named(folders: tuple[Path, Path], tmp_path: Path, content: Any) -> None:
    path = tmp_path / "weights.pth"
    if content is None:
        path.write_bytes(b"no weights at all")
    else:
        torch.save(content, path)
    with pytest.raises(VtcliError, match=r"weights\.pth: not "):
        only(tmp_path, folders[0], "--inception-weights", path)


def test_foreign_statistics_are_named(folders: tuple[Path, Path], weights: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "small.npz", mu=np.zeros(64), sigma=np.eye(64))
    with pytest.raises(VtcliError, match=r"small\.npz: statistics of 64 features"):
        only(tmp_path, folders[0], "--inception-weights", weights, "--reference", tmp_path / "small.npz")


def gaussian(count: int, length: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    mixing = generator.normal(size=(length, length))
    return generator.normal(size=(count, length)) @ mixing + generator.normal(size=length)


@pytest.mark.parametrize("count", [400, 40])
def test_frechet_distance_is_pytorch_fids(count: int) -> None:
    a, b = (Statistics.of(gaussian(count, 30, seed)) for seed in (1, 2))
    theirs = fid_score.calculate_frechet_distance(a.mu, a.sigma, b.mu, b.sigma)
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(theirs, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * np.trace(a.sigma))


def test_frechet_distance_of_few_pictures_in_many_dimensions() -> None:
    # Along an axis the distance is known: (ma - mb)² + (sa - sb)², though both covariances are singular.
    axis = np.eye(50)[3]
    a, b = (np.outer([m - s, m + s], axis) for m, s in ((1.0, 2.0), (4.0, 1.0)))
    sample = np.sqrt(2)  # the sample standard deviation of m ± s is s·√2
    expected = (1 - 4) ** 2 + (2 * sample - 1 * sample) ** 2
    assert frechet_distance(Statistics.of(a), Statistics.of(b)) == pytest.approx(expected)
    wide = Statistics(Statistics.of(a).mu, Statistics.of(a).sigma)  # as read from a file: no pictures
    assert frechet_distance(wide, Statistics.of(b)) == pytest.approx(expected)


def test_kernel_distance_is_the_u_statistic_and_unbiased() -> None:
    x, y = gaussian(7, 4, 1), gaussian(9, 4, 2)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 4 + 1) ** 3)

    within = [
        np.mean([k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (x, y)
    ]
    between = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within[0] + within[1] - 2 * between)
    generator = np.random.default_rng(0)
    draws = [kernel_distance(*generator.normal(size=(2, 10, 5))) for _ in range(2000)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / np.sqrt(len(draws))
    assert min(draws) < 0
