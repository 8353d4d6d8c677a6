"""Holes in the parse of a garment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vtcli import TryOn
from vtcli.core.data import labels as L
from vtcli.core.data.annotations import read_parse
from vtcli.core.data.hole_filling import fill_holes, opaque
from vtcli.core.data.poses import read_pose
from vtcli.core.tryon.networks import People
from vtcli.core.tryon.photos.annotate import certain

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data" / "test"


def person(number: int = 0) -> tuple[Image.Image, np.ndarray, np.ndarray]:
    file = sorted((SAMPLES / "image").glob("*.jpg"))[number]
    parse = read_parse(SAMPLES / "image-parse" / f"{file.stem}.png")
    return Image.open(file), parse, read_pose(SAMPLES / "pose" / f"{file.stem}_keypoints.json")


def without_holes(parse: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    return fill_holes(torch.from_numpy(parse)[None], torch.from_numpy(keypoints)[None])[0].numpy()


def with_hole(parse: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice]]:
    """The parse with background in the middle of the top, and where that is."""
    y, x = (int(np.median(n)) for n in np.nonzero(np.isin(parse, L.TOP_LABELS)))
    hole = slice(y - 24, y + 24), slice(x - 20, x + 20)
    holed = parse.copy()
    holed[hole] = L.BACKGROUND
    return holed, hole


def body() -> tuple[np.ndarray, np.ndarray]:
    """A dress whose sleeves reach the hips beside it, and joints."""
    parse = np.zeros((256, 192), np.uint8)
    parse[60:200, 40:152] = L.DRESS
    keypoints = np.zeros((18, 3), np.float32)
    corners = ((L.R_SHOULDER, 70, 70), (L.L_SHOULDER, 122, 70), (L.L_HIP, 118, 170), (L.R_HIP, 74, 170))
    for joint, x, y in corners:
        keypoints[joint] = x, y, 1.0
    return parse, keypoints


def test_what_a_top_surrounds_on_the_torso_is_top() -> None:
    parse, keypoints = body()
    for label in (L.BACKGROUND, L.FACE, L.SKIRT):
        holed = parse.copy()
        holed[100:130, 85:110] = label
        assert np.array_equal(without_holes(holed, keypoints), parse)


def test_what_is_expected_has_no_hole_where_the_warp_has_cloth() -> None:
    parse, keypoints = body()
    holed = parse.copy()
    holed[100:130, 85:110] = L.BACKGROUND
    expected, joints = certain(torch.from_numpy(holed)[None]), torch.from_numpy(keypoints)[None]
    warped = torch.from_numpy(parse > 0)[None, None].float()
    worn = torch.from_numpy(parse)[None]
    assert torch.equal(opaque(expected, worn, joints, warped), certain(worn))
    warped[..., 95:135, 80:115] = 0.0  # a garment with a cut-out
    assert opaque(expected, worn, joints, warped) is expected


def test_a_hand_that_nobody_has_is_a_hole() -> None:
    parse, keypoints = body()
    hand = parse.copy()
    hand[100:130, 85:110] = L.LEFT_ARM
    worn, shown = (torch.from_numpy(labels)[None] for labels in (parse, hand))
    joints, warped = torch.from_numpy(keypoints)[None], (worn > 0)[None].float()
    assert torch.equal(opaque(certain(shown), worn, joints, warped), certain(worn))
    expected = certain(shown)
    assert opaque(expected, shown, joints, warped) is expected


def test_hands_gaps_at_elbows_and_necklines_stay() -> None:
    parse, keypoints = body()
    hand, gap, neckline, speck = (parse.copy() for _ in range(4))
    hand[100:130, 85:110] = L.LEFT_ARM
    gap[100:150, 44:60] = L.BACKGROUND  # between sleeve and side
    neckline[60:90, 85:110] = L.BACKGROUND  # open at the top
    speck[100, 100] = L.BACKGROUND
    for given in (parse, hand, gap, neckline, speck):
        assert np.array_equal(without_holes(given, keypoints), given)
    both = torch.from_numpy(np.stack([parse, hand]))
    assert fill_holes(both, torch.from_numpy(np.stack([keypoints] * 2))) is both


def test_an_arm_that_is_printed_on_a_top_is_a_hole() -> None:
    parse, keypoints = body()
    for joint, x, y in (
        (L.R_ELBOW, 45, 110),
        (L.R_WRIST, 45, 160),
        (L.L_ELBOW, 147, 110),
        (L.L_WRIST, 147, 160),
    ):
        keypoints[joint] = x, y, 1.0
    printed = parse.copy()
    printed[100:130, 90:104] = L.LEFT_ARM
    printed[110:115, 104:110] = L.BACKGROUND
    assert np.array_equal(without_holes(printed, keypoints), parse)
    keypoints[L.L_WRIST] = 100, 115, 1.0  # her own hand
    assert np.array_equal(without_holes(printed, keypoints), printed)


def test_nothing_of_the_old_garment_is_left_in_a_hole() -> None:
    photo, parse, keypoints = person()
    holed, hole = with_hole(parse)
    cloth = Image.open(sorted((SAMPLES / "cloth").glob("*.jpg"))[3])
    engine = TryOn.load(device="cpu")
    whole, filled = (engine.run(photo, cloth, parse=given, keypoints=keypoints) for given in (parse, holed))
    assert filled.region[hole].all()
    assert np.array_equal(np.asarray(filled.image), np.asarray(whole.image))


def test_batches_are_made_without_holes() -> None:
    """The networks get the parse without holes, whatever `People` was given."""
    photo, parse, keypoints = person()
    holed, _ = with_hole(parse)
    image = torch.from_numpy(np.asarray(photo).copy()).permute(2, 0, 1)[None] / 127.5 - 1.0
    networks = TryOn.load(device="cpu").networks
    cloth, mask = torch.zeros(1, 3, 256, 192), torch.zeros(1, 1, 256, 192)
    mask[:, :, 40:220, 30:160] = 1.0
    results = []
    for given in (parse, holed):
        people = People(image, torch.from_numpy(given)[None], torch.from_numpy(keypoints)[None])
        results.append(
            networks.compose(people, networks.warp(people, cloth, mask, mask, "outside"), "outside").tryon
        )
        assert np.array_equal(people.parse[0].numpy(), given)
    assert torch.equal(*results)
