"""What a user paints: pixels that must stay, and pixels that count as old garment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Ended
from PIL import Image

from vtcli import TryOn, TryOnResult, UnfitPhoto
from vtcli.core.data import labels as L
from vtcli.core.system.errors import UsageProblem

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
CLOTH = SAMPLES / "cloth.jpg"
Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def engine() -> TryOn:
    return TryOn.load(device="cpu")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    image = Image.open(SAMPLES / "person.jpg").convert("RGB")
    return np.asarray(image.resize((384, 512), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def plain(engine: TryOn, photo: np.ndarray) -> TryOnResult:
    return engine.run(photo, CLOTH)


def strap(plain: TryOnResult) -> np.ndarray:
    """A band across the redrawn region, (H, W) bool."""
    rows, columns = np.nonzero(plain.region)
    mask = np.zeros(plain.region.shape, bool)
    middle = (columns.min() + columns.max()) // 2
    mask[rows.min() : rows.max(), middle - 15 : middle + 15] = True
    return mask


@pytest.mark.parametrize("keep", ["outside", "head"])
def test_protected_pixels_are_the_photos_bit_for_bit(
    engine: TryOn, photo: np.ndarray, plain: TryOnResult, keep: str
) -> None:
    mask = strap(plain)
    made = engine.run(photo, CLOTH, keep=keep, protect=mask)  # type: ignore[arg-type]
    without = engine.run(photo, CLOTH, keep=keep)  # type: ignore[arg-type]
    shown, original, before = np.asarray(made.image), photo, np.asarray(without.image)
    if keep == "head":
        window = made.person.window
        original, mask = window.cut(photo), window.cut(mask.astype(np.uint8)) > 0
    assert (before != original).any(2)[mask].mean() > 0.5, "without the mask they change"
    assert np.array_equal(shown[mask], original[mask])
    assert not made.region[mask].any()
    assert (shown != original).any(2)[~mask].mean() > 0.05, "the garment is worn all the same"


def test_protection_wins_over_redrawing(engine: TryOn, photo: np.ndarray, plain: TryOnResult) -> None:
    mask = strap(plain)
    made = np.asarray(engine.run(photo, CLOTH, protect=mask, redraw=mask).image)
    assert np.array_equal(made[mask], photo[mask])


def test_what_is_redrawn_counts_as_old_garment(engine: TryOn, photo: np.ndarray, plain: TryOnResult) -> None:
    """A bag that hangs beside the hips, which vtcli takes for background, goes away."""
    background = np.asarray(plain.person.people.parse[0] == L.BACKGROUND).astype(np.uint8)
    there = np.zeros(photo.shape[:2], np.uint8)
    plain.person.window.paste(there, np.asarray(Image.fromarray(background).resize(
        (plain.person.window.width, plain.person.window.height), Image.Resampling.NEAREST)))  # fmt: skip
    bag = np.zeros(photo.shape[:2], bool)
    bag[250:330, 20:70] = True
    bag &= there > 0
    assert bag.sum() > 1000
    carried = photo.copy()
    carried[bag] = (200, 20, 160)
    kept, gone = (
        np.asarray(engine.run(carried, CLOTH, redraw=mask).image).astype(int) for mask in (None, bag)
    )
    far = [np.abs(x[bag] - np.array([200, 20, 160])).max(1) for x in (kept, gone)]
    assert (far[0] < 30).mean() > 0.6, "unpainted, it stays"
    assert (far[1] > 60).mean() > 0.9
    around = ~np.isin(np.arange(photo.shape[0]), range(240, 340))
    assert np.abs(gone - kept)[around].mean() < 8


def test_masks_of_any_size_and_kind(
    engine: TryOn, photo: np.ndarray, plain: TryOnResult, tmp_path: Path
) -> None:
    mask = strap(plain)
    file = tmp_path / "mask.png"
    Image.fromarray(mask).resize((768, 1024), Image.Resampling.NEAREST).save(file)
    expected = engine.run(photo, CLOTH, protect=mask).image.tobytes()
    for given in (file, 255 * mask.astype(np.uint8), Image.open(file), mask.astype(np.uint8)):
        assert engine.run(photo, CLOTH, protect=given).image.tobytes() == expected
    with pytest.raises(UsageProblem, match=r"500×300.*photo is 384×512"):
        engine.look(photo, protect=np.ones((300, 500), bool))


def test_empty_and_inverted_masks_are_refused(engine: TryOn, photo: np.ndarray, plain: TryOnResult) -> None:
    mask, size = strap(plain), photo.shape[:2]
    everything_else = ~mask
    everything_else[:140] = True
    corner = np.zeros(size, bool)
    for masks, said in (
        ({"protect": corner}, "empty"), ({"redraw": corner}, "empty"), ({"protect": np.ones(size, bool)}, "100%"),
        ({"redraw": np.ones(size, bool)}, "inverted"), ({"redraw": everything_else}, "inverted"),
    ):  # fmt: skip
        with pytest.raises(UnfitPhoto, match=said) as refused:
            engine.look(photo, **masks)
        assert refused.value.picture == "mask"
        engine.look(photo, **masks, force=True)
    outside = ~plain.region
    assert outside.mean() > 0.5
    engine.look(photo, protect=outside)  # most of the photo, but not of the garment


def test_the_command_takes_masks(vtcli: Run, photo: np.ndarray, plain: TryOnResult, tmp_path: Path) -> None:
    person, mask, out = tmp_path / "person.png", tmp_path / "bag.png", tmp_path / "out.png"
    Image.fromarray(photo).save(person)
    Image.fromarray(strap(plain)).save(mask)
    ended = vtcli("tryon", person, CLOTH, "-o", out, "--protect", mask)
    assert ended.code == 0, ended.err
    assert np.array_equal(np.asarray(Image.open(out))[strap(plain)], photo[strap(plain)])
    Image.new("L", (384, 512), 0).save(mask)
    ended = vtcli("tryon", person, CLOTH, "-o", tmp_path / "no.png", "--redraw", mask)
    assert ended.code == 1 and "empty" in ended.err and "--force" in ended.err
    assert ended.err.replace("\n", "").startswith(f"vtcli: {mask}: ")
    Image.new("L", (512, 384), 255).save(mask)
    ended = vtcli("tryon", person, CLOTH, "-o", tmp_path / "no.png", "--redraw", mask)
    assert ended.code == 2 and "bag.png" in ended.err and "proportions" in ended.err
    assert not (tmp_path / "no.png").exists()
