"""`vtcli tryon` and `vtcli warp`: two photos in, one picture out, and nothing touched that should not be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from conftest import Ended, drawn_pairs
from PIL import Image

from vtcli import TryOn
from vtcli.core.data import labels as L
from vtcli.core.data.annotations import read_mask, read_parse
from vtcli.core.data.poses import read_pose
from vtcli.core.data.results import ResultsInfo
from vtcli.core.data.store import Entry, Manifest, write_manifest, write_shard
from vtcli.core.garments.placement import Garment, place
from vtcli.core.models.tps import tps_grid
from vtcli.core.models.warping import Warp
from vtcli.core.tryon.composing.composer import compose
from vtcli.core.tryon.networks import Composition, People
from vtcli.core.tryon.photos.problems import NobodyFound, UnfitPhoto
from vtcli.core.tryon.photos.window import Window, whole
from vtcli.core.tryon.results import TryOnResult

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
Run = Callable[..., Ended]


@pytest.fixture(scope="module")
def engine() -> TryOn:
    return TryOn.load(device="cpu")


@pytest.fixture(scope="module")
def photos() -> tuple[Image.Image, Image.Image]:
    return Image.open(SAMPLES / "person.jpg"), Image.open(SAMPLES / "cloth.jpg")


@pytest.fixture(scope="module")
def result(engine: TryOn, photos: tuple[Image.Image, Image.Image]) -> TryOnResult:
    return engine.run(*photos)


def test_keeps_the_photo_outside_of_the_region(
    result: TryOnResult, photos: tuple[Image.Image, Image.Image]
) -> None:
    photo, picture = np.asarray(photos[0].convert("RGB")), np.asarray(result.image)
    assert picture.shape == photo.shape
    assert np.array_equal(picture[~result.region], photo[~result.region])
    changed = (picture != photo).any(2)
    assert 0.02 < changed.mean() < 0.7
    head = np.asarray(result.person.people.parse[0] == L.FACE)
    frame = result.person.window
    assert not frame.labels(result.region.astype(np.uint8))[head].any(), "the face must stay the photo's"


def test_shows_the_new_garment(result: TryOnResult) -> None:
    """Where M_cm trusts the warp, the picture has the garment's colours, not the old one's."""
    trusted = (result.composition.composition_mask[0, 0] > 0.8).numpy() & (
        result.warp.mask[0, 0] > 0.9
    ).numpy()
    trusted &= (result.composition.region[0, 0] > 0.5).numpy()
    assert trusted.mean() > 0.05
    picture = Window(0, 0, result.picture.pixels.shape[0] // 4).photo(result.picture.pixels).astype(int)
    warped = ((result.warp.cloth[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(int)
    before = ((result.person.people.image[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(int)
    to_new = np.abs(picture - warped)[trusted].mean()
    assert to_new < 25 and to_new < 0.5 * np.abs(picture - before)[trusted].mean()


def test_nothing_of_the_old_garment_stays_along_hair_and_arms(result: TryOnResult) -> None:
    window, picture = result.person.view.astype(int), result.picture.pixels.astype(int)
    scale = window.shape[0] / 256
    parse = cv2.resize(
        result.person.people.parse[0].numpy(), window.shape[1::-1], interpolation=cv2.INTER_NEAREST
    )
    worn, head_and_arms = np.isin(parse, L.TOP_LABELS), np.isin(parse, (*L.HEAD_LABELS, *L.ARM_LABELS))
    inside = cv2.erode(worn.astype(np.uint8), np.ones((int(6 * scale),) * 2, np.uint8)) > 0
    old = np.abs(window - np.median(window[inside], 0)).max(2) < 30
    for mask in (worn, head_and_arms):  # both within some pixels
        old &= cv2.dilate(mask.astype(np.uint8), np.ones((int(5 * scale),) * 2, np.uint8)) > 0
    assert old.sum() > 5000
    stayed = old & (np.abs(picture - window).max(2) < 20)
    assert stayed.sum() < 0.12 * old.sum()


def test_light_at_the_garments_edge_is_that_of_its_inside() -> None:
    """I_rp ends a little inside of the garment: its white is no light on red cloth."""
    mask = torch.zeros(1, 1, 256, 192)
    mask[..., 60:200, 50:140] = 1.0
    red = torch.tensor([0.5, -0.9, -0.7]).view(1, 3, 1, 1)
    cloth = mask * red + (1.0 - mask)
    smaller = torch.zeros_like(mask)
    smaller[..., 62:198, 52:138] = 1.0
    rendered = smaller * (red + 0.2) + (1.0 - smaller)  # lighter cloth, then white
    expected = torch.zeros(1, L.LABELS, 256, 192)
    expected[:, L.UPPER_CLOTHES], expected[:, L.BACKGROUND] = mask[:, 0], 1.0 - mask[:, 0]
    image = torch.zeros(1, 3, 256, 192)
    people = People(image, (mask[:, 0] * L.UPPER_CLOTHES).byte(), torch.zeros(1, 18, 3))
    grid = tps_grid(torch.zeros(1, 50), (256, 192))
    warp = Warp(torch.zeros(1, 50), None, grid, cloth, mask, expected)
    composition = Composition(rendered, torch.zeros_like(mask), expected, rendered, torch.ones_like(mask))
    garment = Garment(cloth, mask, torch.zeros_like(mask))
    window = np.full((512, 384, 3), 128, np.uint8)
    picture = compose(window, expected, people, garment, warp, composition, "outside").pixels.astype(int)
    shown = picture[124:396, 104:276]
    assert np.abs(shown - (np.array([0.7, -0.7, -0.5]) + 1) * 127.5).max() < 12


def test_the_old_garment_does_not_shine_through_where_the_new_one_ends() -> None:
    """A black top gives way to a white one above and to bare arms below: no dark line is left between the two."""
    worn, mask = torch.zeros(1, 1, 256, 192), torch.zeros(1, 1, 256, 192)
    worn[..., 60:200, 50:140], mask[..., 60:130, 50:140] = 1.0, 1.0
    expected = torch.zeros(1, L.LABELS, 256, 192)
    expected[:, L.UPPER_CLOTHES], expected[:, L.LEFT_ARM] = mask[:, 0], (worn - mask)[:, 0]
    expected[:, L.BACKGROUND] = 1.0 - worn[:, 0]
    before = torch.zeros_like(expected)
    before[:, L.UPPER_CLOTHES], before[:, L.BACKGROUND] = worn[:, 0], 1.0 - worn[:, 0]
    white, photo = torch.ones(1, 3, 256, 192), (1.0 - 2.0 * worn).expand(1, 3, 256, 192)
    people = People(photo, (worn[:, 0] * L.UPPER_CLOTHES).byte(), torch.zeros(1, 18, 3))
    theta = torch.zeros(1, 50)
    warp = Warp(theta, None, tps_grid(theta, (256, 192)), white, mask, expected)
    composition = Composition(white, mask, expected, white, torch.ones_like(mask))
    garment = Garment(white, mask, torch.zeros_like(mask))
    for scale in (1, 3):
        window = ((photo[0] + 1) * 127.5).byte().permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)
        picture = compose(window, before, people, garment, warp, composition, "outside").pixels
        assert picture[70 * scale : 190 * scale, 60 * scale : 130 * scale].min() > 220


def test_same_picture_twice(
    engine: TryOn, result: TryOnResult, photos: tuple[Image.Image, Image.Image]
) -> None:
    assert engine(*photos).tobytes() == result.image.tobytes()


def test_ordinary_photograph(engine: TryOn, photos: tuple[Image.Image, Image.Image]) -> None:
    """A real photograph that is not a shop's: the astronaut's background and face stay."""
    photo = skimage.data.astronaut()
    result = engine.run(Image.fromarray(photo), photos[1])
    picture = np.asarray(result.image)
    assert np.array_equal(picture[~result.region], photo[~result.region])
    assert (picture != photo).any(2)[200:].mean() > 0.1
    assert np.array_equal(picture[60:165, 190:255], photo[60:165, 190:255])


def test_given_annotations_win(engine: TryOn) -> None:
    """The parse and pose that come with a photo are what the networks see."""
    name = sorted((SAMPLES / "test" / "image").glob("*.jpg"))[0].stem
    photo = Image.open(SAMPLES / "test" / "image" / f"{name}.jpg")
    cloth = Image.open(SAMPLES / "cloth.jpg")
    parse = read_parse(SAMPLES / "test" / "image-parse" / f"{name}.png")
    pose = read_pose(SAMPLES / "test" / "pose" / f"{name}_keypoints.json")
    result = engine.run(photo, cloth, parse=parse, keypoints=pose)
    frame = result.person.window
    assert np.array_equal(result.person.people.parse[0].numpy(), frame.labels(parse))
    there = pose[:, 0] > 1
    back = frame.points_out(result.person.people.keypoints[0].numpy())
    inside = there & (back[:, 2] > 0)
    assert inside.sum() > 8
    np.testing.assert_allclose(back[inside, :2], pose[inside, :2], atol=0.01)


def test_keep_head_gives_the_window(engine: TryOn, photos: tuple[Image.Image, Image.Image]) -> None:
    result = engine.run(*photos, keep="head")
    assert result.image.size == (result.person.window.width, result.person.window.height)
    assert result.region.all()


@pytest.mark.parametrize("grey", [0, 128, 200, 255])
def test_nobody_there(engine: TryOn, photos: tuple[Image.Image, Image.Image], grey: int) -> None:
    with pytest.raises(NobodyFound, match="no person"):
        engine(Image.fromarray(np.full((300, 300, 3), grey, np.uint8)), photos[1])


def test_a_top_that_somebody_wears_is_cut_out(engine: TryOn, photos: tuple[Image.Image, Image.Image]) -> None:
    garment = engine.cut_out(photos[0])
    assert "a person: the top that they wear" in garment.notes[0]
    canvas, mask = garment.at((256, 192))
    seen = engine.annotator(canvas.to(engine.annotator.device), mirror=False).parse[0]
    top = torch.isin(seen, torch.tensor(L.TOP_LABELS))
    solid = mask[0, 0] > 0.5
    assert float((top & solid).sum() / (top | solid).sum()) > 0.85
    assert float(torch.isin(seen, torch.tensor((L.FACE, L.PANTS))).float().mean()) < 0.01


def test_transparent_garment(engine: TryOn, photos: tuple[Image.Image, Image.Image]) -> None:
    """A cut-out picture's own alpha channel is its mask."""
    rgba = np.zeros((200, 160, 4), np.uint8)
    rgba[40:160, 40:120] = rgba[40:90, 10:150] = (200, 30, 30, 255)  # a T-shirt
    garment = engine.cut_out(Image.fromarray(rgba))
    inside = garment.mask[0, 0] > 0.99
    assert 0.2 < float(inside.float().mean()) < 0.8
    assert torch.allclose(
        garment.canvas[0, :, inside], torch.tensor([200, 30, 30.0])[:, None] / 127.5 - 1, atol=0.02
    )


def test_exchanged_pictures_are_told(engine: TryOn) -> None:
    """A shirt with a portrait as the person, and a person as the garment's picture."""
    samples = Path(__file__).resolve().parent.parent / "sample_data"
    shirt = Image.open(samples / "cloth.jpg").convert("RGB")
    portrait = Image.fromarray(skimage.data.astronaut()).crop((60, 0, 400, 400)).resize((300, 353))
    left, top = shirt.width // 2 - 150, round(0.32 * shirt.height)
    shirt.paste(portrait, (left, top))
    person = Image.open(samples / "person.jpg")
    with pytest.raises(UnfitPhoto, match="are the two exchanged"):
        engine.run(shirt, person)


def test_nothing_is_written_over_what_is_read(vtcli: Callable[..., Ended], tmp_path: Path) -> None:
    person, cloth, panel = tmp_path / "person.jpg", tmp_path / "cloth.jpg", tmp_path / "panel.png"
    samples = Path(__file__).resolve().parent.parent / "sample_data"
    before = (samples / "person.jpg").read_bytes()
    person.write_bytes(before)
    cloth.write_bytes((samples / "cloth.jpg").read_bytes())
    for outputs in (
        ("-o", person),
        ("-o", cloth),
        ("-o", panel, "--panel", person),
        ("-o", panel, "--panel", panel),
    ):
        for command in ("tryon", "warp"):
            ended = vtcli(command, person, cloth, *outputs)
            assert ended.code == 2 and "is read or written already" in ended.err
    assert person.read_bytes() == before and not panel.exists()


def test_cut_out_people_are_no_garments(engine: TryOn, photos: tuple[Image.Image, Image.Image]) -> None:
    """An alpha channel says what is meant, not that it is a garment: their top is."""
    person = photos[0].convert("RGBA")
    alpha = np.full((person.height, person.width), 255, np.uint8)
    alpha[:, : person.width // 10] = 0
    person.putalpha(Image.fromarray(alpha))
    assert "a person: the top that they wear" in engine.cut_out(person).notes[0]


def test_garments_are_placed_alike() -> None:
    """Size, aspect ratio and position of the garment in its photo do not matter."""
    for height, width, box in ((300, 300, (20, 50, 120, 150)), (900, 500, (400, 20, 800, 420))):
        rgb, mask = np.full((height, width, 3), 255, np.uint8), np.zeros((height, width), bool)
        mask[box[0] : box[2], box[1] : box[3]] = True
        garment = place(rgb, mask)
        inside = garment.at((256, 192))[1][0, 0] > 0.5
        rows, columns = torch.nonzero(inside.any(1)), torch.nonzero(inside.any(0))
        assert (
            abs(float(rows[0] + rows[-1]) / 2 - 127.5) <= 1
            and abs(float(columns[0] + columns[-1]) / 2 - 95.5) <= 1
        )
        assert abs(len(columns) - 180) <= 2


@pytest.mark.parametrize("height", [240, 1000])
def test_the_shops_background_does_not_shine_through_at_the_edge(height: int) -> None:
    mask = np.zeros((height, height), np.uint8)
    middle = (height // 2, height // 2)
    cv2.ellipse(mask, middle, (height // 3, height // 2 - 9), 0, 0, 360, 1, -1)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), height / 1000)[..., None]
    rgb = (255.0 + soft * (np.array([200.0, 10.0, 60.0]) - 255.0)).round().astype(np.uint8)
    garment = place(rgb, mask > 0)
    alpha = garment.mask[0, 0].numpy()
    colours = (garment.canvas[0].permute(1, 2, 0).numpy() + 1.0) * 127.5
    seen = alpha > 0.3
    own = (colours[seen] - 255.0 * (1.0 - alpha[seen, None])) / alpha[
        seen, None
    ]  # without the white it lies on
    off = np.abs(own - [200.0, 10.0, 60.0]).max(1)
    assert off.max() < 30, off.max()


@pytest.mark.parametrize("size", [(400, 300), (300, 400), (256, 192), (37, 501)])
def test_frames_put_back_what_they_cut(size: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    frame = whole(photo)
    window = frame.cut(photo)
    assert window.shape == (frame.height, frame.width, 3) and frame.height * 3 == frame.width * 4
    top, left = -frame.top, -frame.left
    assert np.array_equal(window[top : top + size[0], left : left + size[1]], photo)
    points = np.zeros((18, 3), np.float32)
    points[:, 0], points[:, 1], points[:, 2] = size[1] * 0.4, size[0] * 0.6, 1
    np.testing.assert_allclose(frame.points_out(frame.points_in(points)), points, atol=1e-3)


def test_command_writes_picture_and_panel(vtcli: Run, tmp_path: Path) -> None:
    out, panel = tmp_path / "out.png", tmp_path / "panel.jpg"
    ended = vtcli(
        "tryon", SAMPLES / "person.jpg", SAMPLES / "cloth.jpg", "-o", out, "--panel", panel, "--device", "cpu"
    )
    assert ended.code == 0, ended.err
    with Image.open(out) as picture, Image.open(SAMPLES / "person.jpg") as photo:
        assert picture.size == photo.size
    with Image.open(panel) as sheet:
        assert sheet.width > 1000
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["out.png", "panel.jpg"]


def test_warp_command_writes_alpha(vtcli: Run, tmp_path: Path) -> None:
    out = tmp_path / "warp.png"
    ended = vtcli(
        "warp", SAMPLES / "person.jpg", SAMPLES / "cloth.jpg", "-o", out, "--panel", tmp_path / "p.png"
    )
    assert ended.code == 0, ended.err
    with Image.open(out) as picture:
        alpha = np.asarray(picture)[..., 3]
        assert picture.mode == "RGBA" and 0.02 < (alpha > 128).mean() < 0.8 and (alpha == 0).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.jpg", "cloth.jpg", "-o", "o.png"), "missing.jpg"),
        (("person.jpg", "cloth.jpg"), "-o"),
        (("person.jpg", "-o", "o.png"), "PERSON and CLOTH"),
        (("person.jpg", "cloth.jpg", "-o", "o.xyz"), "o.xyz"),
        (("person.jpg", "cloth.jpg", "-o", "o.png", "--keep", "feet"), "feet"),
        (("person.jpg", "cloth.jpg", "-o", "o.png", "--device", "cuda:9"), "present: cpu"),
        (("person.jpg", "cloth.jpg", "-o", "o.png", "--weights", "nowhere"), "nowhere"),
        (("cloth.jpg", "cloth.jpg", "-o", "o.png", "--parse", "test/image-parse/{first}.png"), "proportions"),
        (("person.jpg", "cloth.jpg", "-o", "o.png", "--box", "1,2,3"), "four whole numbers"),
        (("person.jpg", "cloth.jpg", "-o", "o.png", "--box", "0,0,9000,10"), "within the photo"),
        (("person.jpg", "cloth.jpg", "cloth.jpg", "-o", "o.png"), "need a folder"),
        (("person.jpg", "cloth.jpg", "-o", "o.png", "--person", "2"), "1 found"),
        (("--people", "test/image", "-o", "o.png"), "go together"),
    ],
)
def test_one_line_for_a_bad_call(
    vtcli: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    first = sorted((SAMPLES / "test" / "image-parse").glob("*.png"))[0].stem
    spelled = []
    for argument in arguments:
        argument = argument.format(first=first)
        inside = SAMPLES / argument
        spelled.append(
            inside if inside.exists() else tmp_path / argument if argument.startswith("o.") else argument
        )
    ended = vtcli("tryon", *spelled)
    assert ended.code in (1, 2) and message in ended.err
    assert "Traceback" not in ended.err and len(ended.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("tryon", "--data", "d", "--panel", "p.png"), "--panel"),
        (("tryon", "--data", "d", "--box", "0,0,9,9"), "--box"),
        (("tryon", "--data", "d", "--person", "1"), "--person"),
        (("tryon", "--data", "d", "--parse", "p.png"), "--parse"),
        (("tryon", "--data", "d", "--labels", "atr"), "--labels"),
        (("tryon", "--data", "d", "--pose", "p.json"), "--pose"),
        (("tryon", "--data", "d", "--cloth-mask", "m.png"), "--cloth-mask"),
        (("tryon", "--data", "d", "--force"), "--force"),
        (("tryon", "--data", "d", "--people", "p"), "--people"),
        (("tryon", "--data", "d", "person.jpg", "cloth.jpg"), "PERSON"),
        (("tryon", "person.jpg", "cloth.jpg", "--save-parse"), "--save-parse"),
        (("tryon", "person.jpg", "cloth.jpg", "--pairs", "p.csv"), "--pairs"),
        (("tryon", "person.jpg", "cloth.jpg", "--split", "test"), "--split"),
        (("tryon", "person.jpg", "cloth.jpg", "cloth.jpg", "--cloth-mask", "m.png"), "--cloth-mask"),
        (("tryon", "person.jpg", "cloth.jpg", "cloth.jpg", "--panel", "p.png"), "--panel"),
        (("tryon", "--people", "p", "--cloths", "c", "--parse", "p.png"), "--parse"),
        (("tryon", "--people", "p", "--cloths", "c", "--limit", "3"), "--limit"),
        (("tryon", "person.jpg", "cloth.jpg", "--parse", "p", "--pose", "p", "--box", "0,0,9,9"), "--box"),
        (("warp", "--data", "d", "--force"), "--force"),
        (("warp", "--data", "d", "--panel", "p.png"), "--panel"),
        (("warp", "--data", "d", "--pose", "p.json"), "--pose"),
        (("warp", "--data", "d", "person.jpg", "cloth.jpg"), "PERSON"),
        (("warp", "person.jpg", "cloth.jpg", "--limit", "3"), "--limit"),
        (("warp", "person.jpg", "cloth.jpg", "--batch-size", "3"), "--batch-size"),
    ],
)
def test_an_option_that_the_mode_does_not_use_is_an_error(
    vtcli: Run, tmp_path: Path, arguments: tuple[str, ...], option: str
) -> None:
    out = tmp_path / ("o" if arguments.count("cloth.jpg") != 1 else "o.png")
    ended = vtcli(*arguments, "-o", out)
    assert ended.code == 2 and f"{option} is not used" in ended.err
    assert len(ended.err.strip().splitlines()) == 1 and not list(tmp_path.iterdir())


def test_split_continues_and_is_scored(vtcli: Run, tmp_path: Path) -> None:
    """prepare → tryon over a split, interrupted and continued → the same bytes."""
    data, out, other = tmp_path / "prepared", tmp_path / "results", tmp_path / "again"
    ended = vtcli("prepare", SAMPLES, "--out", data, "--split", "test", "--jobs", 1)
    assert ended.code == 0, ended.err
    arguments = (
        "tryon",
        "--data",
        data,
        "--pairs",
        "unpaired",
        "--keep",
        "outside",
        "--limit",
        5,
        "--batch-size",
        2,
    )
    ended = vtcli(*arguments, "-o", out, "--save-parse")
    assert ended.code == 0, ended.err
    assert "unpaired: everyone in the garment that the split's list names, keep outside" in ended.err
    info = ResultsInfo.load(out)
    assert info.keep == "outside" and info.pairing == "unpaired" and len(info.pairs) == 5
    assert all(pair.person != pair.cloth for pair in info.pairs)
    files = {p.name: p.read_bytes() for p in (out / "images").iterdir()}
    assert len(files) == 5 and len(list((out / "parse").iterdir())) == 5
    # A run that was cut short: two pictures and no results.json.
    (other / "images").mkdir(parents=True)
    (other / "parse").mkdir()
    for name in sorted(files)[:2]:
        (other / "images" / name).write_bytes(files[name])
        (other / "parse" / name).write_bytes((out / "parse" / name).read_bytes())
    settings = {"kind": "tryon", "keep": "outside", "pairing": "unpaired", "save_parse": True}
    (other / "run.json").write_text(json.dumps({**settings, "store": info.store, "weights": info.weights}))
    assert vtcli(*arguments, "-o", other, "--save-parse").code == 0
    assert {p.name: p.read_bytes() for p in (other / "images").iterdir()} == files
    assert not (other / "run.json").exists()
    mixed = vtcli("tryon", "--data", data, "--pairs", "paired", "-o", other)
    assert mixed.code == 1 and "another run" in mixed.err


def test_paired_split_reports_warp_iou(vtcli: Run, tmp_path: Path) -> None:
    data, out = tmp_path / "prepared", tmp_path / "results"
    assert vtcli("prepare", SAMPLES, "--out", data, "--split", "test", "--jobs", 1).code == 0
    assert vtcli("warp", "--data", data, "--limit", 4, "-o", out).code == 0
    info = ResultsInfo.load(out)
    ious = info.figures["warp_iou"]
    assert len(ious) == 4 and all(0.2 < iou <= 1 for iou in ious.values())


def test_a_loose_photo_and_its_pair_in_a_split_are_composed_alike(
    vtcli: Run, engine: TryOn, tmp_path: Path
) -> None:
    """With its annotations a data set's photo gives, at 256×192, the same picture alone and in a split."""
    data, out = tmp_path / "prepared", tmp_path / "results"
    assert vtcli("prepare", SAMPLES, "--out", data, "--split", "test", "--jobs", 1).code == 0
    ended = vtcli(
        "tryon", "--data", data, "--pairs", "unpaired", "--keep", "outside", "--limit", 4, "-o", out
    )
    assert ended.code == 0, ended.err
    files = SAMPLES / "test"
    for pair in ResultsInfo.load(out).pairs:
        alone = engine.run(
            Image.open(files / "image" / f"{pair.person}.jpg"),
            Image.open(files / "cloth" / f"{pair.cloth}.jpg"),
            cloth_mask=read_mask(files / "cloth-mask" / f"{pair.cloth}.png"),
            parse=read_parse(files / "image-parse" / f"{pair.person}.png"),
            keypoints=read_pose(files / "pose" / f"{pair.person}_keypoints.json"),
        )
        with Image.open(out / "images" / f"{pair.name}.png") as picture:
            difference = np.abs(np.asarray(picture).astype(int) - np.asarray(alone.image))
        changed = np.abs(np.asarray(alone.image).astype(int) - alone.person.photo)
        assert changed.mean() > 3, "something was tried on"
        assert difference.mean() < 0.1 and (difference > 3).mean() < 0.002, pair.name


def test_names_too_long_for_one_file_are_shortened_and_stay_apart(vtcli: Run, tmp_path: Path) -> None:
    """A person who is listed twice is called NAME__CLOTH, which two long names make longer than files may be."""
    folder, long = tmp_path / "store" / "test", "ä" * 90
    folder.mkdir(parents=True)
    write_shard(folder, 0, drawn_pairs(3, 1, (256, 192)))
    entries = [Entry(f"{long}{i}_0", f"{long}{i}_1", f"{i}") for i in range(3)]
    write_manifest(folder, Manifest("test", (256, 192), entries))
    wanted = [(entries[0].name, entries[c].cloth) for c in (1, 2)]
    (tmp_path / "pairs.txt").write_text("".join(f"{p}.jpg\t{c}.jpg\n" for p, c in wanted), encoding="utf-8")
    ended = vtcli(
        "warp", "--data", tmp_path / "store", "--pairs", tmp_path / "pairs.txt", "-o", tmp_path / "out"
    )
    assert ended.code == 0, ended.err
    info = ResultsInfo.load(tmp_path / "out")
    assert [(pair.person, pair.cloth) for pair in info.pairs] == wanted
    names = {f"{pair.name}.png" for pair in info.pairs}
    assert len(names) == 2 and names == {path.name for path in (tmp_path / "out" / "images").iterdir()}
    assert all(len(name.encode()) <= 255 and name.startswith(long) for name in names)


def test_a_split_says_what_it_makes_and_which_masks_do_not_fit(vtcli: Run, tmp_path: Path) -> None:
    """A store that an older vtcli made may hold inverted masks."""
    fields = drawn_pairs(3, 1, (256, 192))
    folder = tmp_path / "store" / "test"
    folder.mkdir(parents=True)
    write_shard(folder, 0, fields | {"cloth_mask": 255 - fields["cloth_mask"]})
    write_manifest(
        folder, Manifest("test", (256, 192), [Entry(f"{i}_0", f"{i}_1", f"{i}") for i in range(3)])
    )
    ended = vtcli("warp", "--data", tmp_path / "store", "-o", tmp_path / "out", "--limit", 1)
    assert ended.code == 0, ended.err
    assert "paired: everyone in their own garment, keep head; --pairs shuffled for others" in ended.err
    assert (
        "test: 3 of 3 garment masks looked at do not fit: the garment's mask covers the background"
        in ended.err
    )


def test_a_store_of_another_size_than_the_networks_is_refused(
    vtcli: Run, store: Path, tmp_path: Path
) -> None:
    for command in ("tryon", "warp"):
        ended = vtcli(command, "--data", store, "-o", tmp_path / "out")
        assert ended.code == 2
        assert "holds pictures of 128x96, and these networks know 256x192" in ended.err
        assert "--size 256x192" in ended.err and len(ended.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
