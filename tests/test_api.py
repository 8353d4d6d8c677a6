"""The library: public names, pictures of any kind, errors without words of the command line, threads, batches."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageCms

import vtcli
from vtcli import Choice, NobodyFound, TryOn, TryOnResult, UnfitPhoto, VtcliError, WarpResult
from vtcli.cli import hints
from vtcli.core.system.errors import UsageProblem

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
PERSON, CLOTH = SAMPLES / "person.jpg", SAMPLES / "cloth.jpg"
PEOPLE = sorted((SAMPLES / "test" / "image").glob("*.jpg"))
CLOTHS = sorted((SAMPLES / "test" / "cloth").glob("*.jpg"))


@pytest.fixture(scope="module")
def engine() -> TryOn:
    return TryOn.load(device="cpu")


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    """A person of 512×384: quick to dress."""
    return np.asarray(Image.open(PERSON).convert("RGB").resize((384, 512), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def result(engine: TryOn, small: np.ndarray) -> TryOnResult:
    return engine.run(small, CLOTH)


def test_public_names() -> None:
    for name in vtcli.__all__:
        assert getattr(vtcli, name) is not None
    assert issubclass(NobodyFound, VtcliError) and issubclass(UnfitPhoto, VtcliError)
    assert Choice(2).number == 2 and WarpResult.__doc__


def test_public_functions_are_typed_and_documented() -> None:
    for name, function in inspect.getmembers(TryOn, callable):
        if name.startswith("_") and name != "__call__":
            continue
        assert inspect.getdoc(function), name
        signature = inspect.signature(function)
        assert signature.return_annotation is not inspect.Signature.empty, name
        for parameter in list(signature.parameters.values()):
            assert parameter.kind is not inspect.Parameter.VAR_KEYWORD, f"{name}(**{parameter.name})"
            assert parameter.name == "self" or parameter.annotation is not inspect.Parameter.empty, name


def test_a_picture_may_be_pillow_numpy_or_a_path(
    engine: TryOn, small: np.ndarray, result: TryOnResult, tmp_path: Path
) -> None:
    file = tmp_path / "person.png"
    Image.fromarray(small).save(file)
    cloth = np.asarray(Image.open(CLOTH).convert("RGB"))
    for person, garment in ((file, cloth), (str(file), Image.open(CLOTH)), (Image.open(file), str(CLOTH))):
        assert engine(person, garment).tobytes() == result.image.tobytes()
    assert len(engine.people(file)) == len(engine.people(small)) == 1


def test_orientation_and_profile_count(
    engine: TryOn, small: np.ndarray, result: TryOnResult, tmp_path: Path
) -> None:
    """A phone lays the photo on its side and says so; the picture stands all the same."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to see it upright
    file = tmp_path / "phone.png"
    Image.fromarray(np.ascontiguousarray(np.rot90(small))).save(file, exif=exif)
    assert Image.open(file).size == (512, 384)
    for person in (file, Image.open(file)):
        assert engine(person, CLOTH).tobytes() == result.image.tobytes()
    # In a profile whose red and green are exchanged, the same numbers mean other colours.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    swapped = bytearray(profile)
    swapped[red : red + 4], swapped[green : green + 4] = b"gXYZ", b"rXYZ"
    swapped = swapped.replace(b"sRGB", b"mine").replace(
        "sRGB".encode("utf-16-be"), "mine".encode("utf-16-be")
    )
    Image.fromarray(small).save(file, icc_profile=bytes(swapped))
    seen = [engine.look(person, force=True).photo.astype(int) for person in (file, Image.open(file))]
    assert np.array_equal(*seen)
    assert np.abs(seen[0] - small[..., [1, 0, 2]]).mean() < np.abs(seen[0] - small).mean()


@pytest.mark.parametrize("picture", [
    np.zeros((20, 20), np.uint8), np.zeros((20, 20, 3), np.float32), np.zeros((0, 20, 3), np.uint8), 7, "missing.jpg",
    Image.new("RGB", (20, 900)),
])  # fmt: skip
def test_what_is_no_picture_is_refused(engine: TryOn, picture: object) -> None:
    with pytest.raises(VtcliError):
        engine.look(picture)  # type: ignore[arg-type]
    with pytest.raises(VtcliError):
        engine.cut_out(picture)  # type: ignore[arg-type]


def test_masks_of_0_and_255_are_masks(engine: TryOn) -> None:
    shown = np.asarray(Image.open(CLOTH).convert("L")) < 235
    expected = engine.cut_out(CLOTH, mask=shown)
    for mask in (shown.astype(np.uint8), 255 * shown.astype(np.uint8), Image.fromarray(shown)):
        assert torch.equal(engine.cut_out(CLOTH, mask=mask).mask, expected.mask)
    with pytest.raises(UsageProblem, match="mask of the garment"):
        engine.cut_out(CLOTH, mask=shown.astype(np.float32))


def test_errors_say_what_was_seen_and_name_no_option(engine: TryOn, small: np.ndarray) -> None:
    grey = np.full((400, 300, 3), 128, np.uint8)
    box = Choice(box=(0, 0, 40, 40))
    calls = [
        lambda: engine.run(grey, CLOTH), lambda: engine.run(small, skimage.data.coffee()), lambda: engine.run(small, grey),
        lambda: engine.run(small, CLOTH, choice=Choice(3)), lambda: engine.run(small, CLOTH, choice=box),
        lambda: engine.run(small, CLOTH, choice=Choice(box=(0, 0, 9000, 40))),
        lambda: engine.run(small, CLOTH, keep="feet"),  # type: ignore[arg-type]
        lambda: TryOn.load(device="cuda:77"), lambda: TryOn.load("nowhere"),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(VtcliError) as caught:
            call()
        assert not re.search(r"--\w|vtcli \w+", str(caught.value)), caught.value
    with pytest.raises(UnfitPhoto) as refused:
        engine.run(small, skimage.data.coffee())
    assert refused.value.picture == "cloth" and "garment" in str(refused.value)
    assert "--cloth-mask or --force" in hints.spelled(refused.value)
    assert hints.exit_code(refused.value) == 1 and hints.exit_code(UsageProblem("")) == 2


def test_loading_leaves_the_process_alone() -> None:
    """No setting of the allocator, the threads or the warnings of a program that uses the library is changed."""
    code = (
        "import os, warnings, torch\n"
        "from vtcli.core.system import runtime\n"
        "runtime.keep_memory = lambda: exit('keep_memory was called')\n"
        "from vtcli import TryOn\n"
        "before = torch.get_num_threads(), dict(os.environ), list(warnings.filters)\n"
        f"TryOn.load(device='cpu').look({str(PERSON)!r})\n"
        "after = torch.get_num_threads(), dict(os.environ), list(warnings.filters)\n"
        "assert before == after, (before, after)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_four_threads_make_the_same_pictures_as_one(engine: TryOn) -> None:
    jobs = [(PEOPLE[i % len(PEOPLE)], CLOTHS[(3 * i + i // 8) % len(CLOTHS)]) for i in range(8)]
    assert len(set(jobs)) == len(jobs)

    def one(job: tuple[Path, Path]) -> bytes:
        return engine(*job, force=True).tobytes()

    alone = [one(job) for job in jobs]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(one, jobs))
    assert together == alone
    assert len(set(alone)) == len(jobs)


def test_batches_look_once_and_make_the_same_pictures(
    engine: TryOn, small: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    people: list[object] = [small, PEOPLE[0], np.full((400, 300, 3), 128, np.uint8)]
    counted = {"look": 0, "cut_out": 0}
    for name in counted:

        def count(
            self: TryOn, *given: object, name: str = name, made: object = getattr(TryOn, name), **more: object
        ):
            counted[name] += 1
            return made(self, *given, **more)  # type: ignore[operator]

        monkeypatch.setattr(TryOn, name, count)
    made = list(engine.batch(people, CLOTHS[:3], batch_size=4))  # type: ignore[arg-type]
    assert [(i, j) for i, j, _ in made] == [(i, j) for j in range(3) for i in range(3)]
    assert counted == {"look": 3, "cut_out": 3}
    assert all(isinstance(result, NobodyFound) == (i == 2) for i, _, result in made)
    for i, j, result in made[:2]:
        assert isinstance(result, TryOnResult)
        alone = np.asarray(engine(people[i], CLOTHS[j])).astype(int)  # type: ignore[arg-type]
        far = np.abs(np.asarray(result.image) - alone)
        assert far.mean() < 0.2 and (far > 12).mean() < 0.005
    chosen = list(engine.batch(people[:1], CLOTHS, pairs=[(0, 4), (0, 2)]))  # type: ignore[arg-type]
    assert [(i, j) for i, j, _ in chosen] == [(0, 2), (0, 4)]
    with pytest.raises(UsageProblem):
        engine.batch(people[:1], CLOTHS, pairs=[(0, 99)])  # type: ignore[arg-type]


def test_one_look_serves_many_garments(engine: TryOn, small: np.ndarray, result: TryOnResult) -> None:
    who, garment = engine.look(small), engine.cut_out(CLOTH)
    for _ in range(2):
        assert engine.dress(who, garment).image.tobytes() == result.image.tobytes()
