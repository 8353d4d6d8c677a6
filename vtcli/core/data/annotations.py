"""A person's parse maps and a garment's masks on disk → arrays (joints: `poses`)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from vtcli.core.data.images import read_with_pillow
from vtcli.core.data.labels import LABEL_SETS, LABELS, LIP_PALETTE, TO_LIP, LabelSet
from vtcli.core.system.errors import VtcliError

_COLOURED = ("lip", "cihp", "cp-vton+")
"""Label sets whose maps may come in LIP's colours."""
_GREYS, _END = 0.02, 0.1
"""Share of a mask that may lie between its ends but for soft edges, and the share of its range that is an end."""
_APART, _SMALL = 48, 1024
"""Levels of 255 by which a mask's two values differ at least, and pixels below which a picture may be all edge."""
_SOFT, _SOFT_SIDE, _AT_ENDS = 0.32, 256, 0.3
"""What of a mask's greys is no soft edge, at most; of photos of garments and people 0.33 at least, of masks blurred by any width
0.30 in nine of ten. The longer side at which that is looked at, in pixels. The least share of a soft mask at its ends."""
_BLURRED = 0.12
"""Share of a parse map's edges that are ramps of labels; 0.03 at most in VITON's maps, 0.6 in one that was resized."""


def read_parse(path: Path | Image.Image, labels: LabelSet = "lip") -> np.ndarray:
    """Read a parse map as LIP labels 0-19, uint8 (H, W).

    `labels` names the set that the file is in. Palette and grey pictures are read as the labels themselves,
    RGB ones by LIP's colours (which CIHP shares). VtcliError for labels beyond the set, and for colours that
    are not the palette's, such as those of a lossy file.
    """
    image = read_with_pillow(path)
    if image.format == "JPEG":
        raise VtcliError(f"{_called(path)}: a JPEG, which blurs labels; save parse maps as PNG")
    if image.mode in ("RGB", "RGBA"):
        values = _from_colours(path, image, labels)
    elif image.mode in ("P", "L", "I", "I;16"):
        values = np.asarray(image)
    else:
        raise VtcliError(
            f"{_called(path)}: a parse map must be a palette, grey or RGB picture, not {image.mode}"
        )
    table = TO_LIP[labels]
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= len(table):
        further = [
            name.upper() for name in LABEL_SETS if labels == "lip" and LABELS <= high < len(TO_LIP[name])
        ]
        hint = f"; {' and '.join(further)} labels go further" if further else ""
        step = int(np.gcd.reduce(np.unique(values).astype(np.int64)))
        hint = (
            f"; all its labels are multiples of {step}: was it made brighter to be looked at?"
            if step > 1
            else hint
        )
        raise VtcliError(
            f"{_called(path)}: label {high if low >= 0 else low}, but {labels.upper()} goes to {len(table) - 1}{hint}"
        )
    if (share := _ramps(values)) > _BLURRED:
        raise VtcliError(
            f"{_called(path)}: {share:.0%} of its edges run through labels in between: it was resized like a photo; resize "
            "label maps by nearest neighbour"
        )
    return table[values]


def _called(source: Path | Image.Image) -> str:
    """A file's name, or that of the file that a picture was opened from."""
    return (
        str(getattr(source, "filename", "") or "picture") if isinstance(source, Image.Image) else str(source)
    )


def _ramps(values: np.ndarray) -> float:
    """The share of a label map's edges that go up or down twice within three pixels, as those of a map that was resized
    with interpolation do."""
    ramps = edges = 0
    for labels in (values.astype(np.int32), values.T.astype(np.int32)):
        steps = np.sign(np.diff(labels, axis=1))
        edges += int(np.count_nonzero(steps))
        ramps += int(np.count_nonzero((steps[:, 1:] != 0) & (steps[:, 1:] == steps[:, :-1])))
    return ramps / edges if values.size >= _SMALL and edges else 0.0


def read_mask(path: Path | Image.Image) -> np.ndarray:
    """Read a mask, a file or a Pillow image, as bool (H, W): 128 and above is in. Where all values lie on one side of that, such as 0 and 1 or 0
    and 100, the upper half of them is in. VtcliError for a picture of many greys, which is a photo and no mask."""
    image = read_with_pillow(path)
    if image.mode == "RGBA":
        colour, alpha = np.asarray(image)[..., :3], np.asarray(image)[..., 3]
        plain = bool((colour == colour[0, 0]).all())
        grey = alpha if plain else np.asarray(image.convert("L"))
    elif image.mode in ("I", "I;16"):
        wide = np.asarray(image).astype(np.int64)
        grey = (wide // 257 if wide.max() > 255 else wide).astype(np.uint8)
    elif image.mode == "P" and set(np.unique(np.asarray(image))) <= {0, 1}:
        grey = np.asarray(image)
    else:
        grey = np.asarray(image.convert("L"))
    low, high = int(grey.min()), int(grey.max())
    if grey.size >= _SMALL and high - low >= _APART:
        margin = _END * (high - low)
        # The grain of a photo goes: between light and dark specks it would pass for edges.
        calm = cv2.medianBlur(np.ascontiguousarray(grey, np.uint8), max(3, max(grey.shape) // 200 | 1))
        between = ((calm > low + margin) & (calm < high - margin)).astype(np.uint8)
        edge = np.ones((max(3, max(grey.shape) // 100),) * 2, np.uint8)
        if cv2.erode(between, edge).mean() > _GREYS and _unlike_blurred(grey) > _SOFT:
            raise VtcliError(
                f"{_called(path)}: {between.mean():.0%} of it is grey, neither dark nor light: a photo, not a mask; a mask is "
                "white on what is meant, and black elsewhere"
            )
    if low >= 128 or high < 128:
        two_values = len(np.unique(grey)) == 2
        if high - low >= _APART or (two_values and low == 0):
            return grey > (low + high) / 2
        if high > low and grey.size >= _SMALL:
            raise VtcliError(
                f"{_called(path)}: its greys run from {low} to {high} of 255, and do not tell what is meant; a mask is white on "
                "what is meant, and black elsewhere"
            )
    return grey >= 128


def _unlike_blurred(grey: np.ndarray) -> float:
    """How far a mask `grey` (H, W) uint8 is from one of two values that was blurred, as a share of all its greys: 0.0 for a
    mask with soft edges, about 1.0 for a photo."""
    scale = min(1.0, _SOFT_SIDE / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    low, high = (
        int(grey.min()),
        int(grey.max()),
    )  # of all pixels: the means of a photo's grain do not reach them
    values = (small - low) / max(1, high - low)
    if (np.abs(values - 0.5) > 0.5 - _END).mean() < _AT_ENDS:
        return 1.0
    sharp = (values > 0.5).astype(np.float32)
    widths = (share * max(values.shape) for share in (0.003, 0.006, 0.012, 0.02, 0.03, 0.04))
    off = min(float(np.abs(cv2.GaussianBlur(sharp, (0, 0), width) - values).mean()) for width in widths)
    return off / max(1e-6, float(np.minimum(values, 1 - values).mean()))


def _from_colours(path: Path | Image.Image, image: Image.Image, labels: LabelSet) -> np.ndarray:
    if labels not in _COLOURED:
        raise VtcliError(
            f"{_called(path)}: a parse map in {labels.upper()} labels must hold label numbers (palette or grey), not colours"
        )
    rgb = np.asarray(image)[..., :3].astype(np.int32)
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all() and rgb.max() < LABELS:
        return rgb[..., 0]  # labels saved as grey RGB
    codes = (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]
    palette = LIP_PALETTE.astype(np.int32)
    known = (palette[:, 0] << 16) | (palette[:, 1] << 8) | palette[:, 2]
    order = np.argsort(known)
    at = np.searchsorted(known[order], codes).clip(0, LABELS - 1)
    values = order[at]
    strange = known[values] != codes
    if strange.any():
        row, column = np.argwhere(strange)[0]
        red, green, blue = (int(v) for v in rgb[row, column])
        raise VtcliError(
            f"{_called(path)}: colour ({red}, {green}, {blue}) at x {column}, y {row} is none of LIP's; "
            "save parse maps as PNG with LIP's labels or palette"
        )
    return values
