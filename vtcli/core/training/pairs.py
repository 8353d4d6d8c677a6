"""Pairs of a store as training batches: read, mirrored, moved a little, re-coloured, set on other backgrounds."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.hole_filling import fill_holes
from vtcli.core.data.labelled_photos import LabelledPhotos
from vtcli.core.data.pixels import shares, signed
from vtcli.core.data.store import PreparedStore
from vtcli.core.system.errors import VtcliError
from vtcli.core.training import augment, backgrounds
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.stage import Batch, Order, sample_rng, share_of_batch

NONE = slice(0, 0)
"""No sample of a batch."""


@dataclass
class Pairs:
    """A batch on the device as the networks take it.

    `image`, `cloth` (B, 3, H, W) float in [-1, 1]; `cloth_mask` (B, 1, H, W) in [0, 1], repaired, and `front_mask`
    the same without the inside of the back collar; `parse` (B, H, W) uint8; `keypoints` (B, 18, 3) in pixels.
    """

    image: Tensor
    cloth: Tensor
    cloth_mask: Tensor
    front_mask: Tensor
    parse: Tensor
    keypoints: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Pairs:
        """From uint8 NHWC batches, as the store has them."""
        return cls(
            signed(batch["image"]), signed(batch["cloth"]), shares(batch["cloth_mask"]),
            shares(batch["front_mask"]), batch["parse"], batch["keypoints"],
        )  # fmt: skip

    def __getitem__(self, rows: slice | Tensor) -> Pairs:
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))

    def and_unpaired(self, batch: Batch) -> Pairs:
        """These pairs, and after them the people of `batch` who try on another garment than their own."""
        people = self[batch["unpaired"]]
        return Pairs(
            torch.cat([self.image, people.image]),
            torch.cat([self.cloth, signed(batch["other_cloth"])]),
            torch.cat([self.cloth_mask, shares(batch["other_cloth_mask"])]),
            torch.cat([self.front_mask, shares(batch["other_front_mask"])]),
            torch.cat([self.parse, people.parse]),
            torch.cat([self.keypoints, people.keypoints]),
        )


_PERSON = {"image": "image", "parse": "parse", "keypoints": "keypoints"}
_GARMENT = {"cloth": "cloth", "cloth_mask": "garment_mask", "front_mask": "front_mask"}
"""What `Pairs` takes → the store's field. The networks' garment mask is the repaired one."""


def read_pairs(store: PreparedStore, people: np.ndarray, cloths: np.ndarray | None = None) -> Batch:
    """What `Pairs` takes of the store's `people` (garments from `cloths`, if another order), as CPU tensors."""
    cloths = people if cloths is None else cloths
    arrays = {**_read(store, people, _PERSON), **_read(store, cloths, _GARMENT)}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _read(store: PreparedStore, rows: np.ndarray, names: dict[str, str]) -> dict[str, np.ndarray]:
    return {name: store.read(field, rows) for name, field in names.items()}


class Source:
    """The training rows of a store, with a share of the samples taken from a second one."""

    def __init__(self, options: TrainOptions, store: PreparedStore, rows: np.ndarray) -> None:
        self.store, self.rows = store, rows
        self.extra = PreparedStore.open(options.extra, "train") if options.extra is not None else None
        if self.extra is not None and self.extra.size != store.size:
            raise VtcliError(f"{self.extra.root}: pictures of another size than those of {store.root}")
        self.share = options.extra_share

    def read(
        self, rngs: list[np.random.Generator], order: np.ndarray, garments: bool = True
    ) -> dict[str, np.ndarray]:
        """What `Pairs` takes of the samples at `order`, some of them replaced by random ones of the second store; holes
        in the parse's garments are filled. Without `garments` the people alone. `rngs` has a generator for each."""
        names = _PERSON | _GARMENT if garments else _PERSON
        arrays = _read(self.store, self.rows[order], names)
        if self.extra is not None:
            for i, rng in enumerate(rngs):
                if rng.random() >= self.share:
                    continue
                row = rng.integers(len(self.extra), size=1)
                for name, array in _read(self.extra, row, names).items():
                    arrays[name][i] = array[0]
        parse, keypoints = (torch.from_numpy(arrays[name]) for name in ("parse", "keypoints"))
        arrays["parse"] = fill_holes(parse, keypoints).numpy()
        return arrays

    def read_garments(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """`cloth`, `cloth_mask` and `front_mask` at `rows` of the store."""
        return _read(self.store, rows, _GARMENT)


class PairBatches:
    """This rank's share of augmented training batches; `parts` as in `share_of_batch`."""

    def __init__(
        self,
        options: TrainOptions,
        store: PreparedStore,
        rows: np.ndarray,
        batch_size: int,
        backgrounds: float,
        parts: int = 1,
    ) -> None:
        self.options = options
        self.source = Source(options, store, rows)
        self.order = Order(len(rows), batch_size, options.seed)
        self.positions = share_of_batch(batch_size, parts)
        self.backgrounds = backgrounds
        sets = [LabelledPhotos.read(folder) for folder in options.photos] if backgrounds > 0 else []
        self.strips = [strip for photos in sets for strip in photos.backgrounds()]

    def batch(self, step: int, changeable: slice = NONE, unpaired: slice = NONE) -> Batch:
        """Samples of batch `step`; those at positions in `changeable` of the global batch get another background
        with the set probability. For those in `unpaired` there is another garment as well: their places in this share
        are `unpaired`, the garments `other_cloth`, `other_cloth_mask` and `other_front_mask`."""
        rngs = [sample_rng(self.options.seed, step, int(position)) for position in self.positions]
        arrays = self.source.read(rngs, self.order.rows(step)[self.positions])
        may_change = self._among(changeable)
        for i, rng in enumerate(rngs):
            self._augment(rng, arrays, i, bool(may_change[i]))
        if unpaired != NONE:
            places = np.flatnonzero(self._among(unpaired))
            arrays |= self._others([rngs[i] for i in places])
            arrays["unpaired"] = places
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _among(self, positions: slice) -> np.ndarray:
        """Which samples of this share lie at `positions` of the global batch."""
        chosen = np.zeros(self.order.batch_size, bool)
        chosen[positions] = True
        return chosen[self.positions]

    def _others(self, rngs: list[np.random.Generator]) -> dict[str, np.ndarray]:
        """A random garment for each of `rngs`."""
        rows = self.source.rows
        chosen = rows[np.array([rng.integers(len(rows)) for rng in rngs], np.int64)]
        garments = self.source.read_garments(chosen)
        for i, rng in enumerate(rngs):
            self._move_garment(rng, garments, i, rng.random() < 0.5)
        return {f"other_{name}": array for name, array in garments.items()}

    @staticmethod
    def _move_garment(rng: np.random.Generator, arrays: dict[str, np.ndarray], i: int, flip: bool) -> None:
        """Move garment `i` a little, and its masks with it."""
        height, width = size = arrays["cloth_mask"][i].shape
        shift = augment.affine(rng, (width / 2, height / 2), height, size, (0.92, 1.06), 0.03, 2.0)
        if flip:
            shift = augment.mirror(shift, width)
        arrays["cloth"][i] = augment.warp_image(arrays["cloth"][i], shift, size, border=255)
        for name in ("cloth_mask", "front_mask"):
            arrays[name][i] = augment.warp_labels(arrays[name][i], shift, size)

    def _augment(
        self, rng: np.random.Generator, arrays: dict[str, np.ndarray], i: int, changeable: bool
    ) -> None:
        """Augment sample `i` in place; another background, at random, only where it is `changeable`."""
        image, parse, keypoints = (arrays[name][i] for name in ("image", "parse", "keypoints"))
        height, width = size = parse.shape
        flip = rng.random() < 0.5
        move = augment.affine(rng, (width / 2, height / 2), height, size, (0.93, 1.1), 0.04, 3.0)
        self._move_garment(rng, arrays, i, flip)
        person = None
        if changeable and rng.random() < self.backgrounds:
            person = backgrounds.person_mask(image, parse, keypoints).astype(np.uint8)
        if flip:
            move = augment.mirror(move, width)
        image = augment.warp_image(image, move, size)
        parse = augment.warp_labels(parse, move, size)
        keypoints = augment.warp_keypoints(keypoints, move, size)
        if flip:
            parse, keypoints = L.FLIP_LABELS[parse].astype(np.uint8), augment.mirror_keypoints(keypoints)
        if rng.random() < 0.5:  # one change of colour for both, so that the garment stays the same garment
            both = augment.colour(rng, np.concatenate([image, arrays["cloth"][i]]), 0.6)
            image, arrays["cloth"][i] = both[:height], both[height:]
        if person is not None:
            person = augment.warp_labels(person, move, size)
            image = backgrounds.replace_background(rng, image, person > 0, self.strips)
        arrays["image"][i], arrays["parse"][i], arrays["keypoints"][i] = image, parse, keypoints
