"""Synthetic pairs: what the pictures, maps and joints promise."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from vtcli.core import synthetic
from vtcli.core.data import labels as L
from vtcli.core.synthetic.__main__ import main
from vtcli.core.synthetic.people import POSES, random_pose

SAMPLE = Path(__file__).resolve().parents[1] / "sample_data"
LABELS = {0, L.HAIR, L.UPPER_CLOTHES, L.PANTS, L.FACE, L.LEFT_ARM, L.RIGHT_ARM}


def _person(seed: int = 3, pose: str = "down", **changes) -> synthetic.SyntheticPerson:
    person = synthetic.random_person(np.random.default_rng(seed))
    pose_value = random_pose(np.random.default_rng(seed), pose)
    return replace(person, pose_name=pose, pose=pose_value, x=0.0, y=0.0, scale=1.0, **changes)


def _draw(person: synthetic.SyntheticPerson, garment: synthetic.SyntheticGarment) -> synthetic.RenderedPerson:
    return synthetic.draw_person(person, garment, samples=1)


def _at(label_map: np.ndarray, xy: np.ndarray, radius: int = 2) -> set[int]:
    x, y = (round(float(v)) for v in xy[:2])
    return set(
        label_map[max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1].ravel().tolist()
    )


def _files(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_same_seed_same_bytes_and_another_seed_others(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        arguments = ["--train", "1", "--test", "2", "--seed", str(seed), "--samples", "1", "--height", "128"]
        assert main([str(tmp_path / name), *arguments]) == 0
    a, b, c = (_files(tmp_path / n) for n in "abc")
    assert a == b
    assert len(a) == 3 * 5 + 2
    assert a["train/image/000000_0.jpg"] != c["train/image/000000_0.jpg"]
    assert (
        tmp_path / "a/test_pairs.txt"
    ).read_text() == "000001_0.jpg 000002_1.jpg\n000002_0.jpg 000001_1.jpg\n"


@pytest.mark.parametrize("pose", POSES)
def test_joints_lie_on_the_person_and_agree_with_the_parse(pose):
    picture = _draw(_person(4, pose), synthetic.SyntheticGarment(sleeve="none", ease=0.008))
    parse, joints = picture.parse, picture.keypoints
    assert picture.image.shape == (256, 192, 3) and picture.image.dtype == np.uint8
    assert parse.shape == (256, 192) and set(np.unique(parse).tolist()) <= LABELS
    assert joints.shape == (18, 3) and joints.dtype == np.float32

    body = (parse > 0) | picture.neck
    for joint in joints[joints[:, 2] > 0]:
        assert _at(body, joint) != {False}
    assert _at(parse, joints[L.NOSE], 0) == {L.FACE}
    for elbow, wrist, arm in ((L.L_ELBOW, L.L_WRIST, L.LEFT_ARM), (L.R_ELBOW, L.R_WRIST, L.RIGHT_ARM)):
        if joints[elbow, 2]:
            assert _at(parse, joints[elbow]) & {arm}
        if joints[wrist, 2] and pose not in (
            "hip",
            "hips",
            "folded",
        ):  # where a wrist may lie behind something
            assert _at(parse, joints[wrist], 3) & set(L.ARM_LABELS)
    # VITON's framing and sides: the person's left is the right of the picture
    assert joints[L.L_SHOULDER, 0] > joints[L.R_SHOULDER, 0] + 40
    assert abs(joints[L.NECK, 0] - 95) < 8 and abs(joints[L.NECK, 1] - 84) < 4
    hips = (joints[L.L_HIP] + joints[L.R_HIP]) / 2
    assert abs(hips[0] - 93) < 14 and abs(hips[1] - 203) < 20


def test_neck_is_bare_skin_that_the_parse_calls_background():
    picture = _draw(
        _person(8, hair="bun", female=True), synthetic.SyntheticGarment(neck="v", neck_depth=0.15)
    )
    x, y = picture.keypoints[L.NECK, :2].round().astype(int)
    assert picture.neck.sum() > 150
    assert not picture.parse[picture.neck].any()
    assert picture.neck[y - 12 : y - 5, x - 2 : x + 3].all()  # the throat
    ring = ndimage.binary_dilation(picture.neck, iterations=2)
    assert {L.FACE, L.UPPER_CLOTHES} <= set(np.unique(picture.parse[ring]).tolist())


def test_two_garments_differ_only_around_garments_arms_and_neck():
    person = _person(5)
    one = _draw(person, synthetic.SyntheticGarment(sleeve="long", colour=(180, 40, 40), hem=0.08))
    two = _draw(
        person,
        synthetic.SyntheticGarment(sleeve="none", neck="v", neck_depth=0.16, colour=(30, 60, 120), hem=0.14),
    )
    assert np.array_equal(one.keypoints, two.keypoints)
    touched = np.zeros((256, 192), bool)
    for picture in (one, two):
        touched |= np.isin(picture.parse, (L.UPPER_CLOTHES, *L.ARM_LABELS)) | picture.neck
    near = ndimage.binary_dilation(touched, iterations=14)  # contact shadows reach that far
    change = np.abs(one.image.astype(int) - two.image.astype(int)).max(-1)
    assert change[touched].mean() > 30
    assert change[~near].max() <= 6  # the soft shadow on the studio paper
    assert np.array_equal(one.parse[~near], two.parse[~near])
    for label in (L.FACE, L.HAIR):
        assert np.array_equal(one.parse == label, two.parse == label)


@pytest.mark.parametrize("pattern", ["plain", "stripes", "text"])
def test_cloth_mask_is_all_that_is_not_the_white_ground(pattern):
    garment = synthetic.SyntheticGarment(colour=(250, 250, 250), pattern=pattern, sleeve="long")
    image, mask = synthetic.draw_cloth(garment, samples=2)
    assert set(np.unique(mask).tolist()) == {0, 255}
    assert np.array_equal(mask > 0, (image < 255).any(-1))
    _, count = ndimage.label(mask)
    assert count == 1
    columns = np.flatnonzero(mask.any(0))
    assert 0.5 <= len(columns) / 192 <= 0.95
    assert mask[128, 96] and not mask[[0, -1]].any() and not mask[:, [0, -1]].any()
    # the garment hardly leans to a side
    assert abs(np.flatnonzero(mask.any(0)).mean() - 95.5) < 4


def test_sleeve_lengths_give_more_cloth_and_fewer_arms():
    person = _person(6, hair="short")
    arms, cloth, wide = [], [], []
    for sleeve in ("none", "short", "three-quarter", "long"):
        garment = synthetic.SyntheticGarment(sleeve=sleeve)
        parse = _draw(person, garment).parse
        arms.append([int((parse == label).sum()) for label in L.ARM_LABELS])
        cloth.append(int((parse == L.UPPER_CLOTHES).sum()))
        joints = _draw(person, garment).keypoints
        wide.append([_at(parse, joints[k], 1) for k in (L.L_ELBOW, L.L_WRIST)])
    for less, more in zip(arms[1:], arms[:-1], strict=True):
        assert less[0] < more[0] and less[1] < more[1]
    assert all(a > 40 for a in arms[-1])  # hands stay
    assert cloth == sorted(cloth)
    assert L.LEFT_ARM in wide[0][0] and L.LEFT_ARM in wide[1][0]
    assert wide[2][0] == {L.UPPER_CLOTHES} and L.LEFT_ARM in wide[2][1]
    assert L.UPPER_CLOTHES in wide[3][1]


def test_a_chest_print_is_seen_on_the_garment_and_on_the_person():
    garment = synthetic.SyntheticGarment(
        pattern="text", text="HELLO", colour=(245, 245, 245), accent=(200, 20, 20), seed=4
    )
    cloth, mask = synthetic.draw_cloth(garment)
    worn = _draw(_person(9, "down", hair="short"), garment)
    for image, region in ((cloth, mask > 0), (worn.image, worn.parse == L.UPPER_CLOTHES)):
        ink = region & (image[..., 0].astype(int) - image[..., 1] > 60)
        ys, xs = np.nonzero(ink)
        rows, columns = np.nonzero(region)
        assert ink.sum() > 100
        assert abs(xs.mean() - np.median(columns)) < 8  # in the middle of the chest
        assert 0.15 < (ys.mean() - rows.min()) / np.ptp(rows) < 0.6


def test_random_people_and_garments_vary():
    people = [synthetic.random_person(np.random.default_rng(i)) for i in range(60)]
    garments = [synthetic.random_garment(np.random.default_rng(i)) for i in range(60)]
    assert {p.hair for p in people} == {"long", "bob", "short", "bun"} and {p.female for p in people} == {
        True,
        False,
    }
    assert {p.pose_name for p in people} == set(POSES)
    tones = [sum(p.skin) for p in people]
    assert max(tones) - min(tones) > 250
    assert {g.sleeve for g in garments} == {"none", "short", "three-quarter", "long"}
    assert {g.neck for g in garments} == {"round", "v", "boat"} and len({g.pattern for g in garments}) >= 7


def test_committed_sample_data_is_a_viton_folder():
    size = sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file())
    assert size <= 3_000_000
    for split, least in (("train", 32), ("test", 12)):
        lines = [line.split() for line in (SAMPLE / f"{split}_pairs.txt").read_text().splitlines()]
        assert len(lines) >= least
        for person, cloth in lines:
            stem, cloth_stem = person[:-4], cloth[:-4]
            paired = stem[:-1] == cloth_stem[:-1]
            assert paired == (split == "train")
            with Image.open(SAMPLE / split / "image" / person) as image:
                assert image.size == (192, 256) and image.mode == "RGB"
            with Image.open(SAMPLE / split / "cloth" / cloth) as image:
                assert image.size == (192, 256) and image.mode == "RGB"
                shop = np.asarray(image).astype(int)
            with Image.open(SAMPLE / split / "cloth-mask" / f"{cloth_stem}.png") as image:
                mask = np.asarray(image.convert("L")) > 127
            ground = ~ndimage.binary_dilation(mask, iterations=16)  # JPEG rings within a block of 16
            assert mask.mean() > 0.15 and shop[ground].min() >= 245
            with Image.open(SAMPLE / split / "image-parse" / f"{stem}.png") as image:
                assert image.mode == "P" and set(np.unique(np.asarray(image)).tolist()) <= LABELS
            pose = json.loads((SAMPLE / split / "pose" / f"{stem}_keypoints.json").read_text())
            assert len(pose["people"][0]["pose_keypoints"]) == 54
    for name, expected in (("person.jpg", (900, 1200)), ("cloth.jpg", (800, 1000))):
        with Image.open(SAMPLE / name) as image:
            assert image.size == expected
