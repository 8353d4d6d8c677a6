"""Folders of any tool's pictures beside their photos; what the photo gave; ST-LPIPS; too few pictures."""

from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageFilter
from score_samples import blur, make_results, make_store, run_score
from skimage.metrics import peak_signal_noise_ratio

from vtcli.core.data.store import PreparedStore
from vtcli.core.scoring.perceptual import StLpips
from vtcli.core.scoring.pictures import FilePicture
from vtcli.core.system.errors import UsageProblem, VtcliError

COUNT = 4
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> PreparedStore:
    return make_store(tmp_path_factory.mktemp("store"), COUNT)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, store: PreparedStore) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(COUNT):
        Image.fromarray(store.read("image", [i])[0]).save(folder / f"p{i}.png")
    return folder


def scored(tmp_path: Path, *arguments: object) -> tuple[list[dict[str, Any]], str]:
    result = run_score(*arguments, "--json", tmp_path / "scores.json", "--bootstrap", 0, "--jobs", 1)
    if result.exception is not None:
        raise result.exception
    return json.loads((tmp_path / "scores.json").read_text()), result.output


def blurred(photos: Path, folder: Path, name: str, **save: Any) -> Path:
    """Another tool's results: `name` holds the person as {0}."""
    folder.mkdir(parents=True)
    for path in sorted(photos.iterdir()):
        picture = Image.open(path).filter(ImageFilter.GaussianBlur(1))
        picture.save(folder / name.format(path.stem), **save)
    return folder


@pytest.mark.parametrize("name", ["{0}.png", "{0}_shirt-7.png", "{0}__000012_1.png"])
def test_another_tools_pictures_are_measured_as_vtclis_own(
    tmp_path: Path, store: PreparedStore, photos: Path, name: str
) -> None:
    own = scored(tmp_path, make_results(tmp_path / "own", store, blur(1)))[0][0]
    peer = blurred(photos, tmp_path / "peer", name)
    row, output = scored(tmp_path, peer, "--reference", photos)
    for key in ("ssim", "ms_ssim", "psnr", "given", "ssim_redrawn", "psnr_redrawn", "fd_lite0"):
        assert row[0][key] == pytest.approx(own[key], rel=1e-6), key
    assert row[0]["keep"] == "unknown"
    assert ("scored as paired" in output) == (name != "{0}.png")
    by_store = scored(tmp_path, peer, "--reference", store.root)[0][0]
    assert by_store["ssim"] == pytest.approx(own["ssim"])


def test_jpeg_results_are_told_and_give_no_pixel(tmp_path: Path, photos: Path) -> None:
    peer = blurred(photos, tmp_path / "peer/images", "{0}_cloth.jpg", quality=90).parent
    rows, output = scored(tmp_path, peer, "--reference", photos)
    assert rows[0]["ssim"] is not None
    assert rows[0]["given"] is rows[0]["ssim_redrawn"] is None
    assert "the results are JPEG, the photos PNG" in " ".join(output.split())
    assert "compression" in rows[0]["reasons"]["given"]


def test_unpaired_pictures_get_distances_alone(tmp_path: Path, photos: Path) -> None:
    peer = blurred(photos, tmp_path / "peer", "{0}_cloth.png")
    row = scored(tmp_path, peer, "--reference", photos, "--unpaired")[0][0]
    assert row["pairs"] == "unpaired"
    assert row["ssim"] is None
    assert row["fd_lite0"] > 0
    assert 0 <= row["given"] < 1


def test_photos_are_read_upright_and_in_srgb(tmp_path: Path, photos: Path) -> None:
    """Turned by EXIF and with a profile, a photo is still itself."""
    turned = tmp_path / "turned"
    turned.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for path in photos.iterdir():
        Image.open(path).rotate(90, expand=True).save(turned / path.name, exif=exif, icc_profile=srgb)
    peer = tmp_path / "peer"
    shutil.copytree(photos, peer)
    row = scored(tmp_path, peer, "--reference", turned)[0][0]
    assert row["ssim"] == pytest.approx(1)
    assert row["given"] == 1


def test_larger_photos_are_scaled_as_prepare_does_and_it_is_told(
    tmp_path: Path, store: PreparedStore, photos: Path
) -> None:
    large = tmp_path / "large"
    large.mkdir()
    for path in photos.iterdir():
        Image.open(path).resize((336, 352), Image.Resampling.NEAREST).save(large / path.name)
    peer = blurred(photos, tmp_path / "peer", "{0}.png")
    rows, output = scored(tmp_path, peer, "--reference", large)
    assert "4 of 4 photos have another size" in " ".join(output.split())
    assert rows[0]["given"] is None
    expected = np.asarray(Image.open(large / "p0.png").resize((168, 176), Image.Resampling.BICUBIC))
    found = FilePicture(large / "p0.png", (176, 168))
    assert found.size() == (176, 168)
    np.testing.assert_array_equal(found.read(), expected)
    mine = np.asarray(Image.open(peer / "p0.png"))
    by_hand = peak_signal_noise_ratio(expected, mine, data_range=255)
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(peer / "p0.png", one)
    assert scored(tmp_path, one, "--reference", large)[0][0]["psnr"] == pytest.approx(by_hand)
    own = make_results(tmp_path / "own", store, blur(1))
    assert scored(tmp_path, own, "--reference", large)[0][0]["ssim"] == rows[0]["ssim"]


def test_mistakes_with_foreign_folders_are_one_line(
    tmp_path: Path, store: PreparedStore, photos: Path
) -> None:
    peer = blurred(photos, tmp_path / "peer", "{0}_cloth.png")
    with pytest.raises(VtcliError, match=r"peer: no results\.json here; .*--reference DIR"):
        scored(tmp_path, peer)
    Image.new("RGB", (168, 176)).save(peer / "q7_cloth.png")
    with pytest.raises(VtcliError, match=r"no photo for 1 of 5 pictures of peer, first 'q7_cloth'"):
        scored(tmp_path, peer, "--reference", photos)
    (peer / "q7_cloth.png").unlink()
    Image.new("RGB", (100, 90)).save(peer / "p1_cloth.png")
    with pytest.raises(VtcliError, match=r"p1_cloth\.png: 100×90 pixels, its photo has 168×176"):
        scored(tmp_path, peer, "--reference", photos)
    Image.new("RGB", (168, 176)).save(peer / "p1_cloth.webp")
    with pytest.raises(VtcliError, match=r"both p1_cloth\.png and p1_cloth\.webp"):
        scored(tmp_path, peer, "--reference", photos)
    own = make_results(tmp_path / "own", store, blur(1))
    with pytest.raises(UsageProblem, match="--unpaired"):
        scored(tmp_path, own, "--unpaired")
    (own / "results.json").rename(own / "run.json")
    with pytest.raises(VtcliError, match=r"no results\.json here"):
        scored(tmp_path, own, "--reference", photos)


def test_given_share_and_redrawn_region_are_those_of_the_pixels(tmp_path: Path, store: PreparedStore) -> None:
    def redraw(image: Image.Image, i: int) -> Image.Image:
        pixels = np.array(image)
        pixels[40:120, 30:90] ^= 16  # a rectangle, every pixel of which changes
        return Image.fromarray(pixels)

    folder = make_results(tmp_path / "run", store, redraw)
    rows, output = scored(tmp_path, folder, "--per-image", tmp_path / "metrics.csv")
    assert rows[0]["given"] == pytest.approx(1 - 80 * 60 / (176 * 168))
    assert rows[0]["psnr_redrawn"] == pytest.approx(10 * np.log10(255**2 / 16**2))
    assert rows[0]["ssim_redrawn"] < rows[0]["ssim"]
    assert "given by photo" in output
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        assert {float(line["given"]) for line in csv.DictReader(stream)} == {rows[0]["given"]}


def test_distances_of_few_pictures_carry_a_warning(tmp_path: Path, store: PreparedStore) -> None:
    output = scored(tmp_path, make_results(tmp_path / "run", store, blur(1)))[1]
    assert "FD (Lite0) over 4 pictures (fewer than 1,280) is biased upwards" in " ".join(output.split())
    assert "KD (Lite0) is unbiased" in " ".join(output.split())


def test_why_ms_ssim_is_missing_stands_below_the_table(tmp_path: Path) -> None:
    small = make_store(tmp_path / "store", 2, size=(120, 100))
    output = scored(tmp_path, make_results(tmp_path / "run", small, blur(1)))[1]
    row = next(line for line in output.splitlines() if "MS-SSIM ↑" in line)
    assert "– [1]" in row
    assert "[1] pictures too small: five scales of an 11-pixel window need 161 pixels a side" in output


needs_st_lpips = pytest.mark.skipif(
    importlib.util.find_spec("stlpips_pytorch") is None, reason="stlpips-pytorch is not installed"
)


@needs_st_lpips
def test_st_lpips_tolerates_a_shift_and_has_values_per_image(tmp_path: Path, store: PreparedStore) -> None:
    measure = StLpips(CPU)
    photo = store.read("image", [0])
    shifted, noisy = np.roll(photo, 1, axis=2), photo.copy()
    noisy[:, 60:120, 60:120] = np.random.default_rng(0).integers(0, 256, noisy[:, 60:120, 60:120].shape)
    same, moved, broken = (float(measure(photo, other)[0]) for other in (photo, shifted, noisy))
    assert same == 0
    assert same < moved < 0.25 * broken
    folder = make_results(tmp_path / "run", store, blur(1))
    rows, output = scored(tmp_path, folder, "--st-lpips", "--per-image", tmp_path / "metrics.csv")
    assert "ST-LPIPS ↓" in output
    assert "tolerates small shifts" in rows[0]["definitions"]["st_lpips"]
    assert rows[0]["lpips"] is None
    with (tmp_path / "metrics.csv").open(newline="") as stream:
        values = [float(line["st_lpips"]) for line in csv.DictReader(stream)]
    assert np.mean(values) == pytest.approx(rows[0]["st_lpips"])
    assert len(set(values)) == COUNT


def test_st_lpips_without_its_package_is_one_line(
    tmp_path: Path, store: PreparedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "stlpips_pytorch", None)
    with pytest.raises(VtcliError, match=r"pip install -e '\.\[metrics\]'"):
        scored(tmp_path, make_results(tmp_path / "run", store, blur(1)), "--st-lpips")


def test_runs_of_two_tools_compare(tmp_path: Path, photos: Path) -> None:
    first = blurred(photos, tmp_path / "a", "{0}.png")
    second = blurred(photos, tmp_path / "b", "{0}_cloth.png")
    result = run_score(
        first, second, "--reference", photos, "--json", tmp_path / "s.json", "--bootstrap", 20, "--jobs", 1
    )
    assert result.exception is None, result.exception
    rows = json.loads((tmp_path / "s.json").read_text())
    assert rows[1]["difference_to_first"]["ssim"]["difference"] == 0
