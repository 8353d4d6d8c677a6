"""The two networks in a row: person and garment at 256×192 → θ, I_warp, I_rp, M_cm, M_exp, I_try-on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import hand_region, has_label
from vtcli.core.data.hole_filling import opaque, whole_garments
from vtcli.core.data.pixels import colours
from vtcli.core.data.store import PreparedStore
from vtcli.core.garments.colours import lab
from vtcli.core.models.common import GMM, TOM
from vtcli.core.models.composition import held_garment, sharpened
from vtcli.core.models.folding import fold_batch_norm
from vtcli.core.models.load import load_gmm, load_tom
from vtcli.core.models.representation import represent
from vtcli.core.models.sleeve import hold_to_sleeves
from vtcli.core.models.warping import Warp, channels_last, warp_garments
from vtcli.core.models.weights import read_metadata, sha256, stage_file
from vtcli.core.system import runtime
from vtcli.core.system.errors import UsageProblem

SIZE = (256, 192)
"""(height, width) of VITON's pictures."""


@dataclass
class People:
    """Annotated people: `image` (B, 3, 256, 192) in [-1, 1], `parse` (B, 256, 192) LIP labels, `keypoints`
    (B, 18, 3) in pixels."""

    image: Tensor
    parse: Tensor
    keypoints: Tensor

    @cached_property
    def filled_parse(self) -> Tensor:
        """`parse` without holes and gaps in garments."""
        return whole_garments(self.image, self.parse, self.keypoints)

    def parse_for(self, network: GMM | TOM) -> Tensor:
        """`parse` as `network` sees it: filled, or for CP-VTON's as it is."""
        return self.parse if network.cpvton_inputs else self.filled_parse

    @cached_property
    def photo(self) -> np.ndarray:
        """The first person's picture in grey levels, (256, 192, 3) float32, not to be changed."""
        return colours(self.image)

    @cached_property
    def photo_lab(self) -> np.ndarray:
        """The same in CIELAB."""
        return lab(self.photo)

    @cached_property
    def hands(self) -> np.ndarray:
        """The first person's hands, (256, 192) bool."""
        return np.asarray(hand_region(self.parse[:1], self.keypoints[:1])[0].cpu().numpy())

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""
        return int(self.parse.shape[1]), int(self.parse.shape[2])

    def alone(self, index: int) -> People:
        """One of them, on the CPU."""
        given = (self.image, self.parse, self.keypoints)
        return People(*(x[index : index + 1].cpu() for x in given))


@dataclass
class Composition:
    """`rendered_person` I_rp (B, 3, H, W) in [-1, 1], `composition_mask` M_cm (B, 1, H, W) in [0, 1],
    `expected_parse` M_exp's probabilities (B, 20, H, W) or None, `tryon` I_try-on by equation (1) (B, 3, H, W),
    `region` (B, 1, H, W) in [0, 1] what `keep` lets change."""

    rendered_person: Tensor
    composition_mask: Tensor
    expected_parse: Tensor | None
    tryon: Tensor
    region: Tensor

    def alone(self, index: int) -> Composition:
        """One of the samples, on the CPU."""
        given = (getattr(self, field.name) for field in fields(self))
        alone: list[Any] = [x if x is None else x[index : index + 1].cpu() for x in given]
        return Composition(*alone)


class Networks:
    """GMM and TOM, loaded. With `tom` None only warps can be made.

    `amp`: the TOM, and of the GMM what bears it, in bfloat16; None: where the processor has it, and never CP-VTON's. A
    picture then differs by a tenth of a grey level on average. θ and the flow stay in float32. `size`: (height, width) of
    the pictures that they were trained on.
    """

    def __init__(
        self, gmm: GMM, tom: TOM | None, device: torch.device, hashes: dict[str, str], amp: bool | None = None,
        size: tuple[int, int] = SIZE,
    ) -> None:  # fmt: skip
        self.gmm = fold_batch_norm(gmm).to(device)
        self.tom = tom.to(device) if tom is not None else None
        self.device = device
        self.hashes = hashes
        self.size = size
        wanted = tom is None or not tom.cpvton_inputs
        self.amp = (wanted and runtime.has_bfloat16(device)) if amp is None else amp
        if self.amp:
            self.gmm.to_bfloat16()
        if self.tom is not None and self.amp:
            # Autocast would do this at every call. Norms stay: folded into bfloat16 weights they would round off more.
            for name, module in self.tom.named_modules():
                # The first and the last convolution, which take and draw the colours, stay in float32.
                if isinstance(module, nn.Conv2d) and name != "head" and not name.startswith("encoder.stem"):
                    module.to(torch.bfloat16)
        elif self.tom is not None:
            fold_batch_norm(self.tom)

    @classmethod
    def load(
        cls, weights: Path | None, device: torch.device, tom: bool = True, amp: bool | None = None
    ) -> Networks:
        """From a weights folder; None: the weights that come with vtcli."""
        gmm_file = stage_file(weights, "gmm")
        hashes = {"gmm": sha256(gmm_file)}
        network, last = None, gmm_file
        if tom:
            last = stage_file(weights, "tom")
            hashes["tom"] = sha256(last)
            network = load_tom(last)
        return cls(load_gmm(gmm_file), network, device, hashes, amp, _trained_size(last))

    def check_size(self, store: PreparedStore) -> None:
        """UsageProblem where a store's pictures are of another size than the networks': people in them would melt."""
        if store.size != self.size:
            (tall, wide), (height, width) = store.size, self.size
            raise UsageProblem(
                f"{store.root}: holds pictures of {tall}x{wide}, and these networks know {height}x{width}; "
                f"run `vtcli prepare` with --size {height}x{width}"
            )

    @torch.inference_mode()
    def warp(self, people: People, cloth: Tensor, mask: Tensor, front: Tensor, keep: str) -> Warp:
        """`cloth` (B, 3, 256, 192) in [-1, 1] as the shop shows it, its `mask` and `front` (B, 1, 256, 192) in [0, 1]. With
        `keep` "head" the GMM sees the neckline that is worn, as CP-VTON's does; with "outside" it does not."""
        neckline = keep == "head"
        given = (people.image, people.parse_for(self.gmm), people.keypoints, cloth, mask, front)
        return warp_garments(self.gmm, *given, neckline)

    @torch.inference_mode()
    def compose(self, people: People, warp: Warp, keep: str, parse: bool = True) -> Composition:
        """What the TOM makes of them; `parse=False` leaves the second decoder out where `keep` does not need it."""
        if self.tom is None:
            raise RuntimeError("loaded for warps only")
        given = (people.image, people.parse_for(self.tom), people.keypoints)
        person = represent(*given, keep, people.size)
        with runtime.autocast(self.device, self.amp):
            given = (channels_last(person.channels), warp.cloth, warp.mask)
            out = self.tom(*given, parse=parse or keep == "outside", warp_parse=warp.expected_parse)
        expected = None
        if out.expected_parse is not None:
            expected = _enlarged(out.expected_parse, people.size).softmax(1)
            if keep == "outside" and warp.expected_parse is not None:
                # Both stages say what is expected. The GMM knows cuts better, the TOM where things lie in front.
                expected = (expected + _enlarged(warp.expected_parse, people.size)) / 2
                if warp.sleeve is not None:
                    expected = hold_to_sleeves(expected, people.keypoints, warp.sleeve)
            if keep == "outside":
                expected = opaque(expected, people.parse, people.keypoints, warp.mask)
        if keep == "outside" and expected is not None and self.tom.relights:
            out = out.holding(held_garment(warp.mask, expected), warp.cloth, warp.mask)
        if keep == "head" and warp.expected_parse is not None and self.tom.relights:
            head = has_label(people.parse, L.HEAD_LABELS)
            arms = _enlarged(warp.expected_parse, people.size)
            out = replace(out, rendered_person=sharpened(out.rendered_person, arms, head))
        tryon = out.tryon(warp.cloth)
        return Composition(out.rendered_person, out.composition_mask, expected, tryon, person.region)


def _trained_size(weights: Path) -> tuple[int, int]:
    """(height, width) as a weights file's header says; VITON's where it says nothing."""
    size = read_metadata(weights).get("size")
    if isinstance(size, list) and len(size) == 2 and all(isinstance(side, int) for side in size):
        return size[0], size[1]
    return SIZE


def _enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
