"""Garments on any background: cut out by a network, turned upright, and nothing changed where the background is plain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from vtcli.core.data.images import flatten
from vtcli.core.garments.any_background import cut_by_likelihood
from vtcli.core.garments.cutout import garment_mask
from vtcli.core.garments.pieces import find_garment
from vtcli.core.models.load import load_kind, load_outline, load_parser
from vtcli.core.models.outline import view_size
from vtcli.core.models.weights import stage_file
from vtcli.core.synthetic.backdrops import backdrop_colour
from vtcli.core.tryon.photos.annotate import WEAK, Annotator, Lying
from vtcli.core.tryon.photos.problems import UnfitPhoto
from vtcli.core.tryon.photos.shop_photo import cut_out

SAMPLES = Path(__file__).resolve().parent.parent / "sample_data"
SHIRT = np.asarray(Image.open(SAMPLES / "cloth.jpg").convert("RGB"))
GARMENTS = sorted((SAMPLES / "test" / "cloth").glob("*.jpg"))


@pytest.fixture(scope="module")
def annotator() -> Annotator:
    parser = load_parser(stage_file(None, "parser"))
    return Annotator(parser, torch.device("cpu"), WEAK, load_kind(None), load_outline(None))


def _planks(height: int, width: int) -> np.ndarray:
    """Boards of several browns with a grain and dark joints."""
    rng = np.random.default_rng(3)
    board = np.arange(width) * 7 // width
    tone = rng.normal(0, 14, 7)[board][None, :, None] + np.array([176.0, 132.0, 92.0])
    grain = cv2.resize(rng.normal(0, 16, (6, width)), (width, height), interpolation=cv2.INTER_CUBIC)
    joint = (np.diff(board, prepend=0) > 0)[None, :, None] * 70.0
    return np.asarray((tone + grain[..., None] - joint).clip(0, 255))


def _tiles(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    side = width // 4
    joint = ((y % side < side // 24) | (x % side < side // 24))[..., None] * 60.0
    stone = cv2.resize(np.random.default_rng(4).normal(0, 9, (height // 8, width // 8)), (width, height))
    return np.asarray((205.0 + stone[..., None] - joint + np.zeros(3)).clip(0, 255))


def _white(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 250.0)


def _walls(height: int, width: int) -> np.ndarray:
    return backdrop_colour(height, width, 9) * 255


def _laid(rgb: np.ndarray, mask: np.ndarray, ground: np.ndarray) -> np.ndarray:
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)[..., None]
    dark = cv2.GaussianBlur(np.roll(soft[..., 0], (6, 4), (0, 1)), (0, 0), 8)[..., None]
    return np.asarray((ground * (1 - 0.2 * dark) * (1 - soft) + rgb * soft).clip(0, 255).astype(np.uint8))


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.parametrize("ground", [_planks, _tiles, _walls])
def test_garments_are_cut_out_of_any_background(
    annotator: Annotator, ground: Callable[[int, int], np.ndarray]
) -> None:
    for file in GARMENTS[:3]:
        rgb = np.asarray(Image.open(file).convert("RGB").resize((576, 768), Image.Resampling.BICUBIC))
        mask = garment_mask(rgb)
        inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # no white rim
        picture = _laid(rgb, inner, ground(768, 576))
        assert _overlap(find_garment(picture, annotator.likely).mask, inner) > 0.9, file.name


def test_plain_backgrounds_are_cut_as_without_the_network(annotator: Annotator) -> None:
    for file in [SAMPLES / "cloth.jpg", *GARMENTS[:4]]:
        rgb = np.asarray(Image.open(file).convert("RGB"))
        assert np.array_equal(garment_mask(rgb, annotator.likely), garment_mask(rgb)), file.name


def test_what_is_likely_is_settled_by_the_pictures_own_edges() -> None:
    """A blurred guess of a disc comes out as the disc, and no guess as nothing."""
    y, x = np.mgrid[:600, :450]
    disc = np.hypot(y - 300, x - 225) < 150
    noise = np.random.default_rng(0).normal(0, 12, (600, 450, 1))
    rgb = (np.where(disc[..., None], (60, 90, 160), (170, 140, 100)) + noise).clip(0, 255).astype(np.uint8)
    guess = cv2.resize(cv2.GaussianBlur(disc.astype(np.float32), (0, 0), 18), (96, 128))
    assert _overlap(cut_by_likelihood(rgb, guess), disc) > 0.985
    assert not cut_by_likelihood(rgb, np.zeros((128, 96), np.float32)).any()
    assert cut_by_likelihood(rgb[:9, :7], np.ones((4, 4), np.float32)).shape == (9, 7)


@pytest.mark.parametrize(("quarters", "words"), [(1, "on its side"), (2, "upside down"), (3, "on its side")])
def test_a_turned_garment_is_turned_upright_and_told(annotator: Annotator, quarters: int, words: str) -> None:
    upright = cut_out(annotator, Image.fromarray(SHIRT), SHIRT, None, force=False)
    assert not upright.notes
    turned = np.ascontiguousarray(np.rot90(SHIRT, quarters))
    garment = cut_out(annotator, Image.fromarray(turned), turned, None, force=False)
    assert len(garment.notes) == 1 and words in garment.notes[0]
    ours, wanted = (g.at((256, 192))[1] > 0.5 for g in (garment, upright))
    assert _overlap(ours.numpy(), wanted.numpy()) > 0.95
    assert not cut_out(annotator, Image.fromarray(turned), turned, None, force=True).notes


def test_a_garment_that_may_be_turned_is_left_and_told(
    annotator: Annotator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(annotator, "lying", lambda picture: Lying(1, 0.8, 0.0))
    garment = cut_out(annotator, Image.fromarray(SHIRT), SHIRT, None, force=False)
    assert len(garment.notes) == 1 and "may lie on its side" in garment.notes[0]
    monkeypatch.undo()
    upright = cut_out(annotator, Image.fromarray(SHIRT), SHIRT, None, force=False)
    assert torch.equal(garment.canvas, upright.canvas)


def test_upright_garments_stay(annotator: Annotator) -> None:
    for file in GARMENTS:
        image = Image.open(file).convert("RGB")
        assert not cut_out(annotator, image, np.asarray(image), None, force=False).notes, file.name


def test_a_garment_of_few_pixels_is_told(annotator: Annotator) -> None:
    small = Image.fromarray(SHIRT).resize((60, 80), Image.Resampling.LANCZOS)
    notes = cut_out(annotator, small, np.asarray(small), None, force=False).notes
    assert len(notes) == 1 and "pixels high" in notes[0]
    smaller = small.resize((15, 20), Image.Resampling.LANCZOS)
    with pytest.raises(UnfitPhoto, match="pixels high in its picture, too few"):
        cut_out(annotator, smaller, np.asarray(smaller), None, force=False)


def test_pictures_of_no_garment_are_refused(annotator: Annotator) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (400, 300, 3)).astype(np.uint8)
    for rgb in (noise, _planks(400, 300).astype(np.uint8), _tiles(400, 300).astype(np.uint8)):
        with pytest.raises(UnfitPhoto):
            cut_out(annotator, Image.fromarray(rgb), rgb, None, force=False)


def test_the_network_sees_whole_pictures_of_any_proportions() -> None:
    assert view_size(1024, 768) == (256, 192) and view_size(768, 1024) == (192, 256)
    for size in ((50, 5000), (5000, 50), (10, 10), (3000, 2000)):
        height, width = view_size(*size)
        assert height % 32 == width % 32 == 0 and min(height, width) >= 64 and max(height, width) <= 512


def _blue_shirt(height: int) -> tuple[np.ndarray, np.ndarray]:
    """A sample's shirt in blue, (h, w, 3) uint8, and its mask."""
    mask = garment_mask(SHIRT)
    blue = np.where(mask[..., None], SHIRT // 3 + np.array([20, 50, 110]), SHIRT).astype(np.uint8)
    size = (round(SHIRT.shape[1] * height / SHIRT.shape[0]), height)
    small = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return cv2.resize(blue, size, interpolation=cv2.INTER_AREA), small


def _card(dark: int, pale: int, text: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A shirt on a card with round corners in an app of 1,200×800 whose ground is `dark`, lines of text at `text`; where it is."""
    shirt, mask = _blue_shirt(600)
    canvas = Image.new("RGB", (800, 1200), (dark, dark, dark))
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle((60, 120, 60 + shirt.shape[1] + 40, 120 + 640), 30, fill=(pale, pale, pale))
    for line in range(6):
        draw.text(
            (text[0], text[1] + 40 * line), "Striped shirt in soft cotton", (255 - dark,) * 3, font_size=28
        )
    screen = np.array(canvas)
    there = np.zeros(screen.shape[:2], bool)
    there[140:740, 80 : 80 + shirt.shape[1]] = mask
    screen[there] = shirt[mask]
    return screen, there


@pytest.mark.parametrize(("dark", "pale"), [(18, 245), (255, 238)])
def test_the_card_of_an_app_or_a_page_is_no_garment(annotator: Annotator, dark: int, pale: int) -> None:
    screen, wanted = _card(dark, pale, (80, 820))
    assert _overlap(find_garment(screen, annotator.likely).mask, wanted) > 0.93
    if dark == 255:
        assert _overlap(find_garment(screen).mask, wanted) < 0.8  # text beside the card: it is no panel


@pytest.mark.parametrize("across", [10, 20, 30])
def test_a_patterned_sheet_is_not_worn(annotator: Annotator, across: int) -> None:
    """A striped shirt on checks: cut out rightly, or refused."""
    mask = garment_mask(SHIRT)
    y, x = np.mgrid[: SHIRT.shape[0], : SHIRT.shape[1]]
    side = SHIRT.shape[1] // across
    checks = np.where(((y // side + x // side) % 2 > 0)[..., None], (30, 40, 90), (235, 235, 240)).astype(
        np.uint8
    )
    laid = np.where(mask[..., None], SHIRT, checks)
    found = find_garment(laid, annotator.likely).mask
    assert not found.any() or _overlap(found, mask) > 0.9
    assert find_garment(laid).mask[~mask].mean() > 0.2  # its squares stand out, too


def test_an_alpha_channel_that_outlines_no_garment(annotator: Annotator) -> None:
    shirt, mask = _blue_shirt(800)
    rounded = Image.new("L", shirt.shape[1::-1], 0)
    ImageDraw.Draw(rounded).rounded_rectangle((0, 0, shirt.shape[1] - 1, 799), 60, fill=255)
    card = Image.fromarray(shirt)
    card.putalpha(rounded)
    plain = cut_out(annotator, Image.fromarray(shirt), shirt, None, False)
    rgb = np.asarray(flatten(card))
    assert (
        _overlap(cut_out(annotator, card, rgb, None, False).mask.numpy() > 0.5, plain.mask.numpy() > 0.5)
        > 0.98
    )
    inverted = np.dstack([shirt, np.where(mask, 0, 255).astype(np.uint8)])
    with pytest.raises(UnfitPhoto, match="alpha channel is inverted"):
        cut_out(
            annotator, Image.fromarray(inverted), np.asarray(flatten(Image.fromarray(inverted))), None, False
        )


def test_a_garment_that_its_picture_cuts_off_is_told(annotator: Annotator) -> None:
    shirt, mask = _blue_shirt(800)
    assert cut_out(annotator, Image.fromarray(shirt), shirt, None, False).notes == ()
    half = np.ascontiguousarray(shirt[: 60 * len(shirt) // 100])
    notes = cut_out(annotator, Image.fromarray(half), half, None, False).notes
    assert [note for note in notes if "beyond the lower edge" in note]
    assert cut_out(annotator, Image.fromarray(half), half, mask[: len(half)], False).notes == ()


def test_a_mask_beside_the_garment_is_told(annotator: Annotator) -> None:
    shirt, mask = _blue_shirt(800)
    moved = np.roll(mask, 90, axis=1)
    notes = cut_out(annotator, Image.fromarray(shirt), shirt, moved, False).notes
    assert len(notes) == 1 and "of the mask given for it lies on what stands out" in notes[0]


def _two(number: int, ground: np.ndarray) -> np.ndarray:
    """The shirt, and over a good part of it one of the sample garments."""
    other = np.asarray(Image.open(GARMENTS[number]).convert("RGB").resize((600, 800)))
    picture = ground
    for rgb, (left, top) in ((SHIRT, (40, 60)), (other, (430, 330))):
        mask = garment_mask(rgb)
        height, width = mask.shape
        here = slice(top, top + height), slice(left, left + width)
        picture[here] = np.where(mask[..., None], rgb, picture[here])
    return picture.astype(np.uint8)


@pytest.mark.parametrize("ground", [_planks, _white])
def test_garments_over_each_other_are_refused(
    annotator: Annotator, ground: Callable[..., np.ndarray]
) -> None:
    for number in range(3):
        picture = _two(number, ground(1200, 1100))
        with pytest.raises(UnfitPhoto, match="several garments"):
            cut_out(annotator, Image.fromarray(picture), picture, None, False)
    assert cut_out(annotator, Image.fromarray(picture), picture, None, True).mask.any()  # with force
