"""What a try-on or a warp hands back: the picture, and everything in between for those who want to look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.pixels import grey_levels, likeliest, signed
from vtcli.core.garments.placement import Garment
from vtcli.core.models.tps import sample
from vtcli.core.models.warping import Warp
from vtcli.core.tryon import panel
from vtcli.core.tryon.composing.composer import Picture
from vtcli.core.tryon.networks import Composition
from vtcli.core.tryon.photos.person import AnnotatedPerson
from vtcli.core.tryon.photos.window import HEIGHT, WIDTH

LOW_CONFIDENCE = 0.45
"""Below it a result should be looked at."""


@dataclass
class TryOnResult:
    """`image` is the result: the whole photo with `keep=outside`, the 3:4 window with `keep=head`. `region`
    (H, W) bool, of the image's size, is what may differ from the photo. The rest is what `panel` shows."""

    image: Image.Image
    region: np.ndarray
    person: AnnotatedPerson
    garment: Garment
    warp: Warp
    composition: Composition
    picture: Picture

    @property
    def confidence(self) -> float:
        """How sure the networks are, in [0, 1]: the geometric mean of the parse's certainty on the person, the
        joints' (neck and shoulders), and the agreement (IoU) of the warped garment with M_exp's clothes. Shop
        photos have 0.8 or more, street photos 0.68 (median); below `LOW_CONFIDENCE` the picture should be looked at."""
        parse, joints = self.person.certainty()
        agreement = 1.0
        if self.composition.expected_parse is not None:
            clothes = self.composition.expected_parse[:, list(L.TOP_LABELS)].sum(1, keepdim=True) > 0.5
            warped = self.warp.mask > 0.5
            agreement = float((clothes & warped).sum() / (clothes | warped).sum().clamp_min(1))
        return float((parse * joints * agreement) ** (1 / 3))

    def panel(self) -> Image.Image:
        """The contact sheet: person, parse and pose, cloth, warped cloth, M_cm, I_rp, M_exp, result."""
        mask, parse = self.composition.composition_mask, self.composition.expected_parse
        cells: list[tuple[str, np.ndarray | Tensor]] = [
            ("person", self.person.view),
            ("parse and pose", self.person.picture()),
            ("cloth", grey_levels(self.garment.at((HEIGHT, WIDTH))[0])),
            ("warped cloth", grey_levels(self.warp.cloth)),
            ("composition mask", grey_levels(mask.expand(-1, 3, -1, -1) * 2 - 1)),
            ("rendered person", grey_levels(self.composition.rendered_person)),
        ]
        if parse is not None:
            cells.append(("expected parse", panel.parse_picture(likeliest(parse)[0].cpu().numpy())))
        cells.append(("result", self.picture.pixels))
        return panel.contact_sheet(cells)


@dataclass
class WarpResult:
    """`image`: the warped garment with alpha (RGBA), of the photo's size, in place; `panel()` shows the warp.
    `warped` (h, w, 4) uint8: the same in the person's window."""

    image: Image.Image
    person: AnnotatedPerson
    garment: Garment
    warp: Warp
    warped: np.ndarray

    def panel(self) -> Image.Image:
        """Person, parse and pose, cloth, the warp on a regular grid, warped cloth, and it pasted on the person."""
        lines = signed(torch.from_numpy(panel.grid_picture((HEIGHT, WIDTH)))[None])
        alpha = self.warped[..., 3:].astype(np.float32) / 255.0
        pasted = self.person.view * (1 - alpha) + self.warped[..., :3] * alpha
        return panel.contact_sheet(
            [
                ("person", self.person.view),
                ("parse and pose", self.person.picture()),
                ("cloth", grey_levels(self.garment.at((HEIGHT, WIDTH))[0])),
                ("warp of a grid", grey_levels(sample(lines, self.warp.grid.cpu()))),
                ("warped cloth", grey_levels(self.warp.cloth)),
                ("pasted on the person", (pasted + 0.5).astype(np.uint8)),
            ],
            columns=3,
        )
