"""Photos as people have them: small in the frame, several people, cut off; garments on any background; many at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from conftest import Ended
from PIL import Image

from vtcli import TryOn
from vtcli.core.data import labels as L
from vtcli.core.data.annotations import read_mask, read_parse
from vtcli.core.data.poses import read_pose
from vtcli.core.garments.collar import inner_collar, without_collar
from vtcli.core.garments.placement import place
from vtcli.core.models.tps import sample
from vtcli.core.system.errors import UsageProblem, VtcliError
from vtcli.core.tryon import many, results
from vtcli.core.tryon.photos.finding import Choice, FoundPerson, others, people_boxes
from vtcli.core.tryon.photos.framing import with_top
from vtcli.core.tryon.photos.problems import NobodyFound, UnfitPhoto
from vtcli.core.tryon.photos.refine import on_person, refine_hair, refine_neck, without_lone_hair
from vtcli.core.tryon.photos.window import Window

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
PEOPLE = sorted((SAMPLES / "test" / "image").glob("*.jpg"))
CLOTHS = sorted((SAMPLES / "test" / "cloth").glob("*.jpg"))
Run = Callable[..., Ended]
Box = tuple[int, int, int, int]


def test_the_window_holds_the_whole_top() -> None:
    """A wide tunic that VITON's window would cut off; with one that it holds, or a dress, the window stays."""
    whole = Window(0, 0, 256)  # a photo of 768×1024 and its parse at 256×192
    window = Window(120, 100, 150)
    for label, bottom, wider in (
        (L.UPPER_CLOTHES, 190, True),
        (L.UPPER_CLOTHES, 150, False),
        (L.DRESS, 190, False),
    ):
        parse = np.zeros((256, 192), np.uint8)
        parse[50:bottom, 55:115] = label
        found = FoundPerson((200, 100, 480, 1000), parse, whole, (40, 20, 130, 250), 1e5)
        framed = with_top(window, found)
        assert (framed != window) == wider
        if wider:
            assert framed.top == window.top and framed.height <= 1.31 * window.height
            assert framed.top + framed.height > 4 * bottom
            assert framed.left < 4 * 55 and framed.left + framed.width > 4 * 115


@pytest.fixture(scope="module")
def engine() -> TryOn:
    return TryOn.load(device="cpu")


@pytest.fixture(scope="module")
def cloth() -> Image.Image:
    return Image.open(SAMPLES / "cloth.jpg")


def cut_out(number: int) -> tuple[np.ndarray, np.ndarray]:
    """A synthetic person, and where it is."""
    file = PEOPLE[number]
    parse = read_parse(SAMPLES / "test" / "image-parse" / f"{file.stem}.png")
    person = np.zeros(parse.shape, np.uint8)
    person[parse > 0] = 1
    # VITON's maps leave the neck out.
    rows = np.nonzero(np.isin(parse, (L.FACE,)).any(1))[0]
    columns = np.nonzero((parse == L.FACE).any(0))[0]
    middle, half = (columns[0] + columns[-1]) // 2, max(3, len(columns) // 4)
    person[rows[-1] : rows[-1] + 14, middle - half : middle + half] = 1
    return np.asarray(Image.open(file).convert("RGB")), person > 0


def scene(size: tuple[int, int], *placed: tuple[int, float, int]) -> tuple[np.ndarray, list[Box]]:
    """Synthetic people (number, height as a share of the picture's, left edge) on the lower edge of a plain scene."""
    rows = np.linspace(0, 1, size[0])[:, None, None]
    picture = np.broadcast_to(np.array([205, 215, 225]) - 35 * rows, (*size, 3)).astype(np.uint8).copy()
    boxes = []
    for number, share, left in placed:
        image, mask = cut_out(number)
        rows_, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
        image = image[rows_[0] : rows_[-1] + 1, columns[0] : columns[-1] + 1]
        mask = mask[rows_[0] : rows_[-1] + 1, columns[0] : columns[-1] + 1]
        tall = round(share * size[0])
        wide = round(tall * image.shape[1] / image.shape[0])
        small = np.asarray(Image.fromarray(image).resize((wide, tall), Image.Resampling.LANCZOS))
        shown = np.asarray(Image.fromarray(mask).resize((wide, tall), Image.Resampling.NEAREST))
        corner = picture[size[0] - tall :, left : left + wide]
        corner[shown] = small[shown]
        boxes.append((left, size[0] - tall, left + wide, size[0]))
    return picture, boxes


def iou(a: Box, b: Box) -> float:
    both = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return both / (sum(areas) - both)


@pytest.mark.parametrize(
    ("size", "share", "left"),
    [((400, 300), 0.95, 40), ((500, 500), 0.5, 300), ((420, 800), 0.4, 30), ((900, 420), 0.3, 200)],
)
def test_any_framing(
    engine: TryOn, cloth: Image.Image, size: tuple[int, int], share: float, left: int
) -> None:
    """Small or large, off-centre, in any format: the person is found and gets the garment, and all else is the photo, bit for bit."""
    photo, (truth,) = scene(size, (0, share, left))
    assert iou(engine.people(photo)[0].box, truth) > 0.7
    result = engine.run(Image.fromarray(photo), cloth)
    picture = np.asarray(result.image)
    assert picture.shape == photo.shape
    assert np.array_equal(picture[~result.region], photo[~result.region])
    margin = 0.2 * share * size[0]
    rows, columns = np.nonzero((picture != photo).any(2))
    assert truth[1] < rows.min() and truth[0] - margin < columns.min() < columns.max() < truth[2] + margin
    assert (picture != photo).any(2)[truth[1] : truth[3], truth[0] : truth[2]].mean() > 0.08


def test_one_of_several(engine: TryOn, cloth: Image.Image) -> None:
    """The largest by default; --person and --box choose another, and the neighbours stay as they are."""
    photo, boxes = scene((600, 900), (0, 0.85, 60), (1, 0.6, 620))
    found = engine.people(photo)
    assert len(found) == 2 and iou(found[0].box, boxes[0]) > 0.7 and iou(found[1].box, boxes[1]) > 0.7
    left, top, right, bottom = boxes[1]
    for choice, chosen, other in (
        (Choice(1), boxes[0], boxes[1]),
        (Choice(2), boxes[1], boxes[0]),
        (Choice(box=(left - 10, top - 10, right + 10, bottom)), boxes[1], boxes[0]),
    ):
        changed = (np.asarray(engine.run(Image.fromarray(photo), cloth, choice=choice).image) != photo).any(2)
        assert changed[chosen[1] : chosen[3], chosen[0] : chosen[2]].mean() > 0.08
        assert not changed[other[1] : other[3], other[0] : other[2]].any()
    with pytest.raises(NobodyFound, match="2 found"):
        engine.run(Image.fromarray(photo), cloth, choice=Choice(3))
    with pytest.raises(NobodyFound, match="in the box"):
        engine.run(Image.fromarray(photo), cloth, choice=Choice(box=(0, 0, 50, 50)))
    with pytest.raises(UsageProblem, match="within the photo"):
        engine.run(Image.fromarray(photo), cloth, choice=Choice(box=(800, 0, 950, 50)))


def test_small_in_a_panorama(engine: TryOn) -> None:
    """Too small for a look at the whole picture: its parts are looked at."""
    photo, (truth,) = scene((420, 2400), (0, 0.5, 1500))
    found = engine.people(photo)
    assert found and iou(found[0].box, truth) > 0.6


def test_a_head_and_its_body_are_one_person() -> None:
    """VITON's maps call the neck background, so that head and body do not touch."""
    parse = np.zeros((256, 192), np.uint8)
    parse[20:50, 80:110], parse[25:52, 85:105] = L.HAIR, L.FACE
    parse[66:200, 60:130] = L.UPPER_CLOTHES
    parse[100:180, 160:185] = L.UPPER_CLOTHES  # a coat on a stand: no skin, no hair
    assert people_boxes(parse) == [(60, 20, 130, 200)]
    assert others(parse, (60, 20, 130, 200))[120, 170] and not others(parse, (60, 20, 130, 200))[30, 90]


def test_throats_are_no_faces() -> None:
    probabilities = torch.zeros(1, L.LABELS, 256, 192)
    probabilities[:, L.FACE, 20:80, 80:110] = 1.0
    probabilities[:, L.BACKGROUND] = 1.0 - probabilities[:, L.FACE]
    keypoints = torch.zeros(1, L.JOINTS, 3)
    keypoints[0, L.NOSE], keypoints[0, L.NECK] = torch.tensor([95.0, 42, 1]), torch.tensor([95.0, 84, 1])
    parse = refine_neck(probabilities, keypoints).argmax(1)[0]
    assert (parse[20:56, 90:100] == L.FACE).all() and (parse[66:80, 80:110] == L.BACKGROUND).all()
    keypoints[0, L.NECK] = keypoints[0, L.NOSE] = 0
    assert torch.equal(refine_neck(probabilities, keypoints), probabilities)


def test_weak_joints_count_on_the_person_only() -> None:
    parse = torch.zeros(1, 256, 192, dtype=torch.uint8)
    parse[:, 60:200, 60:130] = L.UPPER_CLOTHES
    keypoints = torch.zeros(1, L.JOINTS, 3)
    keypoints[0, L.NECK], keypoints[0, L.R_WRIST] = (
        torch.tensor([95.0, 62, 0.05]),
        torch.tensor([20.0, 20, 0.05]),
    )
    keypoints[0, L.L_WRIST] = torch.tensor([180.0, 240, 0.9])
    kept = on_person(keypoints, parse)
    assert torch.equal(kept[0, [L.NECK, L.L_WRIST]], keypoints[0, [L.NECK, L.L_WRIST]])
    assert not kept[0, L.R_WRIST].any()


def test_cut_off_at_the_chest(engine: TryOn, cloth: Image.Image) -> None:
    """Where the window reaches below the photo, the person goes on: the garment is not squeezed into what shows."""
    photo, (truth,) = scene((500, 400), (0, 0.95, 60))
    cut = photo[: truth[1] + (truth[3] - truth[1]) * 55 // 100]
    who = engine.look(cut)
    lowest = who.window.lowest_row(len(cut))
    assert lowest < 230, "the window reaches below the photo"
    below = np.isin(who.people.parse[0, lowest + 2 :].numpy(), L.TOP_LABELS)
    assert below.any(1).all() and below.mean() > 0.15


def drawn_collar(inside: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:256, :192]
    mask = (rows > 20) & (rows < 236) & (abs(columns - 96) < 80)
    bowl = mask & (((columns - 96) / 28.0) ** 2 + ((rows - 20) / 26.0) ** 2 < 1)
    rgb = np.full((256, 192, 3), 255, np.uint8)
    rgb[mask], rgb[bowl] = (190, 40, 50), inside
    return rgb, bowl


def test_the_inside_of_the_back_collar() -> None:
    rgb, bowl = drawn_collar((90, 20, 25))
    mask = (rgb != 255).any(2)
    found = inner_collar(rgb, mask)
    assert (found & bowl).sum() / (found | bowl).sum() > 0.75
    plain, _ = drawn_collar((190, 40, 50))
    assert not inner_collar(plain, mask).any()
    turtleneck, tall = plain.copy(), mask.copy()
    tall[4:60, :70] = tall[4:60, 122:] = False
    tall[4:40, 70:122] = True
    turtleneck[4:40, 70:122] = (60, 20, 120)
    turtleneck[~tall] = 255
    assert not inner_collar(turtleneck, tall).any(), "a collar of another colour is worn"


def test_the_front_is_the_garment_without_the_collars_inside() -> None:
    """A garment that shows no inside is left as it is."""
    (rgb, bowl), (plain, _) = drawn_collar((90, 20, 25)), drawn_collar((190, 40, 50))
    mask = (rgb != 255).any(2)
    assert without_collar(plain, mask) is mask
    left = without_collar(rgb, mask)
    gone = mask & ~left
    assert gone[bowl].all() and (gone & ~bowl).sum() < 0.15 * bowl.sum()
    assert not left[:40, 90:102].any(), "nothing of the rim is left above the opening"
    straps = mask.copy()
    straps[20:80] &= (abs(np.arange(192) - 96) < 62) & (abs(np.arange(192) - 96) > 60)  # two pixels wide
    assert without_collar(rgb, straps) is straps


def test_a_warped_garment_is_open_at_the_neck(engine: TryOn) -> None:
    rgb, _ = drawn_collar((90, 20, 25))
    result = engine.warp(
        Image.open(SAMPLES / "person.jpg"), Image.fromarray(rgb).resize((576, 768)), force=True
    )
    there = sample(result.garment.inside, result.warp.grid)[0, 0].numpy()
    alpha = np.asarray(Image.fromarray(result.warped).resize((192, 256), Image.Resampling.BOX))[..., 3]
    assert (there > 0.9).sum() > 50 and (alpha > 200).sum() > 4000
    assert alpha[there > 0.9].mean() < 10
    assert float(result.warp.mask[0, 0][torch.from_numpy(there > 0.9)].max()) < 0.2


def test_a_warp_takes_the_worn_neckline_with_head_alone(engine: TryOn, cloth: Image.Image) -> None:
    file = PEOPLE[0]
    photo = Image.open(file).convert("RGB")
    parse = read_parse(SAMPLES / "test" / "image-parse" / f"{file.stem}.png")
    joints = read_pose(SAMPLES / "test" / "pose" / f"{file.stem}_keypoints.json")
    x = int(joints[L.NECK, 0])
    deeper = parse.copy()
    top = int(np.isin(parse[:, x], L.TOP_LABELS).argmax())
    deeper[top : top + 12, x - 12 : x + 12] = L.BACKGROUND
    for keep in ("head", "outside"):
        thetas = [
            engine.warp(photo, cloth, keep=keep, parse=given, keypoints=joints, force=True).warp.theta
            for given in (parse, deeper)
        ]
        assert torch.equal(*thetas) == (keep == "outside")


@pytest.mark.parametrize("backdrop", [(255, 255, 255), (128, 128, 130), (40, 90, 160), None])
def test_garments_on_any_background(engine: TryOn, backdrop: tuple[int, int, int] | None) -> None:
    """White, grey, coloured, transparent; small and off-centre: the same garment comes out."""
    file = CLOTHS[1]
    rgb = np.asarray(Image.open(file).convert("RGB"))
    mask = read_mask(SAMPLES / "test" / "cloth-mask" / f"{file.stem}.png")
    canvas = np.zeros((500, 700, 4), np.uint8)
    canvas[..., :3], canvas[..., 3] = backdrop or 0, 255 if backdrop else 0
    corner = canvas[150 : 150 + rgb.shape[0], 60 : 60 + rgb.shape[1]]
    corner[mask, :3], corner[mask, 3] = rgb[mask], 255
    expected = place(rgb, mask).at((256, 192))[1] > 0.5
    found = engine.cut_out(Image.fromarray(canvas)).at((256, 192))[1] > 0.5
    assert float((found & expected).sum() / (found | expected).sum()) > 0.93


def test_a_hangers_hook_is_no_garment(engine: TryOn) -> None:
    shirt = np.asarray(Image.open(CLOTHS[1]).convert("RGB").resize((600, 800)))
    photo = np.full((1000, 600, 3), 255, np.uint8)
    photo[200:] = shirt
    plain = engine.cut_out(Image.fromarray(photo))
    start = int(np.nonzero((photo[:, 296:304] < 240).any((1, 2)))[0][0])
    photo[start - 90 : start + 4, 296:304] = (60, 60, 65)
    photo[start - 90 : start - 82, 296:330] = (60, 60, 65)
    hung = engine.cut_out(Image.fromarray(photo))
    a, b = (g.at((256, 192))[1] > 0.5 for g in (plain, hung))
    assert float((a & b).sum() / (a | b).sum()) > 0.93


@pytest.mark.parametrize("name", ["coffee", "text", "coins", "page", "rocket", "cat"])
def test_refuses_what_is_no_top(engine: TryOn, name: str) -> None:
    picture = Image.fromarray(getattr(skimage.data, name)()).convert("RGB")
    with pytest.raises(UnfitPhoto, match=r"garment alone|plain background|puts on tops"):
        engine.cut_out(picture)
    engine.cut_out(picture, force=True)


def test_from_behind_is_refused(engine: TryOn, cloth: Image.Image) -> None:
    """Hair where the face should be, and no joint of a face."""
    image, _ = cut_out(0)
    photo = np.asarray(Image.fromarray(image).resize((480, 640)))
    parse = np.asarray(
        Image.fromarray(read_parse(SAMPLES / "test" / "image-parse" / f"{PEOPLE[0].stem}.png")).resize(
            (480, 640), Image.Resampling.NEAREST
        )
    )
    behind = np.where(parse == L.FACE, L.HAIR, parse).astype(np.uint8)
    joints = engine.look(photo).people.keypoints[0].numpy()
    joints = engine.look(photo).window.points_out(joints)
    joints[[L.NOSE, L.R_EYE, L.L_EYE, L.R_EAR, L.L_EAR]] = 0
    with pytest.raises(UnfitPhoto, match="behind"):
        engine.run(Image.fromarray(photo), cloth, parse=behind, keypoints=joints)
    engine.run(Image.fromarray(photo), cloth, parse=behind, keypoints=joints, force=True)


def test_several_garments_and_a_sheet(vtcli: Run, tmp_path: Path) -> None:
    """What cannot be tried on, read or named does not stop the others, and is reported, with --quiet too."""
    out = tmp_path / "pictures"
    Image.fromarray(skimage.data.coffee()).save(tmp_path / "coffee.png")
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    long = tmp_path / f"{'x' * 250}.jpg"  # with the person's name too long for a file
    long.write_bytes(CLOTHS[2].read_bytes())
    cloths = (CLOTHS[0], tmp_path / "coffee.png", tmp_path / "phone.heic", long, CLOTHS[1])
    ended = vtcli("tryon", SAMPLES / "person.jpg", *cloths, "-o", out, "--quiet")
    assert ended.code == 1 and "3 of 5" in ended.err
    reasons = ended.err.splitlines()
    assert "coffee.png" in reasons[0] and "phone.heic" in reasons[1] and "too long" in reasons[2], reasons
    names = {f"person__{file.stem}.png" for file in CLOTHS[:2]}
    files = {file.name for file in out.iterdir()}
    assert names | {"sheet.jpg"} <= files and "person__coffee.png" not in files
    alone = tmp_path / "alone.png"
    assert vtcli("tryon", SAMPLES / "person.jpg", CLOTHS[1], "-o", alone).code == 0
    with Image.open(alone) as a, Image.open(out / f"person__{CLOTHS[1].stem}.png") as b:
        assert a.tobytes() == b.tobytes()


def test_refusals_and_notes_name_their_file(vtcli: Run, tmp_path: Path) -> None:
    blank, tiny, out = tmp_path / "blank.png", tmp_path / ":x:.png", tmp_path / "pictures"
    Image.new("RGB", (300, 400), "white").save(blank)
    Image.open(SAMPLES / "cloth.jpg").resize((80, 100)).save(tiny)
    person = SAMPLES / "person.jpg"
    ended = vtcli("tryon", person, tiny, blank, "-o", out)
    lines = ended.err.splitlines()
    assert ended.code == 1 and f"{tiny}: the garment is only" in ended.err
    assert any(line.startswith(f"{blank}: no garment stands out") for line in lines), lines
    assert f"1 picture and a contact sheet in {out}" in lines
    ended = vtcli("tryon", person, blank, "-o", tmp_path / "out.png", "--quiet")
    assert ended.code == 1 and ended.err.startswith(f"vtcli: {blank}: no garment stands out")
    ended = vtcli("warp", person, blank, "-o", tmp_path / "out.png")
    assert ended.code == 1 and ended.err.startswith(f"vtcli: {blank}: no garment stands out")
    dark = tmp_path / "night.png"
    Image.fromarray(np.asarray(Image.open(person)) // 5).save(dark)
    ended = vtcli("tryon", dark, CLOTHS[0], "-o", tmp_path / "out.png", "--force")
    assert ended.code == 0 and f"{dark}: the photo is dark" in ended.err
    ended = vtcli("tryon", person, CLOTHS[0], "-o", out, "--weights", tmp_path / "nowhere")
    assert ended.code == 1 and ended.err.startswith(
        f"vtcli: {tmp_path / 'nowhere'}: no such file or folder; name"
    )


def test_a_garment_named_twice_is_one_picture(tmp_path: Path) -> None:
    """But two files of one name would be written over each other."""
    first, second = tmp_path / "a" / "tee.jpg", tmp_path / "b" / "tee.jpg"
    assert len(many.one_person(SAMPLES / "person.jpg", [first, first])) == 1
    with pytest.raises(UsageProblem, match="would both be named person__tee"):
        many.one_person(SAMPLES / "person.jpg", [first, first, second])


def test_folders_and_lists(vtcli: Run, tmp_path: Path) -> None:
    people_, cloths = tmp_path / "people", tmp_path / "cloths"
    for folder, files in ((people_, PEOPLE[:2]), (cloths, CLOTHS[:2])):
        folder.mkdir()
        for file in files:
            (folder / file.name).write_bytes(file.read_bytes())
    out = tmp_path / "all"
    assert vtcli("tryon", "--people", people_, "--cloths", cloths, "-o", out).code == 0
    names = {f.stem for f in out.glob("*.png")}
    assert names == {f"{p.stem}__{c.stem}" for p in PEOPLE[:2] for c in CLOTHS[:2]}
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(f"person;cloth\n{PEOPLE[0].name}; {CLOTHS[1].stem}\n", encoding="utf-16")
    out = tmp_path / "one"
    ended = vtcli("tryon", "--people", people_, "--cloths", cloths, "--pairs", pairs, "-o", out)
    assert ended.code == 0, ended.err
    assert {f.stem for f in out.glob("*.png")} == {f"{PEOPLE[0].stem}__{CLOTHS[1].stem}"}
    pairs.write_text(f"{PEOPLE[0].name},missing.jpg\n")
    ended = vtcli("tryon", "--people", people_, "--cloths", cloths, "--pairs", pairs, "-o", out)
    assert ended.code == 2 and "line 1" in ended.err and "missing.jpg" in ended.err
    (people_ / f"{PEOPLE[0].stem}.png").write_bytes(PEOPLE[0].read_bytes())
    ended = vtcli("tryon", "--people", people_, "--cloths", cloths, "-o", out)
    assert ended.code == 2 and "rename" in ended.err


def test_lists_of_pictures_are_read_as_those_of_data_sets_are(tmp_path: Path) -> None:
    """Nothing in a list or a folder is passed over: what cannot be read is a job that fails."""
    for name in ("a b.jpg", "c.HEIC", "d.png", "e.jxl", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    pairs = tmp_path / "pairs.txt"
    for text in (
        "a b.jpg d.png\nc.HEIC d\n", "\ufeffa b.jpg\td.png\nc.HEIC\td\n", "person;cloth\na b.jpg;d.png;\n# x\nc;d\n",
        '"a b","d.png"\r\n"c.HEIC","d"\r\n', "a b.jpg, d.png\nc.HEIC, d.png",
        "sep=;\nperson;cloth\na b.jpg;d.png\nc.HEIC;d\n", ",person,cloth\n0,a b.jpg,d.png\n1,c.HEIC,d.png\n",
        "Garment Image;Score;Model Image\nd.png;0.5;a b.jpg\nd;0.1;c\n", "a b.jpg,d.png\nc.HEIC,d.png\na b.jpg,d.png\n",
    ):  # fmt: skip
        for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-16-be"):
            pairs.write_text(text, encoding=encoding, newline="")
            jobs = many.listed(pairs)
            assert [(j.person.name, j.cloth.name) for j in jobs] == [
                ("a b.jpg", "d.png"),
                ("c.HEIC", "d.png"),
            ]
    pairs.write_text("a b.jpg d.png\nc.HEIC\n")
    with pytest.raises(VtcliError, match=r"pairs\.txt, line 2: expected two file names"):
        many.listed(pairs)
    pairs.write_text("id,person,cloth\n1,a b.jpg,d.png\n2,c.HEIC,\n")
    with pytest.raises(VtcliError, match=r"pairs\.txt, line 3: expected two file names"):
        many.listed(pairs)
    pairs.write_bytes(b"PK\x03\x04\0\0")
    with pytest.raises(VtcliError, match=r"pairs\.txt: a spreadsheet .* save the list as CSV"):
        many.listed(pairs)
    people = {job.person.name for job in many.everybody_everything(tmp_path, tmp_path)}
    assert people == {"a b.jpg", "c.HEIC", "d.png", "e.jxl"}


def test_unsure_results_come_with_a_panel(
    vtcli: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.png"
    call = ("tryon", SAMPLES / "person.jpg", SAMPLES / "cloth.jpg", "-o", out)
    ended = vtcli(*call)
    assert ended.code == 0 and "confidence" not in ended.err and not (tmp_path / "out-panel.jpg").exists()
    monkeypatch.setattr(results, "LOW_CONFIDENCE", 1.1)
    ended = vtcli(*call)
    assert ended.code == 0 and "confidence" in ended.err and "out-panel.jpg" in ended.err
    assert (tmp_path / "out-panel.jpg").exists()


def _haired(hair_colour: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A grey top with hair over it, and a parse that takes six pixels on either side of the hair for hair."""
    generator = torch.Generator().manual_seed(0)
    photo = 0.1 + 0.05 * torch.randn(1, 3, 256, 192, generator=generator)
    photo[:, :, 20:140, 80:112] = hair_colour + 0.05 * torch.randn(1, 3, 120, 32, generator=generator)
    labels = torch.zeros(1, 256, 192, dtype=torch.long)
    labels[:, 60:220, 40:152] = L.UPPER_CLOTHES
    labels[:, 20:140, 74:118] = L.HAIR
    probabilities = torch.nn.functional.one_hot(labels, L.LABELS).permute(0, 3, 1, 2).float()
    return probabilities, photo


def test_garment_beside_hair_is_garment_where_their_colours_differ() -> None:
    probabilities, photo = _haired(-0.7)
    refined = refine_hair(probabilities, photo)
    assert torch.allclose(refined.sum(1), probabilities.sum(1))
    labels = refined.argmax(1)[0]
    rim = labels[70:130, 75:79]
    assert (rim == L.UPPER_CLOTHES).float().mean() > 0.9
    assert bool((labels[30:138, 84:108] == L.HAIR).all())
    assert bool((labels[20:45, 74:118] == L.HAIR).all())  # no garment is near
    alike, photo = _haired(0.1)
    assert torch.equal(refine_hair(alike, photo), alike)


def test_hair_apart_from_the_head_is_what_lies_around_it() -> None:
    """Skin in a keyhole that the parser takes for hair; long hair that an arm parts in two stays."""

    def sure(labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(labels, L.LABELS).permute(0, 3, 1, 2).float()

    labels = torch.zeros(1, 256, 192, dtype=torch.int64)
    labels[:, 60:200, 50:140] = L.UPPER_CLOTHES
    labels[:, 15:50, 80:112] = L.FACE
    labels[:, 15:120, 66:80] = L.HAIR
    whole = sure(labels)
    assert without_lone_hair(whole) is whole
    labels[:, 84:92, 100:106] = L.HAIR
    found = without_lone_hair(sure(labels)).argmax(1)
    assert (found[:, 84:92, 100:106] == L.UPPER_CLOTHES).all() and (found[:, 15:120, 66:80] == L.HAIR).all()
    labels[:, 70:84, 66:80] = L.LEFT_ARM
    assert (without_lone_hair(sure(labels)).argmax(1)[:, 84:120, 66:80] == L.HAIR).all()
