"""Pairs of a store as training batches: read, mirrored, moved a little, re-coloured, set on other backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.hole_filling import fill_holes
from vtcli.core.data.labelled_photos import LabelledPhotos
from vtcli.core.data.pixels import signed
from vtcli.core.data.store import FIELDS, PreparedStore
from vtcli.core.garments.mask_repair import Garments
from vtcli.core.system.errors import VtcliError
from vtcli.core.training import augment, backgrounds
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.stage import Batch, Order, sample_rng, share_of_batch

NONE = slice(0, 0)
"""No sample of a batch."""


@dataclass
class Pairs:
    """A batch on the device as the networks take it.

    `image`, `cloth` (B, 3, H, W) float in [-1, 1]; `cloth_mask` (B, 1, H, W) in [0, 1]; `parse` (B, H, W) uint8;
    `keypoints` (B, 18, 3) in pixels.
    """

    image: Tensor
    cloth: Tensor
    cloth_mask: Tensor
    parse: Tensor
    keypoints: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Pairs:
        """From uint8 NHWC batches, as the store has them."""
        return cls(
            signed(batch["image"]), signed(batch["cloth"]), batch["cloth_mask"][:, None].float() / 255.0,
            batch["parse"], batch["keypoints"],
        )  # fmt: skip

    def __getitem__(self, rows: slice | Tensor) -> Pairs:
        return Pairs(
            self.image[rows], self.cloth[rows], self.cloth_mask[rows], self.parse[rows], self.keypoints[rows]
        )

    def and_unpaired(self, batch: Batch) -> Pairs:
        """These pairs, and after them the people of `batch` who try on another garment than their own."""
        people = self[batch["unpaired"]]
        cloth, mask = signed(batch["other_cloth"]), batch["other_cloth_mask"][:, None].float() / 255.0
        return Pairs(
            torch.cat([self.image, people.image]),
            torch.cat([self.cloth, cloth]),
            torch.cat([self.cloth_mask, mask]),
            torch.cat([self.parse, people.parse]),
            torch.cat([self.keypoints, people.keypoints]),
        )


def read_pairs(store: PreparedStore, people: np.ndarray, cloths: np.ndarray | None = None) -> Batch:
    """The store's fields at `people` (garments from `cloths`, if another order), as CPU tensors; garments' masks are
    mended."""
    fields = _read(Garments(store), people, people if cloths is None else cloths)
    return {name: torch.from_numpy(array) for name, array in fields.items()}


def _read(garments: Garments, people: np.ndarray, cloths: np.ndarray) -> dict[str, np.ndarray]:
    """Every field of a store, of `people` and of their garments, `cloths`."""
    cloth, mask = garments.read(cloths)
    image, parse, keypoints = (garments.store.read(name, people) for name in ("image", "parse", "keypoints"))
    return {"image": image, "cloth": cloth, "cloth_mask": mask, "parse": parse, "keypoints": keypoints}


class Source:
    """The training rows of a store, with a share of the samples taken from a second one."""

    def __init__(self, options: TrainOptions, store: PreparedStore, rows: np.ndarray) -> None:
        self.garments, self.rows = Garments(store), rows
        extra = PreparedStore.open(options.extra, "train") if options.extra is not None else None
        if extra is not None and extra.size != store.size:
            raise VtcliError(f"{extra.root}: pictures of another size than those of {store.root}")
        self.extra = Garments(extra) if extra is not None else None
        self.share = options.extra_share

    def read(self, rngs: list[np.random.Generator], order: np.ndarray) -> dict[str, np.ndarray]:
        """Every field of the samples at `order`, some of them replaced by random ones of the second store; garments'
        masks are mended, holes in the parse's garments closed.

        `rngs` has a generator for each sample."""
        fields = _read(self.garments, self.rows[order], self.rows[order])
        if self.extra is not None:
            for i, rng in enumerate(rngs):
                if rng.random() >= self.share:
                    continue
                row = rng.integers(len(self.extra.store), size=1)
                for name, array in _read(self.extra, row, row).items():
                    fields[name][i] = array[0]
        parse, keypoints = (torch.from_numpy(fields[name]) for name in ("parse", "keypoints"))
        fields["parse"] = fill_holes(parse, keypoints).numpy()
        return fields


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
        with the set probability. For those in `unpaired` there is another garment as well: their places in this
        share are `unpaired`, the garments `other_cloth` and `other_cloth_mask`."""
        rngs = [sample_rng(self.options.seed, step, int(position)) for position in self.positions]
        fields = self.source.read(rngs, self.order.rows(step)[self.positions])
        may_change = self._among(changeable)
        for i, rng in enumerate(rngs):
            self._augment(rng, fields, i, bool(may_change[i]))
        if unpaired != NONE:
            places = np.flatnonzero(self._among(unpaired))
            fields |= self._others([rngs[i] for i in places])
            fields["unpaired"] = places
        return {name: torch.from_numpy(array) for name, array in fields.items()}

    def _among(self, positions: slice) -> np.ndarray:
        """Which samples of this share lie at `positions` of the global batch."""
        chosen = np.zeros(self.order.batch_size, bool)
        chosen[positions] = True
        return chosen[self.positions]

    def _others(self, rngs: list[np.random.Generator]) -> dict[str, np.ndarray]:
        """A random garment for each of `rngs`."""
        rows = self.source.rows
        chosen = rows[np.array([rng.integers(len(rows)) for rng in rngs], np.int64)]
        cloths, masks = self.source.garments.read(chosen)
        for i, rng in enumerate(rngs):
            cloths[i], masks[i] = self._moved_garment(rng, cloths[i], masks[i], rng.random() < 0.5)
        return {"other_cloth": cloths, "other_cloth_mask": masks}

    @staticmethod
    def _moved_garment(
        rng: np.random.Generator, cloth: np.ndarray, mask: np.ndarray, flip: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        height, width = size = mask.shape
        shift = augment.affine(rng, (width / 2, height / 2), height, size, (0.92, 1.06), 0.03, 2.0)
        if flip:
            shift = augment.mirror(shift, width)
        return augment.warp_image(cloth, shift, size, border=255), augment.warp_labels(mask, shift, size)

    def _augment(
        self, rng: np.random.Generator, fields: dict[str, np.ndarray], i: int, changeable: bool
    ) -> None:
        image, cloth, mask = fields["image"][i], fields["cloth"][i], fields["cloth_mask"][i]
        parse, keypoints = fields["parse"][i], fields["keypoints"][i]
        height, width = size = parse.shape
        flip = rng.random() < 0.5
        move = augment.affine(rng, (width / 2, height / 2), height, size, (0.93, 1.1), 0.04, 3.0)
        cloth, mask = self._moved_garment(rng, cloth, mask, flip)
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
            both = augment.colour(rng, np.concatenate([image, cloth]), 0.6)
            image, cloth = both[:height], both[height:]
        if person is not None:
            person = augment.warp_labels(person, move, size)
            image = backgrounds.replace_background(rng, image, person > 0, self.strips)
        for name, value in zip(FIELDS, (image, cloth, mask, parse, keypoints), strict=True):
            fields[name][i] = value
