"""`vtcli score`: the metrics are the libraries', the unseen pairs stand apart, mistakes are caught."""

from __future__ import annotations

import csv
import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_msssim import ms_ssim
from score_samples import blur, make_results, make_store, run_score
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vtcli.core.data.results import ResultsInfo
from vtcli.core.data.store import PreparedStore
from vtcli.core.scoring.pairwise import PairTask, measure_all
from vtcli.core.scoring.runs import load_runs
from vtcli.core.system.errors import UsageProblem, VtcliError

COUNT = 6
SEEN = (0, 3, 4)


@pytest.fixture(autouse=True)
def no_cache_no_network(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("hub")))

    def refuse(*args: object) -> None:
        raise AssertionError("score asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PreparedStore:
    return make_store(tmp_path_factory.mktemp("store"), COUNT, seen=SEEN)


@pytest.fixture(scope="module")
def soft(tmp_path_factory: pytest.TempPathFactory, store: PreparedStore) -> Path:
    figures = {"warp_iou": {f"p{i}": 0.5 + 0.1 * i for i in range(COUNT)}}
    folder = tmp_path_factory.mktemp("runs") / "soft"
    return make_results(folder, store, blur(0.5, 0.3), parse_shift=0, figures=figures)


@pytest.fixture(scope="module")
def softer(tmp_path_factory: pytest.TempPathFactory, store: PreparedStore) -> Path:
    return make_results(
        tmp_path_factory.mktemp("runs") / "softer", store, blur(2, 0.3), parse_shift=9, weights="b"
    )


def scored(tmp_path: Path, *arguments: object) -> tuple[list[dict[str, Any]], str]:
    result = run_score(*arguments, "--json", tmp_path / "scores.json")
    if result.exception is not None:
        raise result.exception
    return json.loads((tmp_path / "scores.json").read_text()), result.output


def by_hand(folder: Path, store: PreparedStore, rows: list[int]) -> dict[str, float]:
    values: dict[str, list[float]] = {"ssim": [], "ms_ssim": [], "psnr": []}
    for row in rows:
        result = np.array(Image.open(folder / "images" / f"p{row}.png"))
        photo = store.read("image", [row])[0]
        values["ssim"].append(
            structural_similarity(
                photo, result, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
                use_sample_covariance=False,
            )
        )  # fmt: skip
        values["psnr"].append(peak_signal_noise_ratio(photo, result, data_range=255))
        a, b = (torch.tensor(x).permute(2, 0, 1)[None].float() for x in (result, photo))
        values["ms_ssim"].append(ms_ssim(a, b, data_range=255).item())
    return {key: float(np.mean(column)) for key, column in values.items()}


def test_metrics_are_the_libraries_own_over_all_and_over_unseen_pairs(
    tmp_path: Path, store: PreparedStore, soft: Path
) -> None:
    rows, output = scored(tmp_path, soft)
    assert [(row["seen"], row["images"], row["seen_images"]) for row in rows] == [
        ("all", COUNT, len(SEEN)),
        ("unseen", COUNT - len(SEEN), 0),
    ]
    for row, subset in zip(rows, (range(COUNT), (1, 2, 5)), strict=True):
        assert (row["run"], row["keep"], row["pairs"]) == ("soft", "head", "paired")
        for key, value in by_hand(soft, store, list(subset)).items():
            assert row[key] == pytest.approx(value, rel=1e-5), key
            assert f"{value:.{2 if key == 'psnr' else 4}f}" in output
        assert row["figures"]["warp_iou"] == pytest.approx(np.mean([0.5 + 0.1 * i for i in subset]))
        assert row["fd_lite0"] > 0
        assert row["m_exp_iou"] == 1
    assert "unseen pairs" in output
    assert "σ" not in output
    assert "scikit-image" in rows[0]["definitions"]["ssim"]


def test_absent_weights_are_one_line_and_a_reason_not_a_number(tmp_path: Path, soft: Path) -> None:
    rows, output = scored(tmp_path, soft)
    for key in ("fid", "kid", "lpips"):
        assert rows[0][key] is None
        assert rows[0]["reasons"][key]
    assert "--inception-weights FILE" in rows[0]["reasons"]["fid"]
    lines = [line for line in output.splitlines() if "--inception-weights FILE" in line]
    assert len(lines) == 1


def test_results_equal_to_their_photos(tmp_path: Path, store: PreparedStore) -> None:
    same = make_results(tmp_path / "same", store, lambda image, i: image)
    row = scored(tmp_path, same)[0][0]
    assert row["ssim"] == pytest.approx(1)
    assert row["ms_ssim"] == pytest.approx(1)
    assert row["fd_lite0"] == pytest.approx(0, abs=1e-3)
    assert row["psnr"] is None
    assert "infinite" in row["reasons"]["psnr"]


def test_unpaired_runs_get_distances_only(tmp_path: Path, store: PreparedStore) -> None:
    folder = make_results(tmp_path / "unpaired", store, blur(1), paired=False)
    row = scored(tmp_path, folder)[0][0]
    assert row["pairs"] == "unpaired"
    assert row["ssim"] is row["psnr"] is row["ms_ssim"] is None
    assert "unpaired" in row["reasons"]["ssim"]
    assert row["fd_lite0"] > 0
    scored(tmp_path, folder, "--per-image", tmp_path / "metrics.csv")
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == "run,name,person,cloth,seen,given"
    warp = make_results(tmp_path / "warp", store, blur(1), paired=False, kind="warp")
    with pytest.raises(UsageProblem, match="unpaired"):
        scored(tmp_path, warp, "--per-image", tmp_path / "warp.csv")
    assert not (tmp_path / "warp.csv").exists()


def test_pairs_file_of_own_garments_is_paired(tmp_path: Path, store: PreparedStore) -> None:
    folder = make_results(tmp_path / "own", store, blur(1), count=3)
    info = ResultsInfo.load(folder)
    info.pairing = "my_pairs.txt"
    info.save(folder)
    assert scored(tmp_path, folder)[0][0]["ssim"] is not None
    info.pairs[1].cloth = "c5"
    info.save(folder)
    assert scored(tmp_path, folder)[0][0]["ssim"] is None
    info.pairing = "paired"
    info.save(folder)
    with pytest.raises(VtcliError, match="p1 does not wear c5"):
        scored(tmp_path, folder)


def test_difference_to_the_first_run_with_its_interval(
    tmp_path: Path, store: PreparedStore, soft: Path, softer: Path
) -> None:
    rows, output = scored(tmp_path, soft, softer, "--bootstrap", 200)
    first, second = (
        next(r for r in rows if r["run"] == n and r["seen"] == "all") for n in ("soft", "softer")
    )
    assert first["difference_to_first"] == {}
    for key in ("ssim", "ms_ssim", "psnr", "m_exp_iou"):
        found = second["difference_to_first"][key]
        assert found["difference"] == pytest.approx(second[key] - first[key])
        assert found["low"] <= found["difference"] <= found["high"] < 0
    assert second["m_exp_iou"] < 1
    assert "different gmm weights" in output
    again = scored(tmp_path, soft, softer, "--bootstrap", 200)[0]
    assert [r["difference_to_first"] for r in again] == [r["difference_to_first"] for r in rows]
    other = scored(tmp_path, soft, softer, "--bootstrap", 200, "--seed", 1)[0]
    assert [r["difference_to_first"] for r in other] != [r["difference_to_first"] for r in rows]


@pytest.mark.parametrize(
    ("change", "word"),
    [({"keep": "outside"}, "--keep"), ({"count": 4}, "different pairs"), ({"paired": False}, "pairing")],
)
def test_runs_that_do_not_compare_are_not_compared(
    tmp_path: Path, store: PreparedStore, soft: Path, change: dict[str, Any], word: str
) -> None:
    other = make_results(tmp_path / "other", store, blur(2), **change)
    rows, output = scored(tmp_path, soft, other)
    found = [row for row in rows if row["run"] == "other"]
    assert found
    assert all(not row["difference_to_first"] for row in found)
    assert all("not comparable" in row["reasons"]["difference"] for row in found if row["seen"] == "all")
    assert "do not compare" in output
    assert word in output


def test_per_image_table(tmp_path: Path, store: PreparedStore, soft: Path, softer: Path) -> None:
    rows, _ = scored(tmp_path, soft, softer, "--per-image", tmp_path / "metrics.csv")
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert len(table) == 2 * COUNT
    mine = [line for line in table if line["run"] == "softer"]
    assert {line["name"] for line in mine if line["seen"] == "1"} == {f"p{i}" for i in SEEN}
    assert np.mean([float(line["ssim"]) for line in mine]) == pytest.approx(rows[2]["ssim"])
    assert all(line["warp_iou"] == "" for line in mine)


def test_processes_change_nothing_but_the_time(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", 70, size=(48, 40))
    run = load_runs([make_results(tmp_path / "run", store, blur(0.3, 0.02))])[0]
    tasks = [PairTask(a, b) for a, b in zip(run.pictures, run.references or [], strict=True)]
    heard: list[int] = []
    alone = measure_all(tasks, 1, lambda done: None)
    together = measure_all(tasks, 2, heard.append)
    assert [(f.ssim, f.psnr) for f in together] == [(f.ssim, f.psnr) for f in alone]
    assert len({f.ssim for f in alone}) == 70
    assert heard[-1] == 70
    assert heard == sorted(heard)


def test_reference_folder_by_persons_and_by_results(tmp_path: Path, store: PreparedStore, soft: Path) -> None:
    expected = scored(tmp_path, soft)[0][0]
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(COUNT):
        Image.fromarray(store.read("image", [i])[0]).save(photos / f"p{i}.png")
    moved = tmp_path / "moved"
    (moved / "images").mkdir(parents=True)
    for path in (soft / "images").iterdir():
        (moved / "images" / f"out_{path.name}").write_bytes(path.read_bytes())
    info = ResultsInfo.load(soft)
    info.store = str(tmp_path / "gone")
    for pair in info.pairs:
        pair.name = f"out_{pair.name}"
    info.save(moved)
    with pytest.raises(VtcliError, match="--reference DIR"):
        scored(tmp_path, moved)
    row = scored(tmp_path, moved, "--reference", photos)[0][0]
    for path in photos.iterdir():
        path.rename(photos / f"out_{path.name}")
    named = scored(tmp_path, moved, "--reference", photos)[0][0]
    for key in ("ssim", "ms_ssim", "psnr", "fd_lite0", "kd_lite0"):
        assert row[key] == named[key] == pytest.approx(expected[key], rel=1e-6), key
    Image.new("RGB", (8, 8)).save(photos / "stranger.png")
    extra, output = scored(tmp_path, moved, "--reference", photos)
    assert "1 pictures belong to no result" in output
    assert extra[0]["fd_lite0"] == row["fd_lite0"]
    (photos / "out_p2.png").unlink()
    with pytest.raises(VtcliError, match="out_p2"):
        scored(tmp_path, moved, "--reference", photos)


def test_warps_are_measured_against_the_garment_on_white(tmp_path: Path, store: PreparedStore) -> None:
    garments = iter(range(COUNT))

    def garment(image: Image.Image, i: int) -> Image.Image:
        row = next(garments)
        worn = np.isin(store.read("parse", [row])[0], (5, 6, 7))[..., None]
        return Image.fromarray(np.where(worn, store.read("image", [row])[0], 255).astype(np.uint8))

    folder = make_results(tmp_path / "warp", store, garment, kind="warp")
    assert scored(tmp_path, folder)[0][0]["ssim"] == pytest.approx(1)


def _missing(folder: Path) -> None:
    (folder / "images/p1.png").unlink()


def _extra(folder: Path) -> None:
    Image.new("RGB", (4, 4)).save(folder / "images/old.png")


def _resized(folder: Path) -> None:
    Image.new("RGB", (100, 90)).save(folder / "images/p1.png")


def _broken(folder: Path) -> None:
    (folder / "images/p1.png").write_bytes(b"\x89PNG\r\n\x1a\nno")


def _twice(folder: Path) -> None:
    info = ResultsInfo.load(folder)
    info.pairs[2] = info.pairs[1]
    info.save(folder)


def _stranger(folder: Path) -> None:
    info = ResultsInfo.load(folder)
    info.pairs[1].person = "nobody"
    info.save(folder)


def _climbs(folder: Path) -> None:
    info = ResultsInfo.load(folder)
    info.pairs[1].name = "../../secret"
    info.save(folder)


def _bare(folder: Path) -> None:
    (folder / "results.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (_missing, r"1 of 3 pictures are missing.*p1\.png"),
        (_extra, r"1 pictures in images/ are not in results\.json.*old"),
        (_resized, r"p1\.png: 100×90 pixels, its reference has 168×176"),
        (_broken, r"p1\.png: not a readable picture"),
        (_twice, r"lists 'p1' 2 times"),
        (_stranger, r"no person named 'nobody'.*--reference"),
        (_climbs, r"not a file name"),
        (_bare, r"no results\.json"),
    ],
)
def test_mistakes_are_one_line_and_no_number(
    tmp_path: Path, store: PreparedStore, spoil: Any, line: str
) -> None:
    folder = make_results(tmp_path / "run", store, blur(1), count=3)
    spoil(folder)
    result = run_score(folder, "--json", tmp_path / "scores.json")
    assert isinstance(result.exception, VtcliError)
    assert "\n" not in str(result.exception)
    with pytest.raises(VtcliError, match=line):
        raise result.exception
    assert "SSIM" not in result.stdout
    assert not (tmp_path / "scores.json").exists()


def test_one_picture_has_no_distribution(tmp_path: Path, store: PreparedStore) -> None:
    row = scored(tmp_path, make_results(tmp_path / "run", store, blur(1), count=1))[0][0]
    assert row["ssim"] is not None
    assert row["fd_lite0"] is row["kd_lite0"] is None
    assert "two pictures" in row["reasons"]["fd_lite0"]


def test_small_pictures_have_no_ms_ssim(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", 2, size=(120, 100))
    row = scored(tmp_path, make_results(tmp_path / "run", store, blur(1)))[0][0]
    assert row["ssim"] is not None
    assert row["ms_ssim"] is None
    assert "small" in row["reasons"]["ms_ssim"]


def test_the_same_folder_twice_is_a_usage_problem(soft: Path) -> None:
    result = run_score(soft, soft)
    assert isinstance(result.exception, UsageProblem)
