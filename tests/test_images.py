"""Any picture that people have becomes upright 8-bit RGB; letterboxing neither stretches nor loses the way."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from vtcli.core.data import images
from vtcli.core.data.images import (
    Letterbox,
    alpha_mask,
    background_colour,
    letterbox,
    open_rgb,
    open_rgba,
    same_shape,
)
from vtcli.core.system.errors import VtcliError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (24, 18, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (24, 18), dtype=np.uint8)


def _saved(image: Image.Image, kind: str = "PNG", **options: object) -> io.BytesIO:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    stream.seek(0)
    return stream


def test_plain_rgb_keeps_the_decoded_pixels(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(RGB).save(path, quality=80)
    expected = np.asarray(Image.open(path))
    assert np.array_equal(np.asarray(open_rgb(path)), expected)
    assert np.array_equal(np.asarray(open_rgb(str(path))), expected)
    assert np.array_equal(np.asarray(open_rgba(path).convert("RGB")), expected)
    with path.open("rb") as stream:
        assert np.array_equal(np.asarray(open_rgb(stream)), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = np.zeros((8, 6, 3), np.uint8)
    upright[0, :, 0] = 255  # the top row is red …
    upright[:, 0, 1] = 255  # … and the left column green
    stored = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1),
        6: np.rot90,
        7: lambda a: np.swapaxes(np.rot90(a, 2), 0, 1),
        8: lambda a: np.rot90(a, -1),
    }[orientation](upright)
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = _saved(Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert np.array_equal(np.asarray(open_rgb(file)), upright)


def test_transparency_lies_on_white() -> None:
    alpha = np.zeros((24, 18), np.uint8)
    alpha[:, 9:] = 255
    file = _saved(Image.fromarray(np.dstack([RGB, alpha])))
    out = np.asarray(open_rgb(file))
    assert (out[:, :9] == 255).all() and np.array_equal(out[:, 9:], RGB[:, 9:])
    half = _saved(Image.new("RGBA", (1, 1), (0, 0, 0, 128)))
    assert open_rgb(half).getpixel((0, 0)) == pytest.approx((127, 127, 127), abs=1)
    grey = _saved(Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(alpha))))
    assert (np.asarray(open_rgb(grey))[:, :9] == 255).all()


def test_palette_with_and_without_transparency() -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 0)
    assert open_rgb(_saved(image)).getpixel((0, 0)) == (255, 0, 0)
    clear = open_rgb(_saved(image, transparency=0))
    assert clear.getpixel((0, 0)) == (255, 255, 255) and clear.getpixel((1, 1)) == (0, 0, 255)


def test_grey_bilevel_cmyk_and_sixteen_bits() -> None:
    assert np.array_equal(np.asarray(open_rgb(_saved(Image.fromarray(GREY))))[..., 1], GREY)
    assert set(np.unique(np.asarray(open_rgb(_saved(Image.fromarray(GREY > 128)))))) == {0, 255}
    cmyk = np.asarray(open_rgb(_saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95)))
    assert cmyk[..., 0].min() > 230 and cmyk[..., 1:].max() < 25  # red
    wide = Image.fromarray(GREY.astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        assert np.array_equal(np.asarray(open_rgb(_saved(wide, kind)))[..., 0], GREY)
    unit = Image.fromarray(GREY.astype(np.float32) / 255)
    assert np.array_equal(np.asarray(open_rgb(_saved(unit, "TIFF")))[..., 2], GREY)


def test_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (6, 8), c) for c in ("red", "lime")]
    file = _saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert open_rgb(file).getpixel((3, 3)) == (255, 0, 0)


def test_profiles_other_than_srgb_are_converted() -> None:
    plain = Image.fromarray(RGB)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(np.asarray(open_rgb(_saved(plain, icc_profile=srgb))), RGB)
    swapped = _swapped_profile(srgb)
    converted = np.asarray(open_rgb(_saved(Image.new("RGB", (4, 4), (255, 0, 0)), icc_profile=swapped)))
    assert converted[0, 0, 1] > 200 and converted[0, 0, 0] < 60  # its "red" is green
    assert np.array_equal(np.asarray(open_rgb(_saved(plain, icc_profile=b"no profile"))), RGB)


def _swapped_profile(srgb: bytes) -> bytes:
    """An RGB profile whose red and green primaries are exchanged, under another name."""
    table = bytearray(srgb.replace(b"s\0R\0G\0B", b"o\0d\0d\0 ").replace(b"sRGB", b"odd "))
    tags = {bytes(table[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(table[131])}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    table[red : red + 4], table[green : green + 4] = table[green : green + 4], table[red : red + 4]
    return bytes(table)


def test_one_pixel(tmp_path: Path) -> None:
    assert open_rgb(_saved(Image.new("L", (1, 1), 7))).getpixel((0, 0)) == (7, 7, 7)


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = _saved(Image.fromarray(RNG.integers(0, 256, (200, 200, 3), dtype=np.uint8)), "JPEG").getvalue()
    cases = {
        "cut.jpg": (whole[: len(whole) // 2], "cut-short"),
        "empty.png": (b"", "empty"),
        "text.png": (b"just some text, no picture", "not a picture"),
        "phone.jpg": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        "bomb.png": (_png_header(60_000, 60_000), "too many pixels"),
        "large.png": (_png_header(12_000, 9_000), "too many pixels"),
    }
    for name, (data, reason) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(VtcliError, match=reason) as caught:
                open_rgb(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    for path, reason in ((tmp_path / "absent.png", "no such file"), (tmp_path, "folder")):
        with pytest.raises(VtcliError, match=reason):
            open_rgb(path)


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_alpha_marks_the_garment_only_where_it_is_a_cut_out() -> None:
    alpha = np.zeros((20, 20), np.uint8)
    alpha[5:15, 5:15] = 255
    cut = Image.fromarray(np.dstack([np.zeros((20, 20, 3), np.uint8), alpha]))
    mask = alpha_mask(open_rgba(_saved(cut)))
    assert mask is not None and np.array_equal(mask, alpha > 0)
    assert alpha_mask(open_rgba(_saved(Image.fromarray(RGB)))) is None
    assert alpha_mask(Image.fromarray(RGB)) is None


def test_letterbox_leaves_a_picture_of_the_right_size_alone() -> None:
    image = Image.fromarray(RGB)
    out, fit = letterbox(image, (24, 18))
    assert out is image and fit.identity and (fit.top, fit.left, fit.scale_x, fit.scale_y) == (0, 0, 1, 1)


def test_letterbox_pads_with_its_edge_or_a_colour() -> None:
    wide = np.full((30, 60, 3), 200, np.uint8)
    wide[:3] = 10
    out, fit = letterbox(Image.fromarray(wide), (40, 30))
    assert (fit.inner, fit.top, fit.left) == ((15, 30), 12, 0)
    pixels = np.asarray(out)
    assert pixels.shape == (40, 30, 3) and (pixels[:12] == pixels[12]).all() and (pixels[-1] == 200).all()
    coloured = np.asarray(letterbox(Image.fromarray(wide), (40, 30), (1, 2, 3))[0])
    assert (coloured[0] == (1, 2, 3)).all() and (coloured[-1] == (1, 2, 3)).all()
    assert np.array_equal(fit.crop(coloured), fit.crop(pixels))


def test_same_proportions_get_no_seam() -> None:
    for size in ((1024, 768), (341, 256), (1000, 750), (512, 385)):
        fit = Letterbox.between(size, (256, 192))
        assert fit.inner == (256, 192), size
    assert Letterbox.between((256, 256), (256, 192)).inner == (192, 192)


def test_shrinking_a_photo_averages_it() -> None:
    board = (np.indices((256, 192)).sum(0) % 2 * 255).astype(np.uint8)
    small = np.asarray(letterbox(Image.fromarray(np.dstack([board] * 3)), (64, 48))[0])
    assert abs(int(small.mean()) - 127) < 3 and small.std() < 12


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 64), st.integers(8, 64))
def test_labels_joints_and_photo_go_to_the_same_place(h: int, w: int, height: int, width: int) -> None:
    fit = Letterbox.between((h, w), (height, width))
    assert fit.inner[0] == height or fit.inner[1] == width
    assert 0 <= fit.top <= height - fit.inner[0] and 0 <= fit.left <= width - fit.inner[1]
    parse = np.full((h, w), 9, np.uint8)
    mapped = fit.labels(parse)
    assert mapped.shape == (height, width) and (mapped == 9).sum() == fit.inner[0] * fit.inner[1]
    assert np.array_equal(mapped == 9, fit.mask(parse == 9))
    photo = fit.photo(np.full((h, w, 3), 77, np.uint8), (1, 1, 1))
    assert np.array_equal((photo == 77).all(2), mapped == 9)
    corners = np.array([[0, 0, 1], [w, h, 1], [5, 5, 0]], np.float32)
    moved = fit.points(corners)
    assert moved[0, :2] == pytest.approx((fit.left, fit.top))
    assert moved[1, :2] == pytest.approx((fit.left + fit.inner[1], fit.top + fit.inner[0]), abs=1e-3)
    assert (moved[2] == 0).all()


def test_label_maps_never_mix() -> None:
    parse = RNG.choice(np.array([0, 5, 14], np.uint8), (300, 225))
    assert set(np.unique(Letterbox.between((300, 225), (256, 192)).labels(parse))) == {0, 5, 14}


def test_background_colour_and_same_shape() -> None:
    shop = np.full((20, 20, 3), (240, 230, 220), np.uint8)
    shop[4:, 6:14] = 0  # reaches the lower border
    assert background_colour(shop) == (240, 230, 220)
    assert same_shape((1024, 768), (256, 192)) and same_shape((341, 256), (256, 192))
    assert not same_shape((256, 256), (256, 192))


def _heic(path: Path) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    picture = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8)[None, :, None] * 3, (48, 1, 3)))
    pillow_heif.from_pillow(picture).save(path, quality=95)
    return path.read_bytes()


def test_heic_is_read_whatever_its_name(tmp_path: Path) -> None:
    data = _heic(tmp_path / "phone.heic")
    (tmp_path / "named.jpg").write_bytes(data)
    for name in ("phone.heic", "named.jpg"):
        assert open_rgb(tmp_path / name).size == (64, 48)
    assert open_rgb(io.BytesIO(data)).size == (64, 48)


def test_heic_and_avif_without_a_reader_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for brand, words in ((b"heic", "pip install pillow-heif"), (b"avif", "pip install -U pillow")):
        path = tmp_path / f"phone.{brand.decode()}"
        path.write_bytes(b"\0\0\0\x18ftyp" + brand + b"\0" * 40)
        monkeypatch.setattr(images, "_learn_heic", lambda: False)
        monkeypatch.setattr(Image, "open", _knows_nothing)
        with pytest.raises(VtcliError, match=words) as caught:
            open_rgb(path)
        assert str(path) in str(caught.value)


def _knows_nothing(*_: object) -> None:
    raise Image.UnidentifiedImageError


def test_profiles_count_with_alpha_and_palettes_too(tmp_path: Path) -> None:
    """A picture in a wide colour space looks the same whether it has alpha or a palette or neither."""
    profile = _swapped_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    plain = Image.new("RGB", (40, 30), (60, 190, 40))
    clear = plain.copy()
    clear.putalpha(255)
    palette = plain.quantize(4)
    seen = []
    for name, image in (("rgb", plain), ("rgba", clear), ("p", palette)):
        image.save(tmp_path / f"{name}.png", icc_profile=profile)
        seen.append(np.asarray(open_rgb(tmp_path / f"{name}.png")).astype(int))
    assert np.abs(seen[0] - np.array([60, 190, 40])).max() > 8  # the profile does something
    assert np.abs(seen[1] - seen[0]).max() <= 1 and np.abs(seen[2] - seen[0]).max() <= 2
    assert open_rgba(tmp_path / "rgba.png").mode == "RGBA"
