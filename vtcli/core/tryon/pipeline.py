"""Two photos in, one picture out: the pipeline behind `vtcli tryon`, `vtcli warp` and the Python API.

photo → framing → parser → representation → GMM → TOM → composition → photo.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.hole_filling import fill_holes
from vtcli.core.data.images import alpha_mask, flatten
from vtcli.core.data.pixels import grey_levels, signed
from vtcli.core.garments.cutout import garment_mask
from vtcli.core.garments.placement import Garment, place, without_hook
from vtcli.core.models.load import load_parser
from vtcli.core.models.tps import sample
from vtcli.core.models.warping import Warp
from vtcli.core.models.weights import stage_file
from vtcli.core.system import runtime
from vtcli.core.system.errors import VtcliError
from vtcli.core.tryon import panel
from vtcli.core.tryon.annotate import SURE, WEAK, Annotator, on_person, settle_hair, settle_neck
from vtcli.core.tryon.compose import Finished, finish, warp_full, without_opening
from vtcli.core.tryon.finding import Choice, Person, choose_person, find_people
from vtcli.core.tryon.framing import (
    Box,
    Frame,
    NobodyFound,
    first_frame,
    frame_of_box,
    others,
    viton_frame,
    whole,
)
from vtcli.core.tryon.networks import Composition, Networks, People

SLENDEREST = 12
"""Pictures whose one side is more than so many times the other are refused."""
LARGEST = Choice()
LOW_CONFIDENCE = 0.45
"""Below it a result should be looked at."""
LEAST_GARMENT = 0.4
"""Overlap (IoU) of what the parser calls a top with what was cut out; shop photos of tops have 0.56 or more."""


class UnfitPhoto(VtcliError):
    """A photo that shows something else than it should; `force=True` goes on."""


@dataclass
class Seen:
    """A person as the networks see her: her window of the photo, and what is in it.

    `photo` (H, W, 3) uint8; `window` (h, w, 3) uint8 is its own resolution; `people` and `probabilities`
    (1, 20, 256, 192) are at the networks' size.
    """

    photo: np.ndarray
    frame: Frame
    window: np.ndarray
    people: People
    probabilities: Tensor

    def certainty(self) -> tuple[float, float]:
        """Of the parse on the person (mean probability of the likeliest label) and of neck and shoulders (mean
        confidence), each in [0, 1]."""
        person = self.people.parse[0] > 0
        best = self.probabilities[0].amax(0)[person]
        joints = self.people.keypoints[0, [L.NECK, L.R_SHOULDER, L.L_SHOULDER], 2].clamp(0, 1)
        return float(best.mean()) if len(best) else 0.0, float(joints.mean())


@dataclass
class TryOnResult:
    """`image` is the result: the whole photo with `keep=outside`, the 3:4 window with `keep=head`. `region`
    (H, W) bool, of the image's size, is what may differ from the photo. The rest is what `panel` shows."""

    image: Image.Image
    region: np.ndarray
    seen: Seen
    garment: Garment
    warp: Warp
    made: Composition
    finished: Finished

    @property
    def confidence(self) -> float:
        """How sure the networks are, in [0, 1]: the geometric mean of the parse's certainty on the person, the
        joints' (neck and shoulders), and the agreement (IoU) of the warped garment with M_exp's clothes. Shop
        photos have 0.8 or more, street photos 0.68 (median); below `LOW_CONFIDENCE` the picture should be looked at."""
        parse, joints = self.seen.certainty()
        agreement = 1.0
        if self.made.expected_parse is not None:
            clothes = self.made.expected_parse[:, list(L.TOP_LABELS)].sum(1, keepdim=True) > 0.5
            warped = self.warp.mask > 0.5
            agreement = float((clothes & warped).sum() / (clothes | warped).sum().clamp_min(1))
        return float((parse * joints * agreement) ** (1 / 3))

    def panel(self) -> Image.Image:
        """The contact sheet: person, parse and pose, cloth, warped cloth, M_cm, I_rp, M_exp, result."""
        cells = [
            ("person", self.seen.window),
            ("parse and pose", _annotated(self.seen)),
            ("cloth", _picture(self.garment.at((256, 192))[0])),
            ("warped cloth", _picture(self.warp.cloth)),
            ("composition mask", _picture(self.made.composition_mask.expand(-1, 3, -1, -1) * 2 - 1)),
            ("rendered person", _picture(self.made.rendered_person)),
        ]
        if self.made.expected_parse is not None:
            parse = self.made.expected_parse.argmax(1)[0].cpu().numpy()
            cells.append(("expected parse", panel.parse_picture(parse)))
        cells.append(("result", self.finished.picture))
        return panel.contact_sheet(cells)


@dataclass
class WarpResult:
    """`image`: the warped garment with alpha (RGBA), of the photo's size, in place; `panel()` shows the warp."""

    image: Image.Image
    seen: Seen
    garment: Garment
    warp: Warp
    warped: np.ndarray

    def panel(self) -> Image.Image:
        """Person, parse and pose, cloth, the warp on a regular grid, warped cloth, and it pasted on the person."""
        lines = signed(torch.from_numpy(panel.grid_picture((256, 192)))[None])
        alpha = self.warped[..., 3:].astype(np.float32) / 255.0
        pasted = self.seen.window * (1 - alpha) + self.warped[..., :3] * alpha
        return panel.contact_sheet(
            [
                ("person", self.seen.window),
                ("parse and pose", _annotated(self.seen)),
                ("cloth", _picture(self.garment.at((256, 192))[0])),
                ("warp of a grid", _picture(sample(lines, self.warp.grid.cpu()))),
                ("warped cloth", _picture(self.warp.cloth)),
                ("pasted on the person", (pasted + 0.5).astype(np.uint8)),
            ],
            columns=3,
        )


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
        parser = load_parser(stage_file(folder, "parser"))
        return cls(Networks.load(folder, chosen, tom), Annotator(parser, chosen, WEAK))

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
        "head" (the paper's: all but face and hair is drawn). Annotations that are given win over the project's
        own: `cloth_mask` (h, w) bool of the garment's photo, `parse` (H, W) LIP labels and `keypoints` (18, 3)
        of the person's photo. `choice` says who is meant where there are several. Raises NobodyFound and
        UnfitPhoto (not with `force`).
        """
        seen = self.look(_rgb(person), parse, keypoints, force, choice)
        return self.dress(seen, self.cut_out(cloth, cloth_mask, force), keep)

    def dress(self, seen: Seen, garment: Garment, keep: str = "outside") -> TryOnResult:
        """The try-on itself, for a person that was looked at and a garment that was cut out."""
        warp = self._warp(seen, garment, keep)
        made = self.networks.compose(seen.people, warp, keep)
        if keep == "head":
            size = seen.window.shape[:2]
            picture = _picture(F.interpolate(made.result, size=size, mode="bicubic", align_corners=False))
            finished = Finished(picture, np.ones(size, bool))
            return TryOnResult(Image.fromarray(picture), finished.region, seen, garment, warp, made, finished)
        finished = finish(seen.window, seen.probabilities, seen.people, garment, warp, made)
        result, region = seen.photo.copy(), np.zeros(seen.photo.shape[:2], bool)
        seen.frame.paste(result, finished.picture)
        seen.frame.paste(region, finished.region)
        return TryOnResult(Image.fromarray(result), region, seen, garment, warp, made, finished)

    def warp(
        self, person: Image.Image, cloth: Image.Image, *, keep: str = "outside",
        cloth_mask: np.ndarray | None = None, parse: np.ndarray | None = None,
        keypoints: np.ndarray | None = None, force: bool = False, choice: Choice = LARGEST,
    ) -> WarpResult:  # fmt: skip
        """The garment warped onto the person, in place; arguments as for `run`."""
        seen = self.look(_rgb(person), parse, keypoints, force, choice)
        garment = self.cut_out(cloth, cloth_mask, force)
        warp = self._warp(seen, garment, keep)
        warped = _rgba(garment, warp, seen.window.shape[:2])
        canvas = np.zeros((*seen.photo.shape[:2], 4), np.uint8)
        seen.frame.paste(canvas, warped)
        return WarpResult(Image.fromarray(canvas), seen, garment, warp, warped)

    def _warp(self, seen: Seen, garment: Garment, keep: str) -> Warp:
        small, mask = (x.to(self.device) for x in garment.at(seen.people.size))
        return self.networks.warp(seen.people, small, mask, garment.front.to(self.device), keep)

    def people(self, photo: np.ndarray) -> list[Person]:
        """Everybody in `photo` (H, W, 3) uint8, the largest first."""
        return find_people(self.annotator, photo)

    def look(
        self, photo: np.ndarray, parse: np.ndarray | None = None, keypoints: np.ndarray | None = None,
        force: bool = False, choice: Choice = LARGEST,
    ) -> Seen:  # fmt: skip
        """Find the person, bring her to VITON's framing, and annotate her. `photo` (H, W, 3) uint8."""
        frame, box = self._find(photo, parse, keypoints, force, choice)
        picture = self._tensor(frame.photo(photo))
        annotation = self.annotator(picture)
        probabilities, joints = annotation.probabilities, annotation.keypoints
        if keypoints is not None:
            joints = torch.from_numpy(frame.points_in(keypoints)).to(self.device)[None]
        if parse is not None:
            probabilities = _sure(torch.from_numpy(frame.labels(parse)).to(self.device)[None])
        else:
            probabilities = settle_hair(settle_neck(probabilities, joints), picture)
            if box is not None:
                probabilities = _alone(probabilities, frame.box_in(box))
            probabilities = _carry_on(probabilities, frame.lowest_row(len(photo)))
        likeliest = probabilities.argmax(1).to(torch.uint8)
        labels = fill_holes(likeliest, joints)
        if labels is not likeliest:
            probabilities = torch.where((labels != likeliest)[:, None], _sure(labels), probabilities)
        if keypoints is None:
            joints = on_person(joints, labels)
        seen = Seen(photo, frame, frame.cut(photo), People(picture, labels, joints), probabilities)
        if not force:
            _refuse_unfit_person(seen)
        return seen

    def cut_out(self, cloth: Image.Image, mask: np.ndarray | None = None, force: bool = False) -> Garment:
        """The garment of a shop photo, cut out by `mask`, its own alpha channel, or its plain background."""
        rgb, given = _rgb(cloth), mask is not None
        if mask is None:
            mask = alpha_mask(cloth.convert("RGBA")) if _has_alpha(cloth) else None
        by_hand = mask is not None
        if mask is None:
            mask = without_hook(garment_mask(rgb))
        if mask.shape != rgb.shape[:2]:
            resized = Image.fromarray(mask).resize((rgb.shape[1], rgb.shape[0]), Image.Resampling.NEAREST)
            mask = np.asarray(resized)
        share = float(mask.mean())
        if not force and (share < 0.02 or share > 0.97):
            raise UnfitPhoto(
                f"no garment stands out from the background ({share:.0%} of the picture was cut out); give a "
                "photo on a plain background, or --cloth-mask, or --force"
            )
        garment = place(rgb, mask)
        if not force and not given:
            self._refuse_unfit_garment(rgb, garment, by_hand)
        return garment

    def _find(
        self,
        photo: np.ndarray,
        parse: np.ndarray | None,
        keypoints: np.ndarray | None,
        force: bool,
        choice: Choice,
    ) -> tuple[Frame, Box | None]:
        """The window to work in, and the person's box in the photo where she was found by looking."""
        full = whole(photo)
        if keypoints is not None and parse is not None:
            return viton_frame(_marked(full.points_in(keypoints)), full), None
        try:
            person = choose_person(self.annotator, photo, choice)
        except NobodyFound:
            if not force:
                raise
            return (full, None) if choice.box is None else (frame_of_box(choice.box), choice.box)
        rough = first_frame(person.parse, person.inside, person.look)
        if keypoints is not None:
            joints = _marked(rough.points_in(keypoints))
        else:
            joints = self.annotator(self._tensor(rough.photo(photo))).keypoints[0].cpu().numpy()
        return viton_frame(joints, rough), person.box

    def _refuse_unfit_garment(self, rgb: np.ndarray, garment: Garment, by_hand: bool) -> None:
        """A picture of a person, or of no garment at all: the parser, which knows clothes on people, also knows
        them alone (the cut-out on white). What was cut out `by_hand` somebody took for a garment already."""
        small, mask = garment.at((256, 192))
        both = torch.cat([self._tensor(whole(rgb).photo(rgb)), small.to(self.device)])
        photo, alone = self.annotator(both, mirror=False).parse
        face, hair = float((photo == L.FACE).float().mean()), float((photo == L.HAIR).float().mean())
        arms = float(torch.isin(photo, torch.tensor(L.ARM_LABELS, device=photo.device)).float().mean())
        if face > 0.01 and (arms > 0.01 or hair > 0.01):
            raise UnfitPhoto(
                f"the garment's picture shows a person (face {face:.0%}, arms {arms:.0%} of it); give a photo of the "
                "garment alone, or --cloth-mask, or --force"
            )
        if by_hand:
            return
        top = torch.isin(alone, torch.tensor(L.TOP_LABELS, device=alone.device))
        cut = mask[0, 0].to(self.device) > 0.5
        agreement = float((top & cut).sum() / (top | cut).sum().clamp_min(1))
        if agreement < LEAST_GARMENT:
            raise UnfitPhoto(
                f"the garment's picture shows no top that vtcli knows (what was cut out agrees by {agreement:.0%} with "
                f"what looks like one, {LEAST_GARMENT:.0%} are asked for); give a photo of the garment alone, or "
                "--cloth-mask, or --force"
            )

    def _tensor(self, picture: np.ndarray) -> Tensor:
        return signed(torch.from_numpy(picture.copy()).to(self.device)[None])


def _refuse_unfit_person(seen: Seen) -> None:
    labels = seen.people.parse[0]
    shares = {name: float(torch.isin(labels, torch.tensor(which, device=labels.device)).float().mean()) for name, which in
              (("clothes", [*L.TOP_LABELS, L.JUMPSUITS]), ("face", [L.FACE]), ("hair", [L.HAIR]))}  # fmt: skip
    if shares["clothes"] < 0.02:
        raise NobodyFound(
            f"no upper garment seen on the person ({shares['clothes']:.1%} of her window); --force goes on"
        )
    nose, eyes = seen.people.keypoints[0, L.NOSE, 2], seen.people.keypoints[0, [L.R_EYE, L.L_EYE], 2]
    if shares["hair"] > 0.02 and shares["face"] < 0.004 and float(nose) < SURE and float(eyes.max()) < SURE:
        raise UnfitPhoto("the person seems to be seen from behind (hair, but no face); --force goes on")


def _alone(probabilities: Tensor, box: tuple[float, float, float, float]) -> Tensor:
    """Other people than the one in `box` (window pixels) become background."""
    parse = probabilities.argmax(1)[0].cpu().numpy()
    foreign = others(parse, box)
    if not foreign.any():
        return probabilities
    there = torch.from_numpy(foreign).to(probabilities.device)
    probabilities = probabilities * (~there)
    probabilities[:, L.BACKGROUND] += there.float()
    return probabilities


def _sure(labels: Tensor) -> Tensor:
    """Probabilities (B, 20, H, W) of `labels` (B, H, W) that nobody doubts."""
    return F.one_hot(labels.long(), L.LABELS).permute(0, 3, 1, 2).float()


def _carry_on(probabilities: Tensor, lowest: int) -> Tensor:
    """Where the window reaches below the photo, the person goes on as the photo's last rows show her: the networks
    know people down to the hips."""
    if lowest >= probabilities.shape[2] - 1:
        return probabilities
    lowest = max(1, lowest)
    probabilities = probabilities.clone()
    last = probabilities[:, :, max(0, lowest - 24) : lowest].mean(2, keepdim=True)
    probabilities[:, :, lowest:] = last
    return probabilities


def _rgba(garment: Garment, warp: Warp, size: tuple[int, ...]) -> np.ndarray:
    colours, alpha = warp_full(garment, warp, (size[0], size[1]))
    alpha = without_opening(alpha, garment, warp)
    return np.dstack([np.clip(colours + 0.5, 0, 255), alpha * 255.0 + 0.5]).astype(np.uint8)


def _marked(keypoints: np.ndarray) -> np.ndarray:
    """Given joints count as certain wherever they are present."""
    out = keypoints.copy()
    out[:, 2] = L.joints_present(out)
    return out


def _rgb(image: Image.Image) -> np.ndarray:
    if max(image.size) > SLENDEREST * min(
        image.size
    ):  # the smallest 3:4 frame around it would not fit in memory
        raise VtcliError(f"a picture of {image.width}×{image.height} is a strip, not a photo; crop it")
    return np.asarray(image if image.mode == "RGB" else flatten(image.convert("RGBA")))


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _picture(x: Tensor) -> np.ndarray:
    out: np.ndarray = grey_levels(x)[0].cpu().numpy()
    return out


def _annotated(seen: Seen) -> np.ndarray:
    photo = _picture(seen.people.image)
    return panel.pose_picture(
        photo, seen.people.parse[0].cpu().numpy(), seen.people.keypoints[0].cpu().numpy()
    )
