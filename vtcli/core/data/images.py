"""Pictures as people have them → RGB at the size the networks want, and back.

`open_rgb` and `open_rgba` read any picture that Pillow can decode; `letterbox` brings one to a size without
stretching it and says how, so that labels and joints can follow and a result can be taken back.
"""

from __future__ import annotations

import io
import os
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from vtcli.core.system.errors import VtcliError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pnm", ".tga",
    ".jp2", ".mpo", ".avif", ".heic", ".heif", ".hif", ".heics", ".jxl", ".dng",
)  # fmt: skip
"""File endings (lower case) that count as pictures in a folder. What cannot be read of them is told, never passed over."""

SEE_THROUGH = 80
"""Alpha (of 255) from which a pixel belongs to a cut-out garment."""

Source = Path | str | IO[bytes] | Image.Image
Colour = tuple[int, int, int]


def open_rgb(source: Source) -> Image.Image:
    """Read a picture as 8-bit RGB, upright, as it looks on white paper.

    EXIF orientation is applied, transparency composited on white, 16-bit and float values scaled to 8 bits,
    CMYK and profiles other than sRGB converted to sRGB; of an animation the first frame. An RGB file without
    any of these keeps exactly the pixels that Pillow decodes. A picture that Pillow has opened already is taken the
    same way. VtcliError names a file that is absent, broken, cut short, of an unknown format, or above Pillow's limit
    of pixels (a decompression bomb).
    """
    return flatten(_read(source, _normalise))


def open_rgba(source: Source) -> Image.Image:
    """Read a picture as RGBA with its own alpha channel (255 where it has none). Errors: as `open_rgb`."""
    return _read(source, _normalise).convert("RGBA")


def flatten(image: Image.Image) -> Image.Image:
    """An RGBA picture composited on white, as `open_rgb` gives it."""
    if image.mode != "RGBA" or image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(paper, image).convert("RGB")


def alpha_mask(image: Image.Image) -> np.ndarray | None:
    """The garment that a cut-out picture's alpha channel marks, as bool (H, W); None where it marks none.

    An alpha channel counts when at least 1% of its pixels are clear and at least 1% are not. Cloth that lets half of the
    light through is garment; shadows are fainter.
    """
    if "A" not in image.getbands():
        return None
    solid = np.asarray(image.getchannel("A")) >= SEE_THROUGH
    share = float(solid.mean())
    return solid if 0.01 <= share <= 0.99 else None


def read_with_pillow(source: Source) -> Image.Image:
    """The first frame as Pillow decodes it: palette indices, 16-bit values and all. Errors: as `open_rgb`."""
    return _read(source, lambda image: image)


def background_colour(rgb: np.ndarray) -> Colour:
    """Median colour of the outermost pixels of an (H, W, 3) uint8 picture."""
    border = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    red, green, blue = np.median(border, axis=0).round().astype(int)
    return int(red), int(green), int(blue)


@dataclass(frozen=True)
class Letterbox:
    """How a picture of size `source` lies in one of size `target` (both height, width).

    The picture covers `inner` pixels from (`top`, `left`); the rest is padding. A point (x, y) of the source
    is (x · scale_x + left, y · scale_y + top) in the target. The scales differ by less than a pixel over the
    whole picture: nothing is stretched that an eye could see.
    """

    source: tuple[int, int]
    target: tuple[int, int]
    inner: tuple[int, int]
    top: int
    left: int

    @classmethod
    def between(cls, source: tuple[int, int], target: tuple[int, int]) -> Letterbox:
        """The largest centred fit of `source` in `target`."""
        scale = min(target[0] / source[0], target[1] / source[1])
        inner = []
        for i in (0, 1):
            side = max(1, min(target[i], round(source[i] * scale)))
            # A missing pixel is rounding in a picture of the same proportions, not a reason for a seam.
            inner.append(target[i] if target[i] - side <= 1 else side)
        height, width = inner
        return cls(source, target, (height, width), (target[0] - height) // 2, (target[1] - width) // 2)

    @property
    def scale_x(self) -> float:
        """Target pixels for one source pixel across."""
        return self.inner[1] / self.source[1]

    @property
    def scale_y(self) -> float:
        """Target pixels for one source pixel down."""
        return self.inner[0] / self.source[0]

    @property
    def identity(self) -> bool:
        """Whether source and target are the same size."""
        return self.source == self.target

    def photo(self, rgb: np.ndarray, fill: Colour | None = None) -> np.ndarray:
        """(h, w, 3) uint8 at source size → target size, antialiased; padded with `fill` or its own edge."""
        _expect(rgb, self.source)
        if self.identity:
            return rgb
        inner = np.asarray(_resize(Image.fromarray(rgb), self.inner, Image.Resampling.BICUBIC))
        if fill is None:
            return np.pad(inner, (*self._padding(), (0, 0)), mode="edge")
        out = np.empty((*self.target, 3), np.uint8)
        out[:] = fill
        out[self._window()] = inner
        return out

    def labels(self, parse: np.ndarray, fill: int = 0) -> np.ndarray:
        """(h, w) uint8 labels at source size → target size by nearest neighbour."""
        _expect(parse, self.source)
        if self.identity:
            return parse
        inner = np.asarray(_resize(Image.fromarray(parse), self.inner, Image.Resampling.NEAREST))
        return np.pad(inner, self._padding(), constant_values=fill)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """(h, w) bool at source size → target size: a pixel is in when half of it is."""
        _expect(mask, self.source)
        if self.identity:
            return mask
        grey = Image.fromarray(np.where(mask, 255, 0).astype(np.uint8))
        inner = np.asarray(_resize(grey, self.inner, Image.Resampling.BILINEAR)) >= 128
        return np.pad(inner, self._padding())

    def points(self, keypoints: np.ndarray) -> np.ndarray:
        """(…, 3) joints (x, y, confidence) in source pixels → target pixels; absent joints stay zero."""
        out = np.asarray(keypoints, np.float32).copy()
        present = out[..., 2] > 0
        out[..., 0] = np.where(present, out[..., 0] * self.scale_x + self.left, 0)
        out[..., 1] = np.where(present, out[..., 1] * self.scale_y + self.top, 0)
        return out

    def crop(self, array: np.ndarray) -> np.ndarray:
        """The part of a target-size (H, W, …) array that is picture rather than padding: (*inner, …)."""
        _expect(array, self.target)
        return array[self._window()]

    def _window(self) -> tuple[slice, slice]:
        return (
            slice(self.top, self.top + self.inner[0]),
            slice(self.left, self.left + self.inner[1]),
        )

    def _padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        height, width = self.target
        return (
            (self.top, height - self.top - self.inner[0]),
            (self.left, width - self.left - self.inner[1]),
        )


def letterbox(
    image: Image.Image, size: tuple[int, int], fill: Colour | None = None
) -> tuple[Image.Image, Letterbox]:
    """Fit an RGB picture into `size` (height, width) without stretching.

    The padding repeats the picture's edge, or is `fill`. Returns the picture and the `Letterbox` that says
    where it lies. A picture that has the size already comes back unchanged.
    """
    fit = Letterbox.between((image.height, image.width), size)
    if fit.identity:
        return image, fit
    return Image.fromarray(fit.photo(np.asarray(image), fill)), fit


def same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two sizes have the same proportions, but for rounding to whole pixels."""
    return abs(a[0] * b[1] - b[0] * a[1]) <= max(a[0], a[1], b[0], b[1])


def _expect(array: np.ndarray, size: tuple[int, int]) -> None:
    if array.shape[:2] != size:
        raise ValueError(f"expected a picture of {size}, got {array.shape[:2]}")


def _resize(image: Image.Image, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    return image.resize((size[1], size[0]), how)  # Pillow's filters antialias when they shrink


def _name(source: Source) -> str:
    if isinstance(source, Image.Image):
        return str(getattr(source, "filename", "") or "picture")
    return str(source) if isinstance(source, str | os.PathLike) else str(getattr(source, "name", "picture"))


def _read(source: Source, finish: Any) -> Image.Image:
    name = _name(source)
    try:
        with nullcontext(source) if isinstance(source, Image.Image) else Image.open(source) as image:
            if image.width * image.height > (Image.MAX_IMAGE_PIXELS or np.inf):
                raise Image.DecompressionBombError
            image.load()
            result: Image.Image = finish(image)
            result = result.copy() if result is image else result
            result.format = image.format  # copies forget what file they came from
            return result
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as problem:
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise VtcliError(
            f"{name}: too many pixels (the limit is {limit} million); scale it down"
        ) from problem
    except FileNotFoundError as problem:
        raise VtcliError(f"{name}: no such file") from problem
    except IsADirectoryError as problem:
        raise VtcliError(f"{name}: is a folder, not a picture") from problem
    except PermissionError as problem:
        raise VtcliError(f"{name}: may not be read (permission denied)") from problem
    except Image.UnidentifiedImageError as problem:
        if _brand(source) in _HEIC and _learn_heic():
            return _read(source, finish)
        raise VtcliError(f"{name}: {_unknown(source)}") from problem
    # Decoders meet broken files with whatever they stumble on: struct.error, SyntaxError, IndexError, …
    except Exception as problem:
        raise VtcliError(f"{name}: broken or cut-short picture ({problem})") from problem


_HEIC = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"hevc", b"hevx")
_AVIF = (b"avif", b"avis")


def _head(source: Source) -> bytes:
    """The first bytes of a picture; none where they cannot be read."""
    try:
        if isinstance(source, str | os.PathLike):
            with Path(source).open("rb") as stream:
                return stream.read(16)
        if isinstance(source, Image.Image) or not source.seekable():
            return b""
        source.seek(0)
        return source.read(16)
    except OSError:
        return b""


def _brand(source: Source) -> bytes:
    """What kind of an ISO media file it is (ISO/IEC 14496-12), none where it is another file."""
    head = _head(source)
    return head[8:12] if head[4:8] == b"ftyp" else b""


def _learn_heic() -> bool:
    """Teach Pillow HEIC, which iPhones write; False where pillow-heif is not installed or Pillow knows it already."""
    try:
        import pillow_heif
    except ImportError:
        return False
    if "HEIF" in Image.OPEN:
        return False
    pillow_heif.register_heif_opener()
    return True


def _unknown(source: Source) -> str:
    """Why Pillow does not know the format, as far as the first bytes show."""
    if not _head(source):
        return "empty file, not a picture"
    brand = _brand(source)
    if brand in _HEIC:
        return "a HEIC picture; `pip install pillow-heif` lets vtcli read it, or save it as JPEG or PNG"
    if brand in _AVIF:
        return "an AVIF picture; `pip install -U pillow` (11.3 or newer) lets vtcli read it, or save it as JPEG or PNG"
    return "not a picture that can be read; save it as JPEG or PNG"


def _normalise(image: ImageFile) -> Image.Image:
    """Upright, 8 bits a channel, in sRGB: mode RGB, or RGBA where the picture has transparency."""
    profile = image.info.get("icc_profile")
    upright = ImageOps.exif_transpose(image) or image
    if upright.mode.startswith(("I", "F")):
        return _to_eight_bits(upright).convert("RGB")
    if upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
        out = upright.convert("RGBA")
        plain = out.convert("L" if upright.mode in ("L", "LA", "La") else "RGB")
        converted = _to_srgb(plain, profile) if profile else None
        if converted is not None:
            converted.putalpha(out.getchannel("A"))
            return converted
        return out
    if profile and upright.mode in ("RGB", "CMYK", "L", "P"):
        converted = _to_srgb(upright.convert("RGB") if upright.mode == "P" else upright, profile)
        if converted is not None:
            return converted
    return upright.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image, np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    if image.mode.startswith("I;16") or top > 255:
        values = values / 257.0
    elif image.mode == "F" and top <= 1.0:
        values = values * 255.0
    return Image.fromarray(values.clip(0, 255).round().astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """`image` in sRGB; None where it is so already or the profile is of no use."""
    try:
        from PIL import ImageCms
    except ImportError:  # Pillow built without LittleCMS
        return None
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(own).strip().lower()
        if "srgb" in name or name in ("c2", "c2ci"):  # c2: Facebook's tiny sRGB
            return None
        return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return None
