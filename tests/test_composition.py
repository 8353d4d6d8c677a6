"""Equation (1), and what `keep` lets change."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import hand_region
from vtcli.core.garments.colours import lab
from vtcli.core.garments.placement import Garment
from vtcli.core.models.common import TOMOutput
from vtcli.core.models.composition import AROUND_ARMS, CLOTHES, HELD, held_garment, sharpened, try_on, within
from vtcli.core.models.representation import represent
from vtcli.core.models.tps import tps_grid
from vtcli.core.models.warping import Warp
from vtcli.core.synthetic.dressing import dress_outfit, outfit_over_dress, pose_person, usual_outfit
from vtcli.core.synthetic.people import Thing
from vtcli.core.synthetic.render import RenderedPerson, draw_dressed
from vtcli.core.synthetic.variety import random_dress, random_garment_varied, random_person_varied
from vtcli.core.tryon.composing.composer import Picture, compose
from vtcli.core.tryon.composing.filling import match_skin, skin_tone, unlike_skin
from vtcli.core.tryon.composing.garment_edge import garment_cover
from vtcli.core.tryon.composing.neck import neck_of
from vtcli.core.tryon.composing.old_garment import missed, with_whole_skirt
from vtcli.core.tryon.composing.planes import dilated
from vtcli.core.tryon.networks import Composition, People
from vtcli.core.tryon.photos.annotate import certain

SIZE = (128, 96)
SCENE = (256, 192)


def _box(top: int, bottom: int, left: int, right: int, size: tuple[int, int] = SIZE) -> Tensor:
    mask = torch.zeros(1, 1, *size)
    mask[..., top:bottom, left:right] = 1.0
    return mask


def test_equation_one_and_the_photo_outside_of_the_region() -> None:
    garment, rendering, photo = (torch.full((1, 3, *SIZE), value) for value in (0.8, -0.4, 0.1))
    mask = 0.25 * _box(0, 64, 0, 96)
    tryon = try_on(mask, garment, rendering)
    assert torch.allclose(tryon[:, :, :64], torch.tensor(0.25 * 0.8 - 0.75 * 0.4))
    assert torch.equal(tryon[:, :, 64:], rendering[:, :, 64:])
    result = within(_box(0, 128, 0, 48), tryon, photo)
    assert torch.equal(result[..., :48], tryon[..., :48]) and torch.equal(result[..., 48:], photo[..., 48:])


def test_the_garment_is_held_where_it_lies_and_clothes_are_expected() -> None:
    mask = _box(30, 100, 25, 70)
    expected = torch.zeros(1, L.LABELS, *SIZE)
    expected[:, L.UPPER_CLOTHES] = _box(30, 100, 25, 50)[:, 0]
    cloth = torch.ones(1, 3, *SIZE)
    least = held_garment(mask, expected)
    assert torch.allclose(least[..., 35:95, 30:50], torch.full((), HELD))
    assert float(least[..., 50:].max()) == 0.0 and float((least * (1.0 - mask)).max()) == 0.0
    assert float(least[..., 30:100, 25].max()) < HELD / 2  # at its edge the rendering is free
    free = TOMOutput(torch.zeros_like(cloth), 0.3 * mask, None, torch.zeros_like(mask))
    held = free.holding(least, cloth, mask)
    assert torch.equal(held.composition_mask, torch.maximum(0.3 * mask, least))
    # The garment, brighter than the rendering, takes its light.
    assert held.relighting is not None and float(held.relighting[..., 45:85, 35:45].max()) < -0.9


@dataclass
class Scene:
    """A synthetic person in one garment, and what the networks would say of another one, without an error."""

    photo: np.ndarray
    people: People
    before: Tensor
    expected: Tensor
    cloth: Tensor
    mask: Tensor

    def picture(self, scale: int = 1, own: np.ndarray | None = None) -> Picture:
        theta, none = torch.zeros(1, 50), torch.zeros_like(self.mask)
        warp = Warp(theta, None, tps_grid(theta, (256, 192)), self.cloth, self.mask, None)
        region = represent(
            self.people.image, self.people.parse, self.people.keypoints, "outside", (256, 192)
        ).region
        said = Composition(self.cloth, self.mask, self.expected, self.cloth, region)
        window = self.photo.repeat(scale, 0).repeat(scale, 1)
        garment = Garment(self.cloth, self.mask, none)
        return compose(window, self.before, self.people, garment, warp, said, "outside", own=own)


RED = (0.7, -0.8, -0.8)


def _scene(before: RenderedPerson, after: RenderedPerson, mask: np.ndarray | None = None) -> Scene:
    """The person of `before` tries on a red garment, which lies where `after` shows the top, or at `mask`."""
    if mask is None:
        mask = after.parse == L.UPPER_CLOTHES
    lies = torch.from_numpy(mask)[None, None].float()
    cloth = lies * torch.tensor(RED).view(1, 3, 1, 1) + (1.0 - lies)
    parse = torch.from_numpy(before.parse)[None]
    image = torch.from_numpy(before.image).permute(2, 0, 1)[None] / 127.5 - 1.0
    people = People(image, parse, torch.from_numpy(before.keypoints)[None])
    expected = certain(torch.from_numpy(after.parse)[None])
    return Scene(before.image, people, certain(parse), expected, cloth, lies)


def _in_a_dress(seed: int) -> tuple[RenderedPerson, RenderedPerson]:
    rng = np.random.default_rng(seed)
    person = replace(random_person_varied(rng), skirt=None, leg_end=9.0)
    dress, top = random_dress(rng), random_garment_varied(rng)
    stance = pose_person(person, SCENE, 1)
    return draw_dressed(stance, dress_outfit(person, dress))[0], draw_dressed(
        stance, outfit_over_dress(top, dress)
    )[0]


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_carried_stays_in_front_of_the_new_garment(seed: int) -> None:
    """The strap of a bag across the torso: its pixels are the photo's, and the garment goes on behind it."""
    rng = np.random.default_rng(seed)
    strap = Thing("strap", 1, 0.04, (0.2, 0.15), 0.0, 4.0, (40, 120, 60))
    person = replace(random_person_varied(rng), skirt=None, things=(strap,))
    stance = pose_person(person, SCENE, 2)
    before, after = (
        draw_dressed(stance, usual_outfit(person, random_garment_varied(rng)))[0] for _ in range(2)
    )
    # The warp and M_exp know nothing of it.
    behind = (after.parse == L.UPPER_CLOTHES) | (
        after.thing & (cv2.dilate((after.parse == L.UPPER_CLOTHES).astype(np.uint8), np.ones((15, 15))) > 0)
    )
    parse = np.where(behind, L.UPPER_CLOTHES, after.parse).astype(np.uint8)
    scene = _scene(before, replace(after, parse=parse), behind)
    own = np.stack([before.neck, before.thing]).astype(np.float32)
    inside = cv2.erode(before.thing.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    inside &= cv2.erode(behind.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert inside.sum() > 60
    kept, lost = (scene.picture(own=given).pixels for given in (own, None))
    same = (np.abs(kept.astype(int) - before.image) <= 1).all(-1)
    assert same[inside].mean() > 0.9  # its edge is soft
    assert (lost[inside].astype(int)[:, 0] - lost[inside][:, 1] > 90).mean() > 0.5  # else it turns red
    beside = behind & ~(cv2.dilate(before.thing.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
    assert (kept[beside] == lost[beside]).all(-1).mean() > 0.95


@pytest.mark.parametrize("name", [L.UPPER_CLOTHES, L.DRESS, L.JUMPSUITS])
@pytest.mark.parametrize("seed", [3, 5])
def test_below_a_new_top_a_dress_stays_pixel_for_pixel(seed: int, name: int) -> None:
    """Whatever the parse calls the dress and M_exp what is below the hem."""
    before, after = _in_a_dress(seed)
    worn = np.isin(before.parse, CLOTHES)
    scene = _scene(replace(before, parse=np.where(worn, name, before.parse).astype(np.uint8)), after)
    skirt = after.parse == L.DRESS
    below = cv2.erode((worn & skirt).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert below.sum() > 300
    for said in (L.DRESS, L.SKIRT, L.PANTS):
        scene.expected = certain(torch.from_numpy(np.where(skirt, said, after.parse).astype(np.uint8))[None])
        picture = scene.picture().pixels
        change = np.abs(picture[below].astype(int) - before.image[below]).max(1)
        assert (change == 0).mean() > 0.998 and change.max() <= 3  # but for the corner beside the hem
        top = cv2.erode(scene.mask[0, 0].numpy(), np.ones((7, 7), np.uint8)) > 0
        assert np.abs(picture[top][:, 0].astype(int) - picture[top][:, 1]).min() > 60  # red


@pytest.mark.parametrize("seed", [3, 5])
def test_corners_that_the_parse_misses_of_a_dress_stay_as_well(seed: int) -> None:
    before, after = _in_a_dress(seed)
    skirt = np.isin(before.parse, CLOTHES) & (after.parse == L.DRESS)
    last = np.nonzero(skirt.any(1))[0][-1]
    inside = cv2.erode(skirt.astype(np.uint8), np.ones((1, 15), np.uint8)) > 0
    corners = skirt & ~inside & (np.arange(256)[:, None] > last - 12)
    assert corners.sum() > 100
    parses = [np.where(corners, 0, person.parse).astype(np.uint8) for person in (before, after)]
    scene = _scene(replace(before, parse=parses[0]), replace(after, parse=parses[1]))
    change = np.abs(scene.picture().pixels[corners].astype(int) - before.image[corners]).max(1)
    assert (change == 0).mean() > 0.95


def test_a_skirt_of_which_the_parse_calls_a_piece_a_dress_stays() -> None:
    rng = np.random.default_rng(4)
    photo, parse = np.full((256, 192, 3), 235, np.uint8), np.zeros((256, 192), np.uint8)
    piece = np.s_[170:240, 95:125]
    for part, label, colour in (
        (np.s_[20:50, 80:110], L.FACE, (210, 160, 130)), (np.s_[55:150, 60:130], L.UPPER_CLOTHES, (70, 70, 80)),
        (np.s_[150:245, 58:132], L.SKIRT, (90, 30, 60)), (piece, L.DRESS, (90, 30, 60)),
    ):  # fmt: skip
        parse[part], photo[part] = label, colour
    photo = np.clip(photo + rng.normal(0, 6, photo.shape), 0, 255).astype(np.uint8)
    joints = np.zeros((18, 3), np.float32)
    joints[[L.NECK, L.R_HIP, L.L_HIP]] = (95, 55, 1), (75, 150, 1), (115, 150, 1)
    people = People(
        torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1.0, torch.from_numpy(parse)[None],
        torch.from_numpy(joints)[None],
    )  # fmt: skip
    mask = _box(55, 150, 60, 130, SCENE)
    cloth = mask * torch.tensor(RED).view(1, 3, 1, 1) + (1.0 - mask)
    after = np.where(np.isin(parse, (L.SKIRT, L.DRESS)), L.PANTS, parse).astype(np.uint8)
    expected = certain(torch.from_numpy(after)[None])
    made = Scene(photo, people, certain(people.parse), expected, cloth, mask).picture().pixels
    assert np.array_equal(made[piece], photo[piece])
    assert (made[70:140, 70:120, 0] > made[70:140, 70:120, 1] + 60).all()  # red


def test_hands_and_what_lies_outside_of_the_region_stay_bit_for_bit() -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        person = random_person_varied(rng)
        stance = pose_person(person, SCENE, 1)
        both = [draw_dressed(stance, usual_outfit(person, random_garment_varied(rng)))[0] for _ in range(2)]
        scene = _scene(*both)
        made = scene.picture()
        assert np.array_equal(made.pixels[~made.region], scene.photo[~made.region])
        assert (made.pixels != scene.photo).any(2).mean() > 0.05
        hands = hand_region(scene.people.parse, scene.people.keypoints)[0].numpy()
        worn = np.isin(both[0].parse, CLOTHES).astype(np.uint8)
        hands &= cv2.dilate(worn, np.ones((7, 7), np.uint8)) == 0
        assert np.array_equal(made.pixels[hands], scene.photo[hands])


def _joints() -> Tensor:
    joints = torch.zeros(1, 18, 3)
    for joint, at in {
        L.NOSE: (95, 38), L.NECK: (96, 60), L.R_SHOULDER: (70, 62), L.L_SHOULDER: (122, 62), L.R_ELBOW: (50, 110),
        L.L_ELBOW: (142, 105), L.R_WRIST: (40, 160), L.L_WRIST: (142, 150), L.R_HIP: (80, 160), L.L_HIP: (112, 160),
    }.items():  # fmt: skip
        joints[0, joint] = torch.tensor([*at, 1.0])
    return joints


def _people(photo: np.ndarray, parse: np.ndarray) -> People:
    image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1.0
    return People(image, torch.from_numpy(parse)[None], _joints())


@pytest.mark.parametrize("wall", [False, True])
def test_the_end_of_a_sleeve_that_the_parse_breaks_off_is_the_old_garment(wall: bool) -> None:
    """But a wall in the garment's colour is none, nor what lies beside the arm."""
    parse = _parse(
        face=np.s_[20:50, 80:110], upper_clothes=np.s_[55:200, 60:130], left_arm=np.s_[151:185, 134:150]
    )
    photo = np.full((256, 192, 3), 235, np.uint8)
    parse[62:135, 134:150] = L.UPPER_CLOTHES
    for label, colour in COLOURS.items():
        photo[parse == label] = colour
    end, beside = np.s_[135:151, 134:150], np.s_[210:226, 134:150]
    photo[end] = photo[beside] = COLOURS[L.UPPER_CLOTHES]
    if wall:
        photo[:, 134:][parse[:, 134:] == L.BACKGROUND] = COLOURS[L.UPPER_CLOTHES]
    found = missed(
        _people(photo, parse), certain(torch.from_numpy(parse)[None])[0].numpy(), np.zeros((256, 192), bool)
    )
    assert (found[end].mean() < 0.5) if wall else (found[end][2:-2, 3:-3].mean() > 0.9)
    assert not found[beside].any()


@pytest.mark.parametrize("trousers", [(30, 30, 45), (250, 250, 250)])
def test_a_shirt_tail_beyond_an_arm_is_the_old_garment(trousers: tuple[int, int, int]) -> None:
    """White on light grey: the parse calls it background. Of white trousers it would be the edge."""
    parse = _parse(
        face=np.s_[20:50, 80:110], upper_clothes=np.s_[55:150, 60:118], pants=np.s_[150:250, 60:122],
        left_arm=np.s_[100:180, 112:126],
    )  # fmt: skip
    photo = np.full((256, 192, 3), 232, np.uint8)
    for label, colour in {**COLOURS, L.UPPER_CLOTHES: (250, 250, 250), L.PANTS: trousers}.items():
        photo[parse == label] = colour
    tail = np.s_[145:165, 126:134]
    photo[tail] = 250
    noise = np.random.default_rng(4).normal(0, 1, photo.shape)
    photo = np.clip(photo + noise, 0, 255).astype(np.uint8)
    found = missed(
        _people(photo, parse), certain(torch.from_numpy(parse)[None])[0].numpy(), np.zeros((256, 192), bool)
    )
    assert (found[tail].mean() > 0.9) == (trousers != (250, 250, 250))
    found[tail] = False
    assert found[:, 126:].mean() < 0.002


@pytest.mark.parametrize("even", [True, False])
def test_a_lace_edge_beside_the_garment_is_the_old_garment(even: bool) -> None:
    """In another colour than the garment's, in front of an even scene; where the scene is busy, nobody knows. A strand of hair
    beside it is none, nor is a bag beside trousers."""
    parse = _parse(
        face=np.s_[20:50, 80:110], upper_clothes=np.s_[55:150, 60:126],
        pants=np.s_[150:250, 60:126],
        hair=np.s_[20:66, 112:124],
    )  # fmt: skip
    photo = np.full((256, 192, 3), 225, np.uint8)
    for label, colour in COLOURS.items():
        photo[parse == label] = colour
    lace, strand, bag = np.s_[90:130, 126:130], np.s_[56:70, 126:129], np.s_[180:200, 126:136]
    photo[lace], photo[strand], photo[bag] = (250, 240, 180), (90, 60, 40), (20, 90, 20)
    noise = np.random.default_rng(4).normal(0, 1 if even else 25, photo.shape)
    photo = np.clip(photo + noise * (parse == L.BACKGROUND)[..., None], 0, 255).astype(np.uint8)
    found = missed(
        _people(photo, parse), certain(torch.from_numpy(parse)[None])[0].numpy(), np.zeros((256, 192), bool)
    )
    assert (found[lace][2:-2].mean() > 0.9) if even else (found[lace].mean() < 0.1)
    assert not found[strand].any() and not found[bag].any()


def test_a_sliver_of_a_dress_on_a_skirts_edge_is_skirt() -> None:
    """The parser's slip must not be cut out of the skirt as an old garment; a dress under the top is no slip."""
    parse = _parse(upper_clothes=np.s_[55:150, 60:126], skirt=np.s_[150:240, 60:126])
    after = certain(torch.from_numpy(parse)[None])[0].numpy()
    slip = np.s_[200:230, 59:64]
    parse[slip] = L.DRESS
    before = certain(torch.from_numpy(parse)[None])[0].numpy()
    mended = with_whole_skirt(before, after)
    assert (mended.argmax(0)[slip] == L.SKIRT).all() and not mended[L.DRESS].any()
    parse[150:240, 60:126] = L.DRESS
    dress = certain(torch.from_numpy(parse)[None])[0].numpy()
    assert (with_whole_skirt(dress, after) == dress).all()


def test_a_neck_is_found_by_its_colour_and_a_gap_beside_it_is_none() -> None:
    """Labels call both background, and both have person on all four sides."""
    parse = _parse(face=np.s_[16:48, 80:110], hair=np.s_[14:64, 66:80], upper_clothes=np.s_[64:200, 60:130])
    parse[14:64, 110:124] = L.HAIR
    photo = np.full((256, 192, 3), 200, np.uint8)
    for label, colour in {**COLOURS, L.HAIR: (60, 40, 30)}.items():
        photo[parse == label] = colour
    neck, gap = np.s_[50:63, 86:104], np.s_[50:58, 81:84]
    photo[48:64, 85:105] = (190, 142, 115)
    labels = torch.from_numpy(parse)[None]
    before = certain(labels)[0].numpy()
    found, clean = neck_of(_people(photo, parse), before, before, labels, np.zeros((256, 192), np.float32))
    assert not (clean & ~found).any()
    assert found[neck].all() and not found[gap].any()


def test_arms_take_their_tone_from_face_and_hands_where_no_more_is_seen() -> None:
    """Not from a chest, which is lighter, nor from the rendering; each arm for itself."""
    parse = _parse(face=np.s_[20:50, 80:110], upper_clothes=np.s_[75:200, 60:130])
    left, right = np.s_[62:150, 134:150], np.s_[62:160, 40:56]
    parse[left] = parse[right] = L.UPPER_CLOTHES
    parse[150:170, 134:150], parse[160:180, 40:56] = L.LEFT_ARM, L.RIGHT_ARM
    photo = np.full((256, 192, 3), 235, np.uint8)
    for label, colour in {**COLOURS, L.RIGHT_ARM: (205, 150, 125)}.items():
        photo[parse == label] = colour
    photo[50:75, 75:115] = (240, 205, 185)  # throat and chest
    after = np.zeros((256, 192), np.uint8)
    after[left], after[right] = L.LEFT_ARM, L.RIGHT_ARM
    rendered = np.full((256, 192, 3), 235, np.float32)
    rendered[left], rendered[right] = (150, 110, 95), (245, 205, 190)
    neck = np.zeros((256, 192), bool)
    neck[50:75, 75:115] = True
    old = np.isin(parse, CLOTHES)
    before, expected = (certain(torch.from_numpy(x)[None])[0].numpy() for x in (parse, after))
    drawn = lab(match_skin(rendered, _people(photo, parse), before, expected, neck, old))
    wanted = lab(np.array([207.0, 155.0, 128.0], np.float32))
    for arm in (left, right):
        inside = drawn[arm][10:-20, 4:-4].reshape(-1, 3)
        assert np.linalg.norm(np.median(inside, axis=0) - wanted) < 6.0


@pytest.mark.parametrize(("rows", "colour"), [(1, (105, 80, 65)), (5, None)])
def test_of_a_cuff_no_line_stays_on_the_wrist(rows: int, colour: tuple[int, int, int] | None) -> None:
    """Its shadow, or its edge in the cloth's colour, lies on the hand, whose pixels stay the photo's further down."""
    joints = _joints()
    sleeve, hand = np.s_[60:150, 134:150], np.s_[150:185, 134:150]
    before = _parse(face=np.s_[20:50, 80:110], upper_clothes=np.s_[55:200, 60:130], left_arm=hand)
    before[sleeve] = L.UPPER_CLOTHES
    after = before.copy()
    after[sleeve] = L.LEFT_ARM
    photo = np.full((256, 192, 3), 235, np.uint8)
    for label, colour in COLOURS.items():
        photo[before == label] = colour
    scale = 4
    window = photo.repeat(scale, 0).repeat(scale, 1)
    line = COLOURS[L.UPPER_CLOTHES] if colour is None else colour
    window[150 * scale : (150 + rows) * scale, 134 * scale : 150 * scale] = line
    photo[150 : 150 + rows, 134:150] = line
    mask, arm = (
        torch.from_numpy(after == label)[None, None].float() for label in (L.UPPER_CLOTHES, L.LEFT_ARM)
    )
    tone = torch.tensor(COLOURS[L.LEFT_ARM]).view(1, 3, 1, 1) / 127.5 - 1.0
    drawn = mask * torch.tensor(RED).view(1, 3, 1, 1) + arm * tone + (1.0 - mask - arm)
    image, labels = (
        torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1.0,
        torch.from_numpy(before)[None],
    )
    expected = certain(torch.from_numpy(after)[None])
    scene = Scene(window, People(image, labels, joints), certain(labels), expected, drawn, mask)
    picture = scene.picture().pixels
    wrist = picture[140 * scale : 160 * scale, 137 * scale : 147 * scale]
    assert wrist.min(-1).min() > 90, "skin alone"
    kept = np.s_[(157 + rows) * scale : 184 * scale, 134 * scale : 150 * scale]
    assert np.array_equal(picture[kept], window[kept])


def test_a_garment_does_not_fade_out_where_the_networks_are_unsure() -> None:
    """M_exp falls over 40 pixels at the hem, the warp reaches less far: the edge is a few pixels wide all the same."""
    worn, mask = _box(60, 200, 50, 140, SCENE), _box(60, 150, 50, 140, SCENE)
    fall = ((170.0 - torch.arange(256.0)) / 40.0).clamp(0, 1).view(1, 256, 1)
    expected = torch.zeros(1, L.LABELS, 256, 192)
    expected[:, L.UPPER_CLOTHES] = worn[0] * fall
    expected[:, L.PANTS] = worn[0] * (1.0 - fall)
    expected[:, L.BACKGROUND] = 1.0 - worn[0]
    parse = (_box(60, 165, 50, 140, SCENE) * L.UPPER_CLOTHES + _box(165, 200, 50, 140, SCENE) * L.PANTS)[
        0
    ].byte()
    photo = np.full((256, 192, 3), 240, np.uint8)
    image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1.0
    cloth = mask * torch.tensor(RED).view(1, 3, 1, 1) + (1.0 - mask)
    scene = Scene(photo, People(image, parse, torch.zeros(1, 18, 3)), certain(parse), expected, cloth, mask)
    scale = 4
    column = scene.picture(scale).pixels[:, 95 * scale, 1].astype(int)
    between = (column > 60) & (column < 220)
    assert 0 < between.sum() <= 3 * scale
    assert column[: 145 * scale][60 * scale + 8 :].max() < 60 and column[160 * scale :].min() > 220


def _tries_on(before: np.ndarray, after: np.ndarray, colours: dict[int, tuple[int, int, int]]) -> np.ndarray:
    """Where the picture is red, (256, 192) bool: the person of the parse `before` in a red top, which lies where `after`
    has clothes; `colours` of the labels in the photo."""
    photo = np.full((256, 192, 3), 235, np.uint8)
    for label, colour in colours.items():
        photo[before == label] = colour
    labels, expected = torch.from_numpy(before)[None], certain(torch.from_numpy(after)[None])
    image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1.0
    mask = torch.from_numpy(after == L.UPPER_CLOTHES)[None, None].float()
    cloth = mask * torch.tensor(RED).view(1, 3, 1, 1) + (1.0 - mask)
    people = People(image, labels, torch.zeros(1, 18, 3))
    pixels = Scene(photo, people, certain(labels), expected, cloth, mask).picture().pixels.astype(int)
    red: np.ndarray = (pixels[..., 0] > 150) & (pixels[..., 1] < 90)
    return red


COLOURS = {L.FACE: (210, 160, 130), L.LEFT_ARM: (210, 160, 130), L.UPPER_CLOTHES: (30, 60, 190)}


def _parse(**parts: tuple[slice, slice]) -> np.ndarray:
    parse = np.zeros((256, 192), np.uint8)
    for name, part in parts.items():
        parse[part] = getattr(L, name.rstrip("_").upper())
    return parse


def test_a_sleeve_is_no_narrower_than_the_arm_in_it() -> None:
    """M_exp and the warp end two pixels inside of a bare arm's outline."""
    face = np.s_[20:50, 80:110]
    before = _parse(face=face, upper_clothes=np.s_[55:200, 60:130], left_arm=np.s_[60:190, 134:150])
    after = _parse(face=face, left_arm=np.s_[150:190, 134:150], upper_clothes=np.s_[55:200, 60:130])
    after[60:150, 136:148] = L.UPPER_CLOTHES
    red = _tries_on(before, after, COLOURS)
    assert red[70:140, 134:150].mean() > 0.97
    assert not red[160:185].any(0)[136:].any()  # the hand stays


def test_a_new_garment_is_not_stretched_over_an_arm_that_it_bares() -> None:
    """A short sleeve gives way to none."""
    face = np.s_[20:50, 80:110]
    before = _parse(face=face, left_arm=np.s_[60:190, 131:147], upper_clothes=np.s_[55:200, 60:130])
    before[55:110, 130:149] = L.UPPER_CLOTHES
    after = _parse(face=face, left_arm=np.s_[58:190, 130:147], upper_clothes=np.s_[55:200, 60:130])
    red = _tries_on(before, after, COLOURS)
    assert red[70:100, 70:127].all()
    assert not red[70:100, 132:].any()


def test_an_edge_has_no_step_where_the_warp_goes_ever_further() -> None:
    """The warp ends where M_exp does at the shoulder, and seven pixels beyond it at the hem."""
    scale, size = 4.0, (1024, 768)
    expected, alpha = np.zeros(size, np.float32), np.zeros(size, np.float32)
    expected[200:800, 200:500] = 1.0
    for row in range(200, 800):
        alpha[row, 200 : 500 + round(7 * scale * (row - 200) / 600)] = 1.0
    none = np.zeros(size, np.float32)
    cover = garment_cover(expected, alpha, none, none, none, scale)
    ends = (cover[210:790] > 0.5).sum(1)
    assert (
        abs(ends[20:60].mean() - 302) < 3 and abs(ends[-40:].mean() - 300) < 2
    )  # its own edge, then M_exp's
    assert ends.max() > 304 and np.abs(np.diff(ends)).max() <= 1


def test_a_dilated_thread_is_as_wide_and_as_sure_as_the_disc() -> None:
    thread = np.zeros((600, 400), np.float32)
    thread[100:500, 200] = 1.0
    for radius in (3.0, 7.0, 9.0, 14.0, 25.0):
        row = dilated(thread, radius)[300]
        assert row.max() == 1.0 and abs((row > 0.5).sum() - (2 * radius + 1)) <= 2
    assert dilated(np.zeros((64, 48), np.float32), 12.0).max() == 0.0


def test_a_collars_own_edge_is_the_neckline() -> None:
    """M_exp has the neckline six pixels too low; the shop photo shows the inside of the collar, with steps in its mask."""
    parse = _parse(face=np.s_[14:46, 84:108], upper_clothes=np.s_[52:200, 56:136])
    photo = np.full((256, 192, 3), 235, np.uint8)
    for label, colour in COLOURS.items():
        photo[parse == label] = colour
    after = parse.copy()
    after[52:78, 82:110] = L.BACKGROUND
    joints = torch.zeros(1, 18, 3)
    for joint, place in (
        (L.NOSE, (96, 34)),
        (L.NECK, (96, 58)),
        (L.R_SHOULDER, (60, 60)),
        (L.L_SHOULDER, (132, 60)),
    ):
        joints[0, joint] = torch.tensor([*place, 1.0])
    inside = torch.zeros(1, 1, 256, 192)
    for column in range(84, 108):
        inside[..., 52 : 71 if column % 4 < 2 else 73, column] = 1.0
    whole = torch.from_numpy(parse == L.UPPER_CLOTHES)[None, None].float()
    front = whole * (1.0 - inside)
    cloth = whole * torch.tensor(RED).view(1, 3, 1, 1) + (1.0 - whole)
    labels = torch.from_numpy(parse)[None]
    people = People(torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1.0, labels, joints)
    expected, theta = certain(torch.from_numpy(after)[None]), torch.zeros(1, 50)
    region = represent(people.image, labels, joints, "outside", (256, 192)).region
    warp = Warp(theta, None, tps_grid(theta, (256, 192)), cloth, front, None)
    said, scale = Composition(cloth, front, expected, cloth, region), 4
    window = photo.repeat(scale, 0).repeat(scale, 1)
    made = compose(window, certain(labels), people, Garment(cloth, whole, inside), warp, said, "outside")
    red = (made.pixels[..., 0] > 150) & (made.pixels[..., 1] < 90)
    first = red[56 * scale :, 90 * scale : 102 * scale].argmax(0) / scale + 56
    assert first.min() > 70 and first.max() < 75  # the collar's edge, not M_exp's …
    assert np.abs(np.diff(first)).max() <= 1 / scale  # … and no steps


def test_of_a_shirt_over_shorts_of_its_colour_nothing_is_taken_for_its_tail() -> None:
    parse = _parse(
        face=np.s_[20:50, 80:110], left_arm=np.s_[60:150, 136:150], upper_clothes=np.s_[55:150, 60:130]
    )
    parse[150:250, 62:128] = L.PANTS
    white = (245, 245, 243)
    photo = np.full((256, 192, 3), 200, np.uint8)
    for label, colour in {**COLOURS, L.UPPER_CLOTHES: white, L.PANTS: white}.items():
        photo[parse == label] = colour
    photo[190:250, 62:128] = 225, 222, 215  # the shade makes another palette of them
    labels = torch.from_numpy(parse)[None]
    image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1.0
    people = People(image, labels, torch.zeros(1, 18, 3))
    assert not missed(people, certain(labels)[0].numpy(), np.zeros((256, 192), bool)).any()


def test_what_has_the_old_garments_colour_goes_whatever_its_label() -> None:
    """A blue cuff that the parse takes for a part of the hand."""
    rng = np.random.default_rng(2)
    photo = np.full((256, 192, 3), 235, np.uint8)
    parse = np.zeros((256, 192), np.uint8)
    for part, label, colour in (
        (np.s_[20:50, 80:110], L.FACE, (210, 160, 130)),
        (np.s_[55:200, 60:130], L.UPPER_CLOTHES, (30, 60, 190)),
        (np.s_[60:150, 136:150], L.LEFT_ARM, (30, 60, 190)),
        (np.s_[60:145, 136:150], L.UPPER_CLOTHES, (30, 60, 190)),
        (np.s_[150:180, 136:150], L.LEFT_ARM, (210, 160, 130)),
    ):
        parse[part], photo[part] = label, colour
    noise = rng.normal(0, 2, photo.shape)
    photo = np.clip(photo + noise, 0, 255).astype(np.uint8)
    labels = torch.from_numpy(parse)[None]
    image = torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1.0
    people = People(image, labels, torch.zeros(1, 18, 3))
    found = missed(people, certain(labels)[0].numpy(), np.zeros((256, 192), bool))
    cuff = np.zeros_like(found)
    cuff[145:150, 136:150] = True
    assert found[cuff].mean() > 0.9
    assert found[~cuff].mean() < 0.001


def test_a_ruffle_that_the_parse_takes_for_a_skirt_goes_with_its_top() -> None:
    """Red like the top, over dark trousers; a skirt of the top's own colour is a dress's, and stays."""
    rng = np.random.default_rng(3)
    red, dark, skin_colour = (190, 30, 50), (30, 30, 45), (210, 160, 130)
    for trousers, goes in ((dark, True), (red, False)):
        photo, parse = np.full((256, 192, 3), 235, np.uint8), np.zeros((256, 192), np.uint8)
        for part, label, colour in (
            (np.s_[20:50, 80:110], L.FACE, skin_colour), (np.s_[60:150, 136:150], L.LEFT_ARM, skin_colour),
            (np.s_[55:150, 60:130], L.UPPER_CLOTHES, red), (np.s_[150:160, 60:130], L.SKIRT, red),
            (np.s_[160:250, 62:128], L.PANTS, trousers),
        ):  # fmt: skip
            parse[part], photo[part] = label, colour
        photo = np.clip(photo + rng.normal(0, 2, photo.shape), 0, 255).astype(np.uint8)
        labels = torch.from_numpy(parse)[None]
        people = People(
            torch.from_numpy(photo).permute(2, 0, 1)[None] / 127.5 - 1.0, labels, torch.zeros(1, 18, 3)
        )
        found = missed(people, certain(labels)[0].numpy(), np.zeros((256, 192), bool))
        assert (found[151:159, 62:128].mean() > 0.95) == goes
        assert found[162:].sum() == 0


def test_drawn_skin_takes_the_persons_own_tone() -> None:
    """Brown arms that the TOM draws on a fair person: the face and hands tell."""
    fair, drawn = np.array([225.0, 180.0, 155.0]), np.array([150.0, 95.0, 60.0])
    parse = np.zeros((256, 192), np.uint8)
    parse[20:50, 80:110], parse[60:150, 60:130], parse[150:180, 60:90] = L.FACE, L.UPPER_CLOTHES, L.LEFT_ARM
    photo = np.broadcast_to(fair, (256, 192, 3)).astype(np.uint8)
    labels = torch.from_numpy(parse)[None]
    image = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] / 127.5 - 1.0
    people = People(image, labels, torch.zeros(1, 18, 3))
    after = np.where(parse == L.UPPER_CLOTHES, L.LEFT_ARM, parse)
    given = certain(labels)[0].numpy(), certain(torch.from_numpy(after)[None])[0].numpy()
    none, old = np.zeros((256, 192), bool), parse == L.UPPER_CLOTHES
    rendered = np.broadcast_to(drawn, (256, 192, 3)).astype(np.float32).copy()
    out = match_skin(rendered, people, *given, none, old)
    apart = np.linalg.norm(lab(out[100, 95]) - lab(fair.astype(np.float32)))
    assert apart < 16 < np.linalg.norm(lab(drawn.astype(np.float32)) - lab(fair.astype(np.float32)))
    np.testing.assert_allclose(out[10, 10], drawn, atol=1e-3)
    # A piece of the old purple sleeve is no skin, and does not turn the rest orange.
    purple = np.array([70.0, 40.0, 90.0], np.float32)
    rendered[60:120] = purple
    mixed = match_skin(rendered, people, *given, none, old)
    np.testing.assert_allclose(mixed[140, 95], out[140, 95], atol=1.0)
    tone = skin_tone(people, parse == L.LEFT_ARM)
    assert tone is not None
    sleeve = unlike_skin(mixed, tone)
    assert sleeve[65:110, 65:125].all() and not sleeve[125:148, 65:125].any()


def test_arms_are_sharpened_and_nothing_else() -> None:
    rendered = torch.zeros(1, 3, 256, 192)
    rendered[..., 96:] = 0.5  # an edge from top to bottom
    rendered = torch.nn.functional.avg_pool2d(rendered, 3, 1, 1)
    expected = torch.zeros(1, 20, 256, 192)
    expected[:, L.LEFT_ARM, :128] = expected[:, L.PANTS, 128:] = 1.0
    head = torch.zeros(1, 256, 192, dtype=torch.bool)
    head[:, :64] = True
    out = sharpened(rendered, expected, head)
    assert torch.equal(out[:, :, :64], rendered[:, :, :64])
    below = 128 + AROUND_ARMS
    assert torch.equal(out[:, :, below:], rendered[:, :, below:])
    steps = [(x[0, 0, 90, 1:] - x[0, 0, 90, :-1]).abs().max() for x in (rendered, out)]
    assert steps[1] > 1.2 * steps[0]
    assert (out - rendered).abs().amax((1, 2))[0, :90].max() == 0  # an even surface stays
