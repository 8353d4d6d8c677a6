"""The one garment of a picture: no panels, no bars, no second garment, no white slits under the arms."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vtcli.core.garments.bust import without_bust
from vtcli.core.garments.cutout import garment_mask
from vtcli.core.garments.given_mask import judge_mask, mask_problem
from vtcli.core.garments.pieces import find_garment

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
STRIPED = np.asarray(Image.open(SAMPLES / "cloth.jpg").convert("RGB"))
# Blue all over: white stripes would be lost on a pale ground.
BLUE = (STRIPED // 3 + np.array([20, 50, 110])).astype(np.uint8)
SHIRT = np.where(garment_mask(STRIPED)[..., None], BLUE, STRIPED)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.fixture(scope="module")
def shirt() -> np.ndarray:
    """The sample's shirt, bool."""
    return garment_mask(SHIRT)


def _on(canvas: np.ndarray, picture: np.ndarray, mask: np.ndarray, top: int, left: int) -> np.ndarray:
    """Where `mask` lies after its `picture` is pasted into `canvas`, in place."""
    part = canvas[top : top + len(picture), left : left + picture.shape[1]]
    part[mask] = picture[mask]
    there = np.zeros(canvas.shape[:2], bool)
    there[top : top + len(picture), left : left + picture.shape[1]] = mask
    return there


def test_a_panel_is_no_garment(shirt: np.ndarray) -> None:
    """A grey panel in a white frame, as catalogues have them."""
    height, width = shirt.shape
    canvas = np.full((height + 80, width + 80, 3), 255, np.uint8)
    canvas[40:-40, 40:-40] = 243
    wanted = _on(canvas, SHIRT, shirt, 40, 40)
    found = find_garment(canvas)
    assert _overlap(found.mask, wanted) > 0.95 and found.others == 0
    assert garment_mask(canvas).mean() > 1.5 * wanted.mean()  # the panel is cut out with it


def test_the_bars_of_a_screenshot_are_no_garment(shirt: np.ndarray) -> None:
    height, width = shirt.shape
    canvas = np.full((height + 320, width, 3), 255, np.uint8)
    canvas[:140] = canvas[-140:] = (18, 18, 20)
    wanted = _on(canvas, SHIRT, shirt, 160, 0)
    assert _overlap(find_garment(canvas).mask, wanted) > 0.95


def test_the_larger_of_two_garments_is_taken_and_told(shirt: np.ndarray) -> None:
    height, width = shirt.shape
    small = Image.fromarray(SHIRT).resize((round(0.8 * width), round(0.8 * height)))
    small_mask = garment_mask(np.asarray(small))
    right = _box(shirt)[3]
    for gap in (60, -2):  # apart, and sleeve on sleeve
        canvas = np.full((height, 2 * width, 3), 255, np.uint8)
        wanted = _on(canvas, SHIRT, shirt, 0, 0)
        second = right + gap - _box(small_mask)[2]
        _on(canvas, np.asarray(small), small_mask, round(0.05 * height), second)
        found = find_garment(canvas)
        assert found.others == 1, gap
        assert _overlap(found.mask, wanted) > 0.93, gap


def test_one_garment_stays_whole(shirt: np.ndarray) -> None:
    for file in sorted((SAMPLES / "test" / "cloth").glob("*.jpg"))[:6]:
        rgb = np.asarray(Image.open(file).convert("RGB"))
        found = find_garment(rgb)
        assert found.others == 0 and np.array_equal(found.mask, garment_mask(rgb)), file.name


def test_slits_between_sleeve_and_side_are_background() -> None:
    """Three pixels of white beside a navy shirt's body, closed by the sleeve's end; printed strokes stay."""
    rgb = np.full((256, 192, 3), 255, np.uint8)
    navy = (24, 28, 60)
    rgb[40:220, 60:132] = navy
    rgb[40:150, 36:57] = rgb[40:150, 135:156] = navy
    rgb[40:60, 36:156] = navy
    rgb[100:120, 70:74] = rgb[100:120, 118:122] = 255
    mask = garment_mask(rgb)
    assert not mask[75:140, 58].any() and not mask[75:140, 133].any()
    assert mask[102:118, 71:73].all() and mask[102:118, 119:121].all()
    assert mask[70:210, 64:128].mean() > 0.99


def test_white_triangles_under_the_arms_are_background() -> None:
    """A black blouse whose wide sleeves touch its sides again below: the white in between is the shop's; letters stay."""
    rgb = np.full((256, 192, 3), 255, np.uint8)
    black = (20, 20, 22)
    rgb[60:200, 30:162] = rgb[150:200, 20:172] = black
    left = np.array([(60, 135), (60, 152), (51, 148)])
    for side in (left, np.array([191, 0]) + left * (-1, 1)):
        cv2.fillPoly(rgb, [side.astype(np.int32)], (255, 255, 255))
    rgb[84:96, 66:74] = rgb[84:96, 118:126] = 255
    mask = garment_mask(cv2.GaussianBlur(rgb, (0, 0), 0.5))
    assert not mask[143:149, 56:59].any() and not mask[143:149, 133:136].any()
    assert mask[84:96, 66:74].all() and mask[84:96, 118:126].all()


def test_white_sides_stay_beside_a_dark_middle(shirt: np.ndarray) -> None:
    """A white shirt on white, with folds and a seam, and a navy panel in its middle: the seam is no halo of the navy."""
    _, _, left, right = _box(shirt)
    grey = SHIRT.mean(2)
    white = 247 + 0.25 * (grey - grey[shirt].mean())
    seam = shirt & ~(cv2.erode(shirt.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
    white = np.where(seam, 240, white).clip(0, 253)[..., None].repeat(3, 2)
    middle, wide = (left + right) // 2, (right - left) // 7
    white[:, middle - wide : middle + wide] = (36, 56, 128)
    rgb = np.where(shirt[..., None], cv2.GaussianBlur(white, (0, 0), 1.0), 255).astype(np.uint8)
    found = find_garment(rgb)
    assert found.others == 0 and _overlap(found.mask, shirt) > 0.93


@pytest.mark.parametrize("colour", [(226, 205, 180), (245, 245, 245), (40, 40, 42)])
def test_a_bust_forms_neck_is_no_garment(shirt: np.ndarray, colour: tuple[int, int, int]) -> None:
    top, _, left, right = _box(shirt)
    middle, wide, tall = (left + right) // 2, (right - left) // 5, (right - left) // 3
    canvas = np.full((SHIRT.shape[0] + tall, SHIRT.shape[1], 3), 255, np.uint8)
    if min(colour) > 230:
        canvas[:] = (120, 90, 70)
    start = tall + int(np.nonzero(shirt[:, middle])[0][0])
    canvas[top + 4 : start + 10, middle - wide // 2 : middle + wide // 2] = colour
    neck = (canvas == colour).all(2)
    wanted = _on(canvas, SHIRT, shirt, tall, 0)
    neck &= ~wanted
    assert neck.any() and not without_bust(canvas, neck | wanted)[neck].any()
    assert _overlap(without_bust(canvas, neck | wanted), wanted) > 0.97


def test_collars_and_turtlenecks_are_no_bust_form(shirt: np.ndarray) -> None:
    for file in sorted((SAMPLES / "test" / "cloth").glob("*.jpg")):
        rgb = np.asarray(Image.open(file).convert("RGB"))
        mask = garment_mask(rgb)
        assert np.array_equal(without_bust(rgb, mask), mask), file.name
    top, _, left, right = _box(shirt)
    middle = (left + right) // 2
    roll = shirt.copy()
    roll[max(0, top - 40) : top + 60, middle - 40 : middle + 40] = True
    rgb = SHIRT.copy()
    rgb[roll & ~shirt] = np.median(SHIRT[shirt], axis=0)
    assert np.array_equal(without_bust(rgb, roll), roll)


def test_masks_that_do_not_lie_on_the_garment_are_told(shirt: np.ndarray) -> None:
    assert mask_problem(SHIRT, shirt) is None
    assert "inverted" in (mask_problem(SHIRT, ~shirt) or "")
    assert "empty" in (mask_problem(SHIRT, np.zeros_like(shirt)) or "")
    assert "whole picture" in (mask_problem(SHIRT, np.ones_like(shirt)) or "")
    beside = np.zeros_like(shirt)
    beside[:60, :60] = True
    assert "lies on what stands out" in (mask_problem(SHIRT, beside) or "")
    upper = shirt.copy()
    upper[np.nonzero(shirt.any(1))[0].mean().astype(int) :] = False
    assert judge_mask(SHIRT, shirt) == (None, None) and "leaves out" in (judge_mask(SHIRT, upper)[1] or "")
