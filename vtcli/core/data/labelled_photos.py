"""Labelled photos beyond VITON: `photos/NAME.jpg`, `labels/NAME.png` and `labels.json`, the labels' names.

A label of such a set may stand for several of the parser's (CCP's "skin" is a face, an arm, a leg or the torso's): it maps
to a *group*, a set of the parser's labels whose probabilities are summed (`GROUPS`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from vtcli.core.data import labels as L
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.files import read_json

_SKIN = (*L.SKIN_LABELS, L.TORSO_SKIN)
_COATS = (L.COAT, L.UPPER_CLOTHES)
_SUITS = (L.JUMPSUITS, L.DRESS, L.COAT, L.UPPER_CLOTHES, L.PANTS)
_SCARVES = (L.SCARF, L.UPPER_CLOTHES)
_SOCKS = (L.SOCKS, L.LEFT_LEG, L.RIGHT_LEG)
_SHOES = (L.LEFT_SHOE, L.RIGHT_SHOE)
_SWIMWEAR = (L.UPPER_CLOTHES, L.PANTS, L.DRESS)
NECK = (L.TORSO_SKIN, *L.TOP_LABELS)
"""What VITON's maps call background between head and clothes: skin, or a collar."""
COLLAR = (L.BACKGROUND, *NECK)
"""What they call background on the torso, and in front of plain ground between head and clothes: background as well."""

GROUPS: tuple[tuple[int, ...], ...] = (
    *((i,) for i in range(L.PARSER_LABELS)), _SKIN, _COATS, _SUITS, _SCARVES, _SOCKS, _SHOES, _SWIMWEAR, NECK, COLLAR,
)  # fmt: skip
"""Group g < 22 is the parser's label g itself; the others are sums."""

NAMED: dict[str, tuple[int, ...]] = {
    "null": (L.BACKGROUND,), "background": (L.BACKGROUND,), "hair": (L.HAIR,), "hat": (L.HAT,),
    "glasses": (L.SUNGLASSES,), "sunglasses": (L.SUNGLASSES,), "gloves": (L.GLOVE,), "skin": _SKIN,
    **dict.fromkeys(
        ("blouse", "shirt", "t-shirt", "top", "sweater", "sweatshirt", "jumper", "hoodie", "vest", "bra", "bodysuit"),
        (L.UPPER_CLOTHES,),
    ),
    **dict.fromkeys(("blazer", "jacket", "coat", "cardigan", "cape"), _COATS),
    "dress": (L.DRESS,), "romper": _SUITS, "suit": _SUITS,
    **dict.fromkeys(("pants", "jeans", "leggings", "shorts"), (L.PANTS,)),
    "skirt": (L.SKIRT,), "scarf": _SCARVES, "tie": _SCARVES,
    **dict.fromkeys(("socks", "stockings", "tights"), _SOCKS),
    **dict.fromkeys(
        ("boots", "clogs", "flats", "heels", "loafers", "pumps", "sandals", "shoes", "sneakers", "wedges"), _SHOES
    ),
    **dict.fromkeys(("swimwear", "intimate", "panties"), _SWIMWEAR),
    **dict.fromkeys(("bag", "purse", "wallet"), (L.THING,)),
}  # fmt: skip
"""Names of foreign labels (Clothing Co-Parsing's, and LIP's own) → the parser's labels. Pixels with other labels are ignored."""
NAMED |= {name: (i,) for i, name in enumerate(L.LIP_NAMES)}


def group_matrix() -> np.ndarray:
    """(groups, 22) float32: 1 where the group counts the label."""
    matrix = np.zeros((len(GROUPS), L.PARSER_LABELS), np.float32)
    for row, members in enumerate(GROUPS):
        matrix[row, list(members)] = 1.0
    return matrix


def _decoded(file: Path, how: int) -> np.ndarray | None:
    """A picture by OpenCV, None where it cannot be read. Its own way of opening files fails on Windows where a name has
    letters beyond the system's code page."""
    try:
        data = np.frombuffer(file.read_bytes(), np.uint8)
    except OSError:
        return None
    return cv2.imdecode(data, how) if len(data) else None


@dataclass
class LabelledPhotos:
    """A set of photos with group maps, all in memory.

    `photos[i]` is (H, W, 3) uint8 RGB; `groups[i]` (H, W) uint8 indices into GROUPS, 255 where ignored; and
    `boxes[i]` the person's (left, top, right, bottom) in pixels.
    """

    photos: list[np.ndarray]
    groups: list[np.ndarray]
    boxes: list[tuple[int, int, int, int]]

    def __len__(self) -> int:
        return len(self.photos)

    @classmethod
    def read(cls, folder: Path) -> LabelledPhotos:
        """Read `folder`; its labels.json may lie in the folder above. VtcliError names what is missing."""
        names_file = next(
            (f for f in (folder / "labels.json", folder.parent / "labels.json") if f.is_file()), None
        )
        files = sorted((folder / "photos").glob("*.jpg"))
        if names_file is None or not files:
            raise VtcliError(f"{folder}: expected photos/*.jpg, labels/*.png and labels.json")
        table = np.full(256, L.IGNORE, np.uint8)
        names = read_json(names_file)
        if not isinstance(names, list) or len(names) > 256 or not all(isinstance(n, str) for n in names):
            raise VtcliError(f"{names_file}: expected a list of at most 256 labels' names")
        for value, name in enumerate(names):
            if name in NAMED:
                table[value] = GROUPS.index(NAMED[name])
        photos, groups, boxes = [], [], []
        for file in files:
            try:
                photo = _decoded(file, cv2.IMREAD_COLOR)
                label = _decoded(folder / "labels" / f"{file.stem}.png", cv2.IMREAD_UNCHANGED)
            except cv2.error as problem:  # too many pixels
                raise VtcliError(
                    f"{file}: the photo or its labels cannot be read ({problem.err})"
                ) from problem
            if (
                photo is None
                or label is None
                or label.ndim != 2
                or photo.shape[:2] != label.shape
                or label.dtype != np.uint8
            ):
                raise VtcliError(f"{file}: the photo or its labels cannot be read, or their sizes differ")
            rows, columns = np.nonzero(label)
            if not len(rows):
                continue
            photos.append(cv2.cvtColor(photo, cv2.COLOR_BGR2RGB))
            groups.append(table[label])
            boxes.append((int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1))
        return cls(photos, groups, boxes)

    def backgrounds(self, narrowest: int = 40) -> list[np.ndarray]:
        """Strips of the photos beside the person, at least `narrowest` pixels wide."""
        strips = []
        for photo, (left, _, right, _) in zip(self.photos, self.boxes, strict=True):
            strip = photo[:, :left] if left > photo.shape[1] - right else photo[:, right:]
            if strip.shape[1] >= narrowest:
                strips.append(strip)
        return strips
