"""Two photos in, one picture out: the way of a photo, behind `vtcli tryon`, `vtcli warp` and the Python API.

photo → people → framing → annotation → networks → composition → photo; each step is one call of its room.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vtcli.core.data.images import flatten
from vtcli.core.garments.placement import Garment
from vtcli.core.models.load import load_kind, load_parser
from vtcli.core.models.warping import Warp
from vtcli.core.models.weights import stage_file
from vtcli.core.system import runtime
from vtcli.core.system.errors import VtcliError
from vtcli.core.tryon import composer, finding, framing, full_warp, given, person, shop_photo
from vtcli.core.tryon.annotate import WEAK, Annotator
from vtcli.core.tryon.finding import Choice, FoundPerson
from vtcli.core.tryon.networks import Networks
from vtcli.core.tryon.person import AnnotatedPerson
from vtcli.core.tryon.results import TryOnResult, WarpResult

SLENDEREST = 12
"""Pictures whose one side is more than so many times the other are refused: the smallest 3:4 window around one would
not fit in memory."""
LARGEST = Choice()


class TryOn:
    """Virtual try-on with loaded weights.

    >>> tryon = TryOn.load(device="cpu")
    >>> tryon(Image.open("person.jpg"), Image.open("cloth.jpg")).save("out.png")
    """

    def __init__(self, networks: Networks, annotator: Annotator) -> None:
        self.networks = networks
        self.annotator = annotator
        self.device = networks.device

    @classmethod
    def load(cls, weights: Path | str | None = None, device: str = "auto", tom: bool = True) -> TryOn:
        """Load parser, GMM and TOM from a weights folder (None: those that come with vtcli) onto `device`
        ("auto", "cpu", "cuda", "cuda:N", "mps"). `tom=False` loads what warping needs."""
        runtime.keep_memory()
        chosen = runtime.choose_device(device)
        folder = Path(weights) if weights is not None else None
        parser = stage_file(folder, "parser")
        annotator = Annotator(load_parser(parser), chosen, WEAK, load_kind(folder, parser))
        return cls(Networks.load(folder, chosen, tom), annotator)

    def __call__(self, person: Image.Image, cloth: Image.Image, **options: Any) -> Image.Image:
        """The person wearing the garment; see `run` for the options."""
        return self.run(person, cloth, **options).image

    def run(
        self, person: Image.Image, cloth: Image.Image, *, keep: str = "outside",
        cloth_mask: np.ndarray | None = None, parse: np.ndarray | None = None,
        keypoints: np.ndarray | None = None, force: bool = False, choice: Choice = LARGEST,
    ) -> TryOnResult:  # fmt: skip
        """Try `cloth` on `person`, with everything in between.

        `keep` is "outside" (all that a change of top does not touch stays the photo's, pixel for pixel) or
        "head" (the paper's: all but face and hair is rendered). Annotations that are given win over the project's
        own: `cloth_mask` (h, w) bool of the garment's photo, `parse` (H, W) LIP labels and `keypoints` (18, 3)
        of the person's photo. A photo of 256×192 with its annotations is taken for a data set's, which is framed
        already. `choice` says who is meant where there are several. Raises NobodyFound and UnfitPhoto (not with
        `force`).
        """
        who = self.look(_rgb(person), parse, keypoints, force, choice)
        return self.dress(who, self.cut_out(cloth, cloth_mask, force), keep)

    def warp(
        self, person: Image.Image, cloth: Image.Image, *, keep: str = "outside",
        cloth_mask: np.ndarray | None = None, parse: np.ndarray | None = None,
        keypoints: np.ndarray | None = None, force: bool = False, choice: Choice = LARGEST,
    ) -> WarpResult:  # fmt: skip
        """The garment warped onto the person, in place; arguments as for `run`."""
        who = self.look(_rgb(person), parse, keypoints, force, choice)
        garment = self.cut_out(cloth, cloth_mask, force)
        warp = self._warp(who, garment, keep)
        warped = full_warp.cut_out_warp(garment, warp, (who.view.shape[0], who.view.shape[1]))
        canvas = np.zeros((*who.photo.shape[:2], 4), np.uint8)
        who.window.paste(canvas, warped)
        return WarpResult(Image.fromarray(canvas), who, garment, warp, warped)

    def look(
        self, photo: np.ndarray, parse: np.ndarray | None = None, keypoints: np.ndarray | None = None,
        force: bool = False, choice: Choice = LARGEST,
    ) -> AnnotatedPerson:  # fmt: skip
        """Find the person in `photo` (H, W, 3) uint8, frame them as VITON does, and annotate them."""
        found, box = None, None
        if parse is None or keypoints is None:
            found = finding.choose_person(self.annotator, photo, choice, force)
            box = choice.box if found is None else found.box
        if not force:
            given.refuse_unlike(self.annotator, photo, parse, keypoints)
        window = framing.frame_person(photo, found, box, keypoints, self.annotator.joints)
        who = person.annotate_person(self.annotator, photo, window, box, parse, keypoints)
        if not force:
            person.refuse_unfit(who)
        return who

    def cut_out(self, cloth: Image.Image, mask: np.ndarray | None = None, force: bool = False) -> Garment:
        """The garment of a shop photo, cut out by `mask` (h, w) bool, its own alpha channel, or its plain background."""
        return shop_photo.cut_out(self.annotator, cloth, _rgb(cloth), mask, force)

    def dress(self, who: AnnotatedPerson, garment: Garment, keep: str = "outside") -> TryOnResult:
        """The try-on itself, for an annotated person and a garment that was cut out."""
        warp = self._warp(who, garment, keep)
        composition = self.networks.compose(who.people, warp, keep)
        picture = composer.compose(who.view, who.probabilities, who.people, garment, warp, composition, keep)
        if keep == "head":
            return TryOnResult(
                Image.fromarray(picture.pixels), picture.region, who, garment, warp, composition, picture
            )
        result, region = who.photo.copy(), np.zeros(who.photo.shape[:2], bool)
        who.window.paste(result, picture.pixels)
        who.window.paste(region, picture.region)
        return TryOnResult(Image.fromarray(result), region, who, garment, warp, composition, picture)

    def people(self, photo: np.ndarray) -> list[FoundPerson]:
        """Everybody in `photo` (H, W, 3) uint8, the largest first."""
        return finding.find_people(self.annotator, photo)

    def _warp(self, who: AnnotatedPerson, garment: Garment, keep: str) -> Warp:
        small, mask = (x.to(self.device) for x in garment.at(who.people.size))
        return self.networks.warp(who.people, small, mask, garment.front.to(self.device), keep)


def _rgb(image: Image.Image) -> np.ndarray:
    if max(image.size) > SLENDEREST * min(image.size):
        raise VtcliError(f"a picture of {image.width}×{image.height} is a strip, not a photo; crop it")
    return np.asarray(image if image.mode == "RGB" else flatten(image.convert("RGBA")))
