"""Triplets: the same person in two garments, and where each spot of the second lies in its shop photo."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

from vtcli.core import synthetic
from vtcli.core.data import labels as L
from vtcli.core.data.triplets import pack_correspondence, read_triplets, unpack_correspondence
from vtcli.core.synthetic import triplets
from vtcli.core.synthetic.__main__ import main
from vtcli.core.synthetic.bodies import ArmPose, Pose, bone_transforms, mesh
from vtcli.core.synthetic.dressing import dress_outfit, outfit_over_dress, pose_person, usual_outfit
from vtcli.core.synthetic.garments import MORE_NECKS, NECKS
from vtcli.core.synthetic.people import Thing
from vtcli.core.synthetic.render import draw_dressed
from vtcli.core.synthetic.shop import shop_photo
from vtcli.core.synthetic.triplets import triplet_rng
from vtcli.core.synthetic.variety import random_garment_varied, random_person_varied, reaching_arm
from vtcli.core.synthetic.worn import correspondence
from vtcli.core.system.errors import VtcliError


def _person(**changes) -> synthetic.SyntheticPerson:
    return replace(synthetic.SyntheticPerson(hair="short", seed=3), **changes)


def _views(garment: synthetic.SyntheticGarment, person: synthetic.SyntheticPerson):
    photo, worn = draw_dressed(pose_person(person, samples=1), usual_outfit(person, garment))
    cloth, mask, shop = shop_photo(garment, (256, 192), 1)
    return photo, worn, cloth, mask, shop, correspondence(worn, shop)


@pytest.mark.parametrize(("pattern", "least"), [("stripes", 0.9), ("print", 0.75), ("floral", 0.7)])
def test_the_shop_photo_sampled_by_the_correspondence_is_the_worn_garment_up_to_shading(pattern, least):
    garment = synthetic.SyntheticGarment(
        pattern=pattern, sleeve="long", colour=(240, 240, 240), accent=(30, 40, 90), accent2=(200, 40, 40),
        scale=0.07, seed=9, wrinkle=0.5,
    )  # fmt: skip
    photo, _, cloth, _, _, places = _views(garment, _person())
    there = np.isfinite(places).all(-1)
    assert there.sum() > 0.85 * (photo.parse == L.UPPER_CLOTHES).sum()
    x, y = (np.nan_to_num(places[..., k]) - 0.5 for k in (0, 1))
    sampled = cv2.remap(cloth, x, y, cv2.INTER_LINEAR)[there].astype(float)
    shown = photo.image[there].astype(float)
    right = np.corrcoef(sampled.ravel(), shown.ravel())[0, 1]
    moved = cv2.remap(cloth, x, y + 6, cv2.INTER_LINEAR)[there].astype(float)
    assert right > least
    assert np.corrcoef(moved.ravel(), shown.ravel())[0, 1] < right - 0.15


def test_a_spot_is_the_same_spot_in_both_pictures():
    arm = ArmPose((0.17, -0.22, -1), (-0.9, -0.40, 0.06))  # forearm before the body
    person = _person(pose=Pose(arm, ArmPose((0.3, 0, -1), (0.1, -0.2, -1))))
    garment = synthetic.SyntheticGarment(sleeve="long")
    photo, worn, _, _, shop, places = _views(garment, person)
    there = np.isfinite(places).all(-1)
    assert (photo.parse[there] == L.UPPER_CLOTHES).all()

    def layer(view, values):
        out = np.full((view.height * view.width, values.shape[1]), np.nan, np.float32)
        out[view.visible.pixels] = values
        return out.reshape(view.height, view.width, -1)

    here = layer(worn, np.column_stack([worn.place, worn.sleeve]))[there]
    x, y = np.floor(places[there]).astype(int).T
    found = layer(shop, np.column_stack([shop.place, shop.sleeve]))[y, x]
    same = np.isfinite(found).all(1)
    assert same.mean() > 0.97
    assert np.median(np.linalg.norm(here - found, axis=1)[same]) < 0.012
    agree = (here[same, 3] > 0.5) == (found[same, 3] > 0.5)
    assert agree.mean() > 0.98
    # the forearm crosses the middle of the body, its sleeve hangs at the side of the shop photo
    sleeve = here[:, 3] > 0.9
    columns = np.nonzero(there)[1]
    crossing = sleeve & (np.abs(columns - 95) < 12)
    assert crossing.sum() > 30
    assert (np.abs(x[crossing] - 95.5) > 25).all()


def test_what_the_shop_photo_does_not_show_has_no_place():
    turned = _person(pose=replace(_person().pose, turn=70.0))
    _, worn, _, _, _, places = _views(synthetic.SyntheticGarment(sleeve="none"), turned)
    visible = np.zeros(worn.height * worn.width, bool)
    visible[worn.visible.pixels] = True
    behind = np.zeros(worn.height * worn.width, bool)
    behind[worn.visible.pixels] = worn.place[:, 1] > 0.04  # the back of the garment
    there = np.isfinite(places).all(-1).ravel()
    assert behind.sum() > 200
    assert there[behind].mean() < 0.02 and there[visible & ~behind].mean() > 0.8


def test_a_triplet_is_one_person_in_two_garments():
    t = synthetic.draw_triplet(triplet_rng(4, "test", 2), samples=1)
    assert np.array_equal(t.person_a.keypoints, t.person_b.keypoints)
    assert np.array_equal(t.person_a.parse == L.FACE, t.person_b.parse == L.FACE)
    assert t.garment_a != t.garment_b
    pair, _, _ = shop_photo(t.garment_b, (256, 192), 1)
    assert np.array_equal(t.cloth, pair)
    there = np.isfinite(t.correspondence).all(-1)
    assert (t.person_b.parse[there] == L.UPPER_CLOTHES).all()
    x, y = np.round(t.correspondence[there]).astype(int).T
    assert (t.cloth_mask[y, x] > 0).mean() > 0.98


def _varied(count: int) -> list[tuple]:
    out = []
    for number in range(count):
        rng = triplet_rng(0, "train", number)
        out.append((random_person_varied(rng), random_garment_varied(rng), random_garment_varied(rng)))
    return out


def test_worn_and_wanted_cuts_have_nothing_to_do_with_each_other_and_run_on():
    rows = _varied(300)
    measures = (lambda g: 0.0 if g.sleeve == "none" else g.cuff, lambda g: g.hem, lambda g: g.neck_depth,
                lambda g: g.ease)  # fmt: skip
    for measure in measures:
        worn, wanted = ([measure(row[k]) for row in rows] for k in (1, 2))
        assert abs(np.corrcoef(worn, wanted)[0, 1]) < 0.17
    sleeves = np.array([row[2].cuff for row in rows if row[2].sleeve != "none"])
    counts, _ = np.histogram(sleeves, np.linspace(0.03, 0.565, 9))
    assert (counts >= 8).all()  # no length is missing
    assert {row[2].neck for row in rows} == {*NECKS, *MORE_NECKS}


def test_people_carry_things_wear_skirts_and_lift_arms():
    people = [row[0] for row in _varied(200)]
    shares = {
        "skirt": np.mean([p.skirt is not None for p in people]),
        "shorts": np.mean([-1 < p.leg_end < p.waist for p in people]),
        "ground": np.mean([p.ground is not None for p in people]),
        "strap": np.mean([any(t.kind == "strap" for t in p.things) for p in people]),
        "before": np.mean(["before" in p.pose_name or p.pose_name in ("folded", "clasped") for p in people]),
        "lifted": np.mean(["lifted" in p.pose_name for p in people]),
    }
    assert all(0.05 < share < 0.75 for share in shares.values()), shares


@pytest.mark.parametrize("target", [(0.02, -0.24, 0.3), (-0.1, -0.22, 0.5), (0.2, -0.1, 0.95)])
def test_a_reaching_arm_brings_the_wrist_to_its_place(target):
    arm = reaching_arm(np.array(target), np.array([0.8, 0.1, -0.6]))
    joints = mesh().joints.mean(0)
    rotation, translation = bone_transforms(joints, Pose(arm, arm))
    for side, sign in (("L", 1), ("R", -1)):
        bone = mesh().bones[f"wrist.{side}"]
        wrist = rotation[bone] @ joints[bone] + translation[bone]
        assert np.linalg.norm(wrist - np.array(target) * [sign, 1, 1]) < 0.03


def test_a_strap_is_the_same_in_both_photos_and_no_garment():
    strap = Thing("strap", 1, 0.04, (0.2, 0.15), 0.1, 4.0, (250, 0, 250))
    stance = pose_person(_person(things=(strap,)), samples=1)
    bands = []
    for top in (synthetic.SyntheticGarment(ease=0.004), synthetic.SyntheticGarment(ease=0.04, sleeve="long")):
        photo, worn = draw_dressed(stance, usual_outfit(stance.person, top))
        ink = (photo.image[..., 0] > 120) & (photo.image[..., 1] < 90) & (photo.image[..., 2] > 120)
        _, _, shop = shop_photo(top, (256, 192), 1)
        assert ink.sum() > 400 and not photo.parse[ink].any() and not photo.neck[ink].any()
        assert not np.isfinite(correspondence(worn, shop)[ink]).any()
        bands.append(ink)
    assert (bands[0] & bands[1]).sum() > 0.85 * (bands[0] | bands[1]).sum()


def test_below_a_top_a_dress_shows_its_lower_part_and_legs_are_bare():
    person = _person(leg_end=9.0)
    dress = synthetic.SyntheticGarment(hem=-0.1, colour=(200, 30, 30), sleeve="short")
    top = synthetic.SyntheticGarment(hem=0.12, colour=(30, 30, 200))
    stance = pose_person(person, samples=1)
    a, _ = draw_dressed(stance, dress_outfit(person, dress))
    b, _ = draw_dressed(stance, outfit_over_dress(top, dress))
    assert {L.DRESS, L.LEFT_LEG, L.RIGHT_LEG} <= set(np.unique(a.parse).tolist())
    assert not {L.UPPER_CLOTHES, L.PANTS} & set(np.unique(a.parse).tolist())
    below = b.parse == L.DRESS
    assert below.sum() > 2000 and (a.parse[below] == L.DRESS).mean() > 0.97
    assert np.nonzero(below)[0].min() > np.median(np.nonzero(b.parse == L.UPPER_CLOTHES)[0])
    assert ((a.parse == L.LEFT_LEG) != (b.parse == L.LEFT_LEG)).sum() < 12
    red = b.image[below].astype(int)
    assert (red[:, 0] - red[:, 2] > 60).mean() > 0.9


@pytest.mark.parametrize("neck", ["straps", "halter", "off-shoulder", "round"])
def test_necklines_bare_what_they_should(neck):
    sleeve = {"round": "short", "off-shoulder": "short"}.get(neck, "none")
    depth = {"round": 0.06, "halter": 0.06}.get(neck, 0.12)
    garment = synthetic.SyntheticGarment(neck=neck, neck_depth=depth, neck_width=0.07, sleeve=sleeve,
                                         sleeve_end=0.2 if sleeve == "short" else None, ease=0.006)  # fmt: skip
    photo, *_ = _views(garment, _person())
    shoulders = [photo.keypoints[k, :2].round().astype(int) for k in (L.L_SHOULDER, L.R_SHOULDER)]
    covered = [photo.parse[y, x] == L.UPPER_CLOTHES for x, y in shoulders]
    assert covered == [neck == "round"] * 2
    x, y = photo.keypoints[L.NECK, :2].round().astype(int)
    assert photo.parse[y + 45, x] == L.UPPER_CLOTHES


def test_packed_correspondence_comes_back():
    rng = np.random.default_rng(0)
    places = rng.uniform(-1, 192, (20, 14, 2)).astype(np.float32)
    places[rng.uniform(size=(20, 14)) < 0.3] = np.nan
    back = unpack_correspondence(pack_correspondence(places), 20, 14)
    assert back.shape == (10, 7, 2)
    assert np.array_equal(np.isnan(back), np.isnan(places[::2, ::2]))
    assert np.nanmax(np.abs(back - places[::2, ::2])) <= 1 / 128


def test_the_command_writes_chunks_that_read_back_and_go_on(tmp_path):
    def make(out, *more):
        options = ["--train", "0", "--seed", "5", "--samples", "1", "--height", "128", *more]
        return main(["triplets", str(out), *options])

    assert make(tmp_path / "a", "--test", "3") == 0
    assert make(tmp_path / "b", "--test", "1", "--first", "2") == 0
    path = tmp_path / "a/test/000000.npz"
    before = path.read_bytes()
    chunk, alone = read_triplets(path), read_triplets(tmp_path / "b/test/000002.npz")
    t = synthetic.draw_triplet(triplet_rng(5, "test", 2), (128, 96), 1)
    for got in (alone.parse_b[0], chunk.parse_b[2]):
        assert np.array_equal(got, t.person_b.parse)
    assert np.array_equal(chunk.neck_a[2], t.person_a.neck) and np.array_equal(
        chunk.cloth_mask[2], t.cloth_mask
    )
    assert np.array_equal(chunk.thing_b[2], t.person_b.thing)
    assert np.abs(chunk.person_b[2].astype(float) - t.person_b.image).mean() < 4
    assert np.array_equal(chunk.keypoints[2], t.person_a.keypoints)
    wanted = t.correspondence[::2, ::2]
    assert chunk.correspondence.shape == (3, 64, 48, 2)
    assert np.array_equal(np.isnan(chunk.correspondence[2]), np.isnan(wanted))
    assert np.nanmax(np.abs(chunk.correspondence[2] - wanted)) <= 1 / 128

    assert make(tmp_path / "a", "--test", "3") == 0 and path.read_bytes() == before
    assert make(tmp_path / "a", "--test", "3", "--seed", "6") == 1  # another seed's file is not overwritten
    assert path.read_bytes() == before


def test_two_processes_write_what_one_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(triplets, "CHUNK", 1)
    for jobs in (1, 2):
        ended = list(triplets.write_triplets(tmp_path / str(jobs), 2, 7, 0, "train", (64, 48), 1, jobs))
        assert ended == [1, 1]
    files = [sorted((tmp_path / str(jobs) / "train").iterdir()) for jobs in (1, 2)]
    assert [p.name for p in files[0]] == ["000000.npz", "000001.npz"]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]


def test_a_short_file_grows(tmp_path):
    for count in (1, 2, 1):
        list(triplets.write_triplets(tmp_path, count, 7, 0, "train", (64, 48), 1))
        about = read_triplets(tmp_path / "train/000000.npz").about
        assert about["numbers"] == [0, 1][: max(count, len(about["numbers"]))]
    assert about["numbers"] == [0, 1]


def test_a_broken_chunk_is_named(tmp_path):
    path = tmp_path / "000000.npz"
    path.write_bytes(b"PK\x03\x04 not a chunk")
    with pytest.raises(VtcliError, match=r"000000\.npz"):
        read_triplets(path)
    with pytest.raises(VtcliError, match="no such file"):
        read_triplets(tmp_path / "absent.npz")


def test_reading_needs_numpy_and_opencv_alone():
    code = (
        "import sys, vtcli.core.data.triplets; "
        "print([m for m in ('torch', 'scipy', 'skimage', 'torchvision') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
