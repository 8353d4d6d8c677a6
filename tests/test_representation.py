"""I_p: `keep=head` is CP-VTON's, pixel for pixel; `keep=outside` keeps the photo where it says so."""

from __future__ import annotations

import cpvton
import numpy as np
import pytest
import torch
from conftest import drawn_pairs

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import hand_region, has_label, neck_region
from vtcli.core.models.representation import body_shape, pose_squares, represent

SIZE = (256, 192)


def _tensors(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    fields = drawn_pairs(count, seed, SIZE)
    image = torch.from_numpy(fields["image"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    return image, torch.from_numpy(fields["parse"]), torch.from_numpy(fields["keypoints"])


def test_head_is_cp_vtons_definition() -> None:
    fields = drawn_pairs(3, 5, SIZE)
    rng = np.random.default_rng(6)
    # Every label somewhere, and joints everywhere: fractional, at the edges, beyond them, absent.
    fields["parse"][2, :100, :100] = rng.integers(0, 20, (10, 10)).repeat(10, 0).repeat(10, 1)
    keypoints = fields["keypoints"]
    keypoints[1, :, :2] = rng.uniform(-3, 195, (18, 2)).astype(np.float32)
    keypoints[1, :6, :2] = [(1, 50), (1.01, 50), (50, 0.5), (190.7, 254.3), (4.6, 2.2), (195, 100)]
    image = torch.from_numpy(fields["image"]).permute(0, 3, 1, 2).float() / 127.5 - 1
    person = represent(image, torch.from_numpy(fields["parse"]), torch.from_numpy(keypoints), "head", SIZE)
    assert person.channels.shape == (3, 22, *SIZE)
    assert (person.region == 1).all()
    for i in range(3):
        expected = cpvton.agnostic(fields["image"][i], fields["parse"][i], keypoints[i])
        ours = person.channels[i].numpy()
        # Pillow rounds to whole grey values, once per pass and direction; ours does not round.
        assert np.abs(ours[:1] - expected[:1]).max() <= 2.5 / 127.5
        assert np.abs(ours[1:4] - expected[1:4]).max() < 1e-6
        assert (ours[4:] == expected[4:]).all()
    assert (person.channels[1, 4:] == 1).any()


def test_shape_tells_no_outline() -> None:
    parse = torch.zeros(1, 256, 192, dtype=torch.uint8)
    parse[:, 64:192, 48:144] = 5
    moved = parse.clone()
    moved[:, 64:192, 144:146] = 5  # two columns more
    shape = body_shape(parse > 0, SIZE)
    assert shape.min() == -1 and shape.max() == 1
    steps = (shape[..., 1:] - shape[..., :-1]).abs().max()
    assert steps < 2 / 12  # a ramp of about 16 pixels instead of an edge
    assert (body_shape(moved > 0, SIZE) - shape).abs().max() < 0.3


@pytest.mark.parametrize("keep", ["head", "outside"])
def test_smaller_networks_see_the_same(keep: str) -> None:
    image, parse, keypoints = _tensors(2, 7)
    full, half = (represent(image, parse, keypoints, keep, size) for size in (SIZE, (128, 96)))
    assert half.channels.shape == (2, 22, 128, 96)
    pooled = torch.nn.functional.avg_pool2d(full.channels, 2)
    torch.testing.assert_close(half.channels[:, 1:4], pooled[:, 1:4], atol=1e-5, rtol=0)
    assert (half.channels[:, :1] - pooled[:, :1]).abs().max() < 0.02
    assert ((half.channels[:, 4:] > 0) != (pooled[:, 4:] > 0)).float().mean() < 0.004  # rims of squares
    torch.testing.assert_close(half.region, torch.nn.functional.avg_pool2d(full.region, 2))


def test_outside_keeps_the_photo_and_hides_the_garment() -> None:
    image, parse, keypoints = _tensors(4, 8)
    person = represent(image, parse, keypoints, "outside", SIZE)
    region = person.region[:, 0] == 1
    assert ((person.region == 0) | (person.region == 1)).all()
    kept = person.channels[:, 1:4].permute(0, 2, 3, 1)
    photo = image.permute(0, 2, 3, 1)
    assert torch.equal(kept[~region], photo[~region])
    assert (kept[region] == -1).all()

    head, garment = has_label(parse, L.HEAD_LABELS), has_label(parse, L.TOP_LABELS)
    hands = hand_region(parse, keypoints)
    arms = has_label(parse, L.ARM_LABELS) & ~hands
    assert not (region & head).any() and not (region & hands).any()
    assert region[garment].all() and region[arms].all()
    assert (
        hands.flatten(1).sum(1).min() > 30 and arms.flatten(1).sum(1).min() > 500
    )  # none of it is empty talk
    # It reaches beyond the garment on all sides, so that the hole is not the garment's outline.
    grown = torch.nn.functional.max_pool2d(garment[:, None].float(), 9, 1, 4)[:, 0] > 0
    assert region[grown & ~head & ~hands].all()
    # Trousers below and the far background stay.
    assert not region[:, 230:, :].any() and not region[:, :100, :10].any()
    # Pose does not depend on what is kept, nor the shape, but for the neck.
    head_only = represent(image, parse, keypoints, "head", SIZE).channels
    assert torch.equal(person.channels[:, 4:], head_only[:, 4:])
    rest = represent(image, parse, keypoints, "outside", SIZE, neckline=torch.ones(4, dtype=torch.bool))
    assert torch.equal(rest.channels[:, :1], head_only[:, :1])


def test_outside_hides_the_neckline() -> None:
    image, parse, keypoints = _tensors(2, 9)
    shapes: dict[str, list[torch.Tensor]] = {"head": [], "outside": []}
    for depth in (0, 8, 20):
        cut = parse.clone()
        for person, joints in zip(cut, keypoints, strict=True):
            x = int(joints[L.NECK, 0])
            y = int(has_label(person, L.TOP_LABELS)[:, x].int().argmax())
            person[y : y + depth, x - 8 : x + 8] = 0  # as VITON's maps have a bare neck
        for keep, found in shapes.items():
            found.append(represent(image, cut, keypoints, keep, SIZE).channels[:, :1])
    for deeper in (1, 2):
        assert torch.equal(shapes["outside"][0], shapes["outside"][deeper])
        assert (shapes["head"][deeper - 1] - shapes["head"][deeper]).amax() > 0.1
    # Everybody's own way: the first as with head, the second as with outside.
    both = torch.tensor([True, False])
    mixed = represent(image, cut, keypoints, "head", SIZE, neckline=both).channels[:, :1]
    assert torch.equal(mixed[0], shapes["head"][2][0]) and torch.equal(mixed[1], shapes["outside"][2][1])


def test_the_region_of_a_longer_garment_reaches_further_down() -> None:
    image, parse, keypoints = _tensors(4, 8)
    usual, longer = (
        represent(image, parse, keypoints, "outside", SIZE, longer=n).region[:, 0] == 1 for n in (0, 40)
    )
    assert longer[usual].all()
    hands, garment = hand_region(parse, keypoints), has_label(parse, L.TOP_LABELS)
    assert not (longer & (has_label(parse, L.HEAD_LABELS) | hands)).any()
    for column in range(60, 132, 8):  # across the torso, its lower edge lies 40 pixels lower, or at the end
        for i in torch.nonzero(garment[:, :, column].any(1)).flatten():
            ends = [int(torch.nonzero(region[i, :, column]).max()) for region in (usual, longer)]
            assert min(ends[0] + 30, 255) <= ends[1] <= ends[0] + 42


def test_hands_are_found_in_any_direction() -> None:
    parse = torch.zeros(1, 256, 192, dtype=torch.uint8)
    keypoints = torch.zeros(1, 18, 3)
    for joint, place in ((L.NECK, (96, 60)), (L.R_HIP, (80, 160)), (L.L_HIP, (112, 160))):
        keypoints[0, joint] = torch.tensor([*place, 1.0])
    # The right arm is raised: wrist above the elbow, hand above the wrist.
    parse[0, 20:120, 50:70] = L.RIGHT_ARM
    keypoints[0, L.R_ELBOW] = torch.tensor([60.0, 110.0, 1.0])
    keypoints[0, L.R_WRIST] = torch.tensor([60.0, 60.0, 1.0])
    hands = hand_region(parse, keypoints)[0]
    assert hands[45, 60] and hands[56, 60]
    assert not hands[64:].any()  # the forearm is drawn anew
    keypoints[0, L.R_WRIST] = 0.0
    assert not hand_region(parse, keypoints).any()  # no wrist, no guess


def test_neck_is_the_enclosed_background() -> None:
    _, parse, keypoints = _tensors(1, 9)
    x = int(keypoints[0, L.NECK, 0])
    cut = parse.clone()
    cut[0, 82:96, x - 8 : x + 8] = 0  # as VITON's maps have it
    cut[0, 150:160, x - 8 : x + 8] = 0  # a hole elsewhere is no neck
    neck = neck_region(cut, keypoints)[0]
    expected = torch.zeros_like(neck)
    expected[82:96, x - 8 : x + 8] = True
    assert neck[expected].all()
    rest = (neck & ~expected).nonzero()
    assert (rest[:, 0] < 82).all()  # but for the gap between chin and shoulders, that is all
    assert not (neck & (cut[0] > 0)).any()
    region = represent(torch.zeros(1, 3, *SIZE), cut, keypoints, "outside", SIZE).region[0, 0] == 1
    assert region[expected & ~has_label(cut, L.HEAD_LABELS)[0]].all()


def test_a_joint_is_there_beyond_the_first_pixel() -> None:
    joints = np.array([(0, 0, 0), (1, 50, 1), (50, 1, 1), (1.01, 1.01, 1), (190, 254, 1), (191, 254, 1)])
    there = [False, False, False, True, True, True]
    assert L.joints_present(joints).tolist() == there
    assert L.joints_present(torch.from_numpy(joints)).tolist() == there
    assert L.joints_inside(joints, SIZE).tolist() == [*there[:-1], False]


def test_pose_of_nobody_is_empty() -> None:
    assert (pose_squares(torch.zeros(2, 18, 3), SIZE) == -1).all()
    with pytest.raises(ValueError, match="keep"):
        represent(torch.zeros(1, 3, 32, 32), torch.zeros(1, 32, 32), torch.zeros(1, 18, 3), "all", (32, 32))
