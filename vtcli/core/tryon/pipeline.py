"""Two photos in, one picture out: the way of a photo, behind `vtcli tryon`, `vtcli warp`, the page and the Python API.

photo → people → framing → annotation → networks → composition → photo; each step is one call of its room.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar, get_args

import numpy as np
import torch
from PIL import Image

from vtcli.core.garments.placement import Garment
from vtcli.core.models.load import load_kind, load_outline, load_parser
from vtcli.core.models.warping import Warp
from vtcli.core.models.weights import stage_file
from vtcli.core.system import runtime
from vtcli.core.system.errors import UsageProblem, VtcliError
from vtcli.core.system.workers import both
from vtcli.core.tryon.composing import composer, full_warp
from vtcli.core.tryon.networks import Composition, Networks, People
from vtcli.core.tryon.photos import finding, framing, given, person, shop_photo
from vtcli.core.tryon.photos.annotate import WEAK, Annotator
from vtcli.core.tryon.photos.finding import Choice, FoundPerson
from vtcli.core.tryon.photos.person import AnnotatedPerson
from vtcli.core.tryon.photos.pictures import Picture, joints_of, mask_of, parse_of, rgb_of, rgba_of
from vtcli.core.tryon.photos.user_masks import UserMasks
from vtcli.core.tryon.results import TryOnResult, WarpResult

Keep = Literal["outside", "head"]
LARGEST = Choice()
Made = TypeVar("Made")


class TryOn:
    """Virtual try-on with loaded weights. One object serves many calls, from several threads at once if need be.

    A picture is a Pillow image, a NumPy array (height, width, 3) uint8 in RGB (or with a fourth channel, alpha), or
    a path. EXIF orientation counts, and colours of other profiles are converted to sRGB; an array is taken as it is. A
    mask is a picture, white (128 and above) where it counts, or an array of bool, of 0 and 1, or of 0 to 255.

    All errors are `VtcliError`: `NobodyFound` and `UnfitPhoto` for photos that cannot be used, which `force=True`
    goes on with; the plain class for files that cannot be read and arguments that do not fit.

        tryon = TryOn.load(device="cpu")
        who = tryon.look("person.jpg")
        for cloth in ("shirt.jpg", "blouse.jpg"):
            result = tryon.dress(who, tryon.cut_out(cloth))
            print(cloth, result.confidence)
    """

    def __init__(self, networks: Networks, annotator: Annotator) -> None:
        """Use `load` instead: it reads the weights."""
        self.networks = networks
        self.annotator = annotator
        self.device = networks.device

    @classmethod
    def load(cls, weights: Path | str | None = None, device: str = "auto", tom: bool = True) -> TryOn:
        """Load the networks' weights, once for many calls.

        `weights`: a folder with parser, GMM and TOM; None: those that come with vtcli. `device`: "auto" (CUDA where
        there is one), "cpu", "cuda", "cuda:N" or "mps". `tom=False` loads what `warp` needs, and no more. VtcliError:
        no such weights, or no such device. Settings of the process are left alone.
        """
        chosen = runtime.choose_device(device)
        folder = Path(weights) if weights is not None else None
        parser = stage_file(folder, "parser")
        annotator = Annotator(load_parser(parser), chosen, WEAK, load_kind(folder), load_outline(folder))
        return cls(Networks.load(folder, chosen, tom), annotator)

    def __call__(
        self, person: Picture, cloth: Picture, *, keep: Keep = "outside", cloth_mask: Picture | None = None,
        parse: Picture | None = None, keypoints: np.ndarray | str | os.PathLike[str] | None = None,
        protect: Picture | None = None, redraw: Picture | None = None, force: bool = False,
        choice: Choice = LARGEST,
    ) -> Image.Image:  # fmt: skip
        """The person wearing the garment, and nothing but the picture: `run(…).image`. Arguments and errors: as `run`."""
        return self.run(
            person, cloth, keep=keep, cloth_mask=cloth_mask, parse=parse, keypoints=keypoints, protect=protect,
            redraw=redraw, force=force, choice=choice,
        ).image  # fmt: skip

    def run(
        self, person: Picture, cloth: Picture, *, keep: Keep = "outside", cloth_mask: Picture | None = None,
        parse: Picture | None = None, keypoints: np.ndarray | str | os.PathLike[str] | None = None,
        protect: Picture | None = None, redraw: Picture | None = None, force: bool = False,
        choice: Choice = LARGEST,
    ) -> TryOnResult:  # fmt: skip
        """Try the garment of the shop photo `cloth` on the `person` of a photo, and hand back everything in between.

        - `keep`: "outside" leaves all that a change of top does not touch the photo's, pixel for pixel, and gives a
          picture of the photo's size. "head" is the paper's protocol: all but face and hair is rendered, and the
          picture is the 3:4 window around the person.
        - `cloth_mask`: where the garment is in `cloth`; else its alpha channel says so, or its plain background.
        - `parse`: the person's LIP labels 0 to 19 (height, width), of the photo's proportions; `keypoints`: (18, 3)
          COCO-18 joints x, y, confidence in the photo's pixels, or OpenPose's JSON. They win over vtcli's own. A photo
          of 256×192 with both is taken for a data set's, which is framed already.
        - `protect`: what stays the photo's, bit for bit, whatever else is said; `redraw`: what counts as old garment.
          Of any size of the photo's proportions.
        - `force`: go on with photos and masks that look unfit.
        - `choice`: who is meant where there are several; the largest person by default.

        NobodyFound: the photo shows no person, nobody in a top, or not the one that is meant. UnfitPhoto: a person
        seen from behind, a garment's photo that shows no top, a mask that is empty or inverted. Neither
        with `force`. VtcliError: a picture that cannot be read, or arguments that do not fit.
        """
        who, garment = both(
            lambda: self.look(
                person,
                parse=parse,
                keypoints=keypoints,
                protect=protect,
                redraw=redraw,
                force=force,
                choice=choice,
            ),
            lambda: self.cut_out(cloth, mask=cloth_mask, force=force),
        )
        if garment.on_person and not force:
            shop_photo.refuse_print(self.annotator, who.photo)
        return self.dress(who, garment, keep=keep)

    def warp(
        self, person: Picture, cloth: Picture, *, keep: Keep = "outside", cloth_mask: Picture | None = None,
        parse: Picture | None = None, keypoints: np.ndarray | str | os.PathLike[str] | None = None,
        force: bool = False, choice: Choice = LARGEST,
    ) -> WarpResult:  # fmt: skip
        """The garment warped onto the person, in place, with alpha. Arguments and errors: as `run`."""
        who, garment = both(
            lambda: self.look(person, parse=parse, keypoints=keypoints, force=force, choice=choice),
            lambda: self.cut_out(cloth, mask=cloth_mask, force=force),
        )
        warp = self._warp(who.people, [garment], _checked(keep))
        full = full_warp.FullWarp(garment, warp, (who.view.shape[0], who.view.shape[1]))
        warped = full_warp.cut_out_warp(full)
        canvas = np.zeros((*who.photo.shape[:2], 4), np.uint8)
        who.window.paste(canvas, warped)
        return WarpResult(Image.fromarray(canvas), who, garment, warp, warped)

    def look(
        self, photo: Picture, *, parse: Picture | None = None,
        keypoints: np.ndarray | str | os.PathLike[str] | None = None, protect: Picture | None = None,
        redraw: Picture | None = None, force: bool = False, choice: Choice = LARGEST,
    ) -> AnnotatedPerson:  # fmt: skip
        """Find the person in a photo, frame them as VITON does, and annotate them: the first half of `run`, to be used
        with `dress` as often as you like. Arguments and errors: as `run`."""
        rgb = rgb_of(photo)
        size = (rgb.shape[0], rgb.shape[1])
        masks = UserMasks.of(protect, redraw, size)
        labels = None if parse is None else parse_of(parse, size)
        joints = None if keypoints is None else joints_of(keypoints, (rgb.shape[0], rgb.shape[1]))
        found, box = None, None
        if labels is None or joints is None:
            found = finding.choose_person(self.annotator, rgb, choice, force)
            box = choice.box if found is None else found.box
        if not force:
            given.refuse_unlike(self.annotator, rgb, labels, joints)
        window = framing.frame_person(rgb, found, box, joints, self.annotator.joints)
        who = person.annotate_person(self.annotator, rgb, window, box, labels, joints, masks, force)
        if not force:
            person.refuse_unfit(who)
        return who

    def cut_out(self, cloth: Picture, *, mask: Picture | None = None, force: bool = False) -> Garment:
        """The garment of a shop photo, cut out by `mask`, its own alpha channel, or its plain background, to be used
        with `dress` as often as you like. UnfitPhoto where it shows no top (not with `force`)."""
        image, rgb = rgba_of(cloth)
        given = None if mask is None else mask_of(mask, "mask of the garment")
        return shop_photo.cut_out(self.annotator, image, rgb, given, force)

    def dress(self, who: AnnotatedPerson, garment: Garment, *, keep: Keep = "outside") -> TryOnResult:
        """The second half of `run`: a person that `look` has found in a garment that `cut_out` has cut out."""
        warp = self._warp(who.people, [garment], _checked(keep))
        return _finish(who, garment, who.people, warp, self.networks.compose(who.people, warp, keep), keep)

    def batch(
        self, people: Sequence[Picture], cloths: Sequence[Picture], *,
        pairs: Sequence[tuple[int, int]] | None = None, keep: Keep = "outside", force: bool = False,
        batch_size: int = 8,
    ) -> Iterator[tuple[int, int, TryOnResult | VtcliError]]:  # fmt: skip
        """Several people in several garments: each person is looked at once, each garment cut out once, and the
        networks see `batch_size` try-ons at a time.

        Yields (number of the person, number of the garment, result) with numbers from 0, garment by garment, for
        everybody in everything or for `pairs` of such numbers. A photo that cannot be used stops nobody else: its
        error stands in the result's place. People are held in memory (3 bytes a pixel), garments only as long as
        their batch. The pictures are those of `run`, but for rounding.
        """
        _checked(keep)
        chosen = (
            pairs if pairs is not None else [(i, j) for j in range(len(cloths)) for i in range(len(people))]
        )
        if batch_size < 1 or any(not (0 <= i < len(people) and 0 <= j < len(cloths)) for i, j in chosen):
            raise UsageProblem(
                f"batch: pairs of {len(people)} people and {len(cloths)} garments, one or more at a time"
            )
        return self._batches(
            people, cloths, sorted(chosen, key=lambda pair: pair[1]), keep, force, batch_size
        )

    def people(self, photo: Picture) -> list[FoundPerson]:
        """Everybody in a photo, the largest first, each with a `box` (left, top, right, bottom) in its pixels."""
        return finding.find_people(self.annotator, rgb_of(photo))

    def _batches(
        self, people: Sequence[Picture], cloths: Sequence[Picture], pairs: Sequence[tuple[int, int]], keep: Keep,
        force: bool, batch_size: int,
    ) -> Iterator[tuple[int, int, TryOnResult | VtcliError]]:  # fmt: skip
        seen: dict[int, AnnotatedPerson | VtcliError] = {}
        garment: Garment | VtcliError | None = None
        number = -1

        def ready() -> Iterator[tuple[int, int, AnnotatedPerson | VtcliError, Garment | VtcliError]]:
            nonlocal garment, number
            for i, j in pairs:
                if i not in seen:
                    seen[i] = _or_error(lambda: self.look(people[i], force=force))  # noqa: B023 (called at once)
                if j != number or garment is None:
                    garment, number = _or_error(lambda: self.cut_out(cloths[j], force=force)), j  # noqa: B023
                yield i, j, seen[i], garment

        waiting = ready()
        while part := list(islice(waiting, batch_size)):
            fit = [(w, g) for _, _, w, g in part if isinstance(w, AnnotatedPerson) and isinstance(g, Garment)]
            made = iter(self._dress_together(fit, keep))
            for i, j, who, cut in part:
                problem = who if isinstance(who, VtcliError) else cut
                yield i, j, problem if isinstance(problem, VtcliError) else next(made)

    def _dress_together(
        self, jobs: Sequence[tuple[AnnotatedPerson, Garment]], keep: Keep
    ) -> Iterator[TryOnResult]:
        if len(jobs) < 2:
            yield from (self.dress(who, garment, keep=keep) for who, garment in jobs)
            return
        alone = [who.people for who, _ in jobs]
        together = People(
            *(torch.cat([getattr(p, n) for p in alone]) for n in ("image", "parse", "keypoints"))
        )
        warps = self._warp(together, [garment for _, garment in jobs], keep)
        compositions = self.networks.compose(together, warps, keep)
        for i, (who, garment) in enumerate(jobs):
            yield _finish(who, garment, together.alone(i), warps.alone(i), compositions.alone(i), keep)

    def _warp(self, people: People, garments: Sequence[Garment], keep: Keep) -> Warp:
        small = [(*garment.at(people.size), garment.front) for garment in garments]
        cloth, mask, front = (torch.cat(list(x)).to(self.device) for x in zip(*small, strict=True))
        return self.networks.warp(people, cloth, mask, front, keep)


def _finish(
    who: AnnotatedPerson, garment: Garment, people: People, warp: Warp, composition: Composition, keep: Keep
) -> TryOnResult:
    picture = composer.compose(
        who.view,
        who.probabilities.to(people.parse.device),
        people,
        garment,
        warp,
        composition,
        keep,
        who.masks,
        who.own,
    )
    if keep == "head":
        image, region = picture.pixels, picture.region
    else:
        image, region = who.photo.copy(), np.zeros(who.photo.shape[:2], bool)
        who.window.paste(image, picture.pixels)
        who.window.paste(region, picture.region)
    return TryOnResult(Image.fromarray(image), region, who, garment, warp, composition, picture)


def _or_error(make: Callable[[], Made]) -> Made | VtcliError:
    try:
        return make()
    except VtcliError as problem:
        return problem


def _checked(keep: Keep) -> Keep:
    if keep not in get_args(Keep):
        raise UsageProblem(f"keep {keep!r}: one of {', '.join(get_args(Keep))}")
    return keep
