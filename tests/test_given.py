"""Parse maps and joints that are those of another label set, order, size or picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vtcli.cli.hints import spelled
from vtcli.core.data import labels as L
from vtcli.core.data.annotations import read_parse
from vtcli.core.data.poses import read_pose
from vtcli.core.models.load import load_parser
from vtcli.core.models.weights import stage_file
from vtcli.core.tryon.photos import given
from vtcli.core.tryon.photos.annotate import WEAK, Annotator
from vtcli.core.tryon.photos.problems import UnfitPhoto

TEST = Path(__file__).resolve().parent.parent / "sample_data" / "test"
NAME = "000040_0"
PHOTO = np.asarray(Image.open(TEST / "image" / f"{NAME}.jpg").convert("RGB"))
PARSE = read_parse(TEST / "image-parse" / f"{NAME}.png")
JOINTS = read_pose(TEST / "pose" / f"{NAME}_keypoints.json")


@pytest.fixture(scope="module")
def annotator() -> Annotator:
    return Annotator(load_parser(stage_file(None, "parser")), torch.device("cpu"), WEAK)


def _as_atr() -> np.ndarray:
    """The sample's parse in ATR's labels."""
    table = np.zeros(L.LABELS, np.uint8)
    for atr, lip in enumerate(L.ATR_TO_LIP):
        if atr not in (8, 16):  # belt and bag share their LIP label with others
            table[lip] = atr
    return table[PARSE]


def _as_cihp() -> np.ndarray:
    """The sample's parse with the throat as CIHP has it: label 10, skin."""
    parse = PARSE.copy()
    x, y = JOINTS[L.NECK, :2].round().astype(int)
    part = parse[y - 14 : y, x - 8 : x + 8]
    part[np.isin(part, (L.BACKGROUND, L.FACE))] = 10
    assert (parse == 10).sum() > 30
    return parse


def test_the_right_ones_are_taken(annotator: Annotator) -> None:
    given.refuse_unlike(annotator, PHOTO, PARSE, JOINTS)
    given.refuse_unlike(annotator, PHOTO, None, None)
    given.refuse_unlike(
        annotator, np.full((256, 192, 3), 200, np.uint8), PARSE, JOINTS
    )  # nobody to compare with


def test_parse_maps_of_other_label_sets_are_told(annotator: Annotator) -> None:
    with pytest.raises(UnfitPhoto, match="but like ATR"):
        given.refuse_unlike(annotator, PHOTO, _as_atr(), None)
    with pytest.raises(UnfitPhoto, match="as in CIHP"):
        given.refuse_unlike(annotator, PHOTO, _as_cihp(), None)
    with pytest.raises(UnfitPhoto, match="is not one of this photo"):
        given.refuse_unlike(annotator, PHOTO, ((PARSE.astype(int) * 7) % 20).astype(np.uint8), None)
    acgpn = np.zeros(L.LABELS, np.uint8)
    for label, lip in enumerate(L.ACGPN_TO_LIP):
        if label not in (2, 3, 7):
            acgpn[lip] = label
    with pytest.raises(UnfitPhoto, match="like ACGPN") as caught:
        given.refuse_unlike(annotator, PHOTO, acgpn[PARSE], None)
    assert spelled(caught.value).endswith("try --labels acgpn; --force goes on all the same")
    # Read in a wrong set, it fits on top and trousers; the face gives it away.
    with pytest.raises(UnfitPhoto, match="a head on"):
        given.refuse_unlike(annotator, PHOTO, L.ATR_TO_LIP[acgpn[PARSE]], None)


def test_a_parse_map_with_its_sides_exchanged_is_told(annotator: Annotator) -> None:
    with pytest.raises(UnfitPhoto, match="left and right exchanged"):
        given.refuse_unlike(annotator, PHOTO, L.FLIP_LABELS[PARSE].astype(np.uint8), JOINTS)


def test_another_persons_or_a_mirrored_parse_map_is_told(annotator: Annotator) -> None:
    others = [read_parse(file) for file in sorted((TEST / "image-parse").glob("*.png")) if file.stem != NAME]
    for parse in (PARSE[:, ::-1], L.FLIP_LABELS[PARSE[:, ::-1]].astype(np.uint8), *others):
        with pytest.raises(UnfitPhoto):
            given.refuse_unlike(annotator, PHOTO, np.ascontiguousarray(parse), None)


@pytest.mark.parametrize(
    ("joints", "words"),
    [
        (JOINTS[:, [1, 0, 2]], "x and y exchanged"),
        (JOINTS[L.FLIP_JOINTS], "left and right exchanged"),
        (JOINTS * np.array([0.5, 0.5, 1], np.float32), "0.5 times as large"),
        (JOINTS + np.array([24, 0, 0], np.float32) * (JOINTS[:, 2:] > 0), "do not lie where"),
        (
            JOINTS * (np.arange(18) > 13)[:, None] + JOINTS * (np.arange(18) < 1)[:, None],
            "neither neck nor shoulders",
        ),
    ],
)
def test_joints_in_another_order_or_size_are_told(
    annotator: Annotator, joints: np.ndarray, words: str
) -> None:
    with pytest.raises(UnfitPhoto, match=words):
        given.refuse_unlike(annotator, PHOTO, None, joints)
