"""Pairs of a store as training batches: read, mirrored, moved a little, re-coloured, set on other backgrounds."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import hand_region, has_label, outside_region
from vtcli.core.data.hole_filling import whole_garments
from vtcli.core.data.labelled_photos import LabelledPhotos
from vtcli.core.data.pixels import shares, signed
from vtcli.core.data.results import ResultsInfo, image_file, parse_file
from vtcli.core.data.store import PreparedStore
from vtcli.core.data.triplets import TripletChunks
from vtcli.core.garments.masks import find_masks
from vtcli.core.system.errors import VtcliError
from vtcli.core.training import augment, backgrounds
from vtcli.core.training.options import TrainOptions
from vtcli.core.training.stage import Batch, Order, sample_rng, share_of_batch

NONE = slice(0, 0)
"""No sample of a batch."""
TRIPLET_UNPAIRED = 0.75
"""Share of the triplets in which the person is given in garment A; set by hand."""


@dataclass
class Pairs:
    """A batch on the device as the networks take it.

    `image` (B, 3, H, W) float in [-1, 1] and `parse` (B, H, W) uint8: the person in the garment, which is what the
    networks should make. `given_image` and `given_parse`: the person as the networks see them, in this garment or in
    another. `cloth` (B, 3, H, W); `cloth_mask` (B, 1, H, W) in [0, 1], repaired, and `front_mask` the same without the
    inside of the back collar; `keypoints` (B, 18, 3) in pixels. `correspondence` (B, h, w, 2): for the person's pixels
    at a fraction of the size their place (x, y) in `cloth`, in its pixels; NaN where unknown, as in all real photos.
    """

    image: Tensor
    parse: Tensor
    given_image: Tensor
    given_parse: Tensor
    cloth: Tensor
    cloth_mask: Tensor
    front_mask: Tensor
    keypoints: Tensor
    correspondence: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Pairs:
        """From uint8 NHWC batches, as the store has them, or float ones, as they come from the device's own memory. A batch
        may leave out the person as given, who then is the one in the garment, and the correspondence, which then is
        unknown."""
        image, parse = _picture(batch["image"]), batch["parse"]
        given = _picture(batch["given_image"]) if "given_image" in batch else image
        unknown = torch.full((len(parse), parse.shape[1] // 2, parse.shape[2] // 2, 2), torch.nan)
        return cls(
            image, parse, given, batch.get("given_parse", parse), _picture(batch["cloth"]), _mask(batch["cloth_mask"]),
            _mask(batch["front_mask"]), batch["keypoints"],
            batch["correspondence"] if "correspondence" in batch else unknown.to(parse.device),
        )  # fmt: skip

    def __getitem__(self, rows: slice | Tensor) -> Pairs:
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))

    def and_unpaired(self, batch: Batch) -> Pairs:
        """These pairs, and after them the people of `batch` who try on another garment than their own."""
        people = replace(
            self[batch["unpaired"]], cloth=_picture(batch["other_cloth"]),
            cloth_mask=_mask(batch["other_cloth_mask"]), front_mask=_mask(batch["other_front_mask"]),
        )  # fmt: skip
        names = [field.name for field in fields(self)]
        return Pairs(*(torch.cat([getattr(self, name), getattr(people, name)]) for name in names))


def _picture(given: Tensor) -> Tensor:
    return given if given.is_floating_point() else signed(given)


def _mask(given: Tensor) -> Tensor:
    return given if given.is_floating_point() else shares(given)


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
    """The training rows of a store. A share of the samples may come from a second store or from synthetic triplets; and
    people may be given as they look in another garment."""

    def __init__(self, options: TrainOptions, store: PreparedStore, rows: np.ndarray) -> None:
        self.store, self.rows = store, rows
        self.extra = PreparedStore.open(options.extra, "train") if options.extra is not None else None
        if self.extra is not None and self.extra.size != store.size:
            raise VtcliError(f"{self.extra.root}: pictures of another size than those of {store.root}")
        self.extra_share = options.extra_share
        self.triplets = TripletChunks(options.triplets / "train") if options.triplets is not None else None
        if self.triplets is not None and self.triplets.size != store.size:
            raise VtcliError(f"{options.triplets}: pictures of another size than those of {store.root}")
        self.triplet_share = options.triplet_share
        self.others = [OtherGarments(folder, store, rows) for folder in options.others]
        self.other_share = options.other_share
        self._whole: dict[bytes, np.ndarray | None] = {}

    def people_at(self, order: np.ndarray) -> dict[str, np.ndarray]:
        """Photo, parse and joints of the store's own samples at `order`."""
        return self._filled(_read(self.store, self.rows[order], _PERSON))

    def read_real(self, order: np.ndarray) -> dict[str, np.ndarray]:
        """What `Pairs` takes of the store's own samples at `order`, in their own garments."""
        arrays = self._filled(_read(self.store, self.rows[order], _PERSON | _GARMENT))
        height, width = arrays["parse"].shape[1:]
        arrays["correspondence"] = np.full((len(order), height // 2, width // 2, 2), np.nan, np.float16)
        return arrays

    def people(self, rngs: list[np.random.Generator], order: np.ndarray) -> dict[str, np.ndarray]:
        """Photo, parse and joints of the samples at `order`, without garments; see `read`."""
        arrays = _read(self.store, self.rows[order], _PERSON)
        self._mix_in_extra(rngs, arrays, _PERSON)
        return self._filled(arrays)

    def read(self, rngs: list[np.random.Generator], order: np.ndarray) -> dict[str, np.ndarray]:
        """What `Pairs` takes of the samples at `order`; the parse's garments are made whole. `rngs` has a
        generator for each sample."""
        arrays = _read(self.store, self.rows[order], _PERSON | _GARMENT)
        own = self._mix_in_extra(rngs, arrays, _PERSON | _GARMENT)
        self._filled(arrays)
        if not self.others and self.triplets is None:
            return arrays
        height, width = arrays["parse"].shape[1:]
        arrays["given_image"], arrays["given_parse"] = arrays["image"].copy(), arrays["parse"].copy()
        arrays["correspondence"] = np.full((len(order), height // 2, width // 2, 2), np.nan, np.float32)
        for i, rng in enumerate(rngs):
            if self.triplets is not None and rng.random() < self.triplet_share:
                self._put_triplet(rng, arrays, i)
            elif own[i] and self.others and rng.random() < self.other_share:
                other = self.others[int(rng.integers(len(self.others)))].read(int(order[i]))
                if other is not None:
                    arrays["given_image"][i], arrays["given_parse"][i] = other
        return arrays

    def _mix_in_extra(
        self, rngs: list[np.random.Generator], arrays: dict[str, np.ndarray], names: dict[str, str]
    ) -> np.ndarray:
        """Replace some samples by random ones of the second store; which are still the first one's, (n,) bool."""
        own = np.ones(len(rngs), bool)
        if self.extra is not None:
            for i, rng in enumerate(rngs):
                if rng.random() < self.extra_share:
                    own[i] = False
                    for name, array in _read(
                        self.extra, rng.integers(len(self.extra), size=1), names
                    ).items():
                        arrays[name][i] = array[0]
        return own

    def _put_triplet(self, rng: np.random.Generator, arrays: dict[str, np.ndarray], i: int) -> None:
        """Sample `i` becomes a random triplet: the person in B, given as in A three times out of four."""
        assert self.triplets is not None
        values = triplet_sample(self.triplets.read(int(rng.integers(len(self.triplets)))))
        if rng.random() >= TRIPLET_UNPAIRED:
            values |= {"given_image": values["image"], "given_parse": values["parse"]}
        for name, value in values.items():
            arrays[name][i] = value

    def _filled(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same arrays, the parse's garments made whole. What becomes of a parse is remembered: to find it takes longer
        than all else that is done with a sample."""
        arrays["parse"] = arrays["parse"].copy()
        for i, parse in enumerate(arrays["parse"]):
            key = blake2b(parse.tobytes(), digest_size=16).digest()
            if key not in self._whole:
                image, labels, joints = (
                    torch.from_numpy(arrays[name][i : i + 1]) for name in ("image", "parse", "keypoints")
                )
                whole = whole_garments(signed(image), labels, joints)
                self._whole[key] = None if whole is labels else whole[0].numpy()
            changed = self._whole[key]
            if changed is not None:
                arrays["parse"][i] = changed
        return arrays

    def read_garments(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """`cloth`, `cloth_mask` and `front_mask` at `rows` of the store."""
        return _read(self.store, rows, _GARMENT)


def below_top(parse: np.ndarray) -> np.ndarray:
    """The parse (H, W) uint8 of a triplet's person in B: what shows of a dress under the top is a skirt."""
    return np.where(parse == L.DRESS, L.SKIRT, parse).astype(np.uint8)


def triplet_sample(triplet: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What `Pairs` takes of a triplet: the person in B, given as in A."""
    # What stays of a dress below a new top is a skirt; labels of tops are the new garment's alone.
    parse = below_top(triplet["parse_b"])
    masks = find_masks(np.ascontiguousarray(triplet["cloth"]), triplet["cloth_mask"] > 127)
    return {
        "image": triplet["person_b"], "parse": parse, "given_image": triplet["person_a"],
        "given_parse": triplet["parse_a"], "cloth": triplet["cloth"], "cloth_mask": np.uint8(255) * masks.whole,
        "front_mask": np.uint8(255) * masks.front, "keypoints": triplet["keypoints"],
        "correspondence": triplet["correspondence"],
    }  # fmt: skip


class OtherGarments:
    """People of a training split as they look in another garment: a results folder of unpaired try-ons with their parse
    maps, `vtcli tryon --data … --split train --pairs shuffled --keep outside --save-parse -o FOLDER`."""

    def __init__(self, folder: Path, store: PreparedStore, rows: np.ndarray) -> None:
        info = ResultsInfo.load(folder)
        if info.keep != "outside" or info.kind != "tryon" or info.size != store.size:
            raise VtcliError(f"{folder}: not try-ons of this store's size with --keep outside")
        names = {pair.person: pair.name for pair in info.pairs}
        self.store, self.rows = store, rows
        self._files = [
            (image_file(folder, name), parse_file(folder, name)) if name is not None else None
            for name in (names.get(store.manifest.entries[row].name) for row in rows)
        ]
        if not any(files is not None and files[1].is_file() for files in self._files):
            raise VtcliError(f"{folder}: no parse maps of this store's people; make it with --save-parse")

    def read(self, place: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Picture (H, W, 3) and parse (H, W), uint8, of the person at `place` of the rows, or None without one. Head,
        hands and what lies outside of the region are labelled as in the person's own parse."""
        files = self._files[place]
        if files is None or not all(file.is_file() for file in files):
            return None
        image, expected = (np.asarray(Image.open(file)) for file in files)
        row = self.rows[place : place + 1]
        own, joints = (torch.from_numpy(self.store.read(name, row)) for name in ("parse", "keypoints"))
        stays = has_label(own, L.HEAD_LABELS) | hand_region(own, joints) | ~outside_region(own, joints)
        return image, np.where(stays[0].numpy(), own[0].numpy(), expected).astype(np.uint8)


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
    def _move_garment(
        rng: np.random.Generator, arrays: dict[str, np.ndarray], i: int, flip: bool
    ) -> np.ndarray:
        """Move garment `i` a little, and its masks with it, by the matrix (2, 3) that is returned."""
        height, width = size = arrays["cloth_mask"][i].shape
        shift = augment.affine(rng, (width / 2, height / 2), height, size, *augment.GARMENT_MOVE)
        if flip:
            shift = augment.mirror(shift, width)
        arrays["cloth"][i] = augment.warp_image(arrays["cloth"][i], shift, size, border=255)
        for name in ("cloth_mask", "front_mask"):
            arrays[name][i] = augment.warp_labels(arrays[name][i], shift, size)
        return shift

    def _augment(
        self, rng: np.random.Generator, arrays: dict[str, np.ndarray], i: int, changeable: bool
    ) -> None:
        """Augment sample `i` in place; another background, at random, only where it is `changeable`."""
        image, parse, keypoints = (arrays[name][i] for name in ("image", "parse", "keypoints"))
        height, width = size = parse.shape
        flip = rng.random() < 0.5
        move = augment.affine(rng, (width / 2, height / 2), height, size, *augment.PERSON_MOVE)
        shift = self._move_garment(rng, arrays, i, flip)
        person = None
        if changeable and rng.random() < self.backgrounds:
            person = backgrounds.person_mask(image, parse, keypoints).astype(np.uint8)
        if flip:
            move = augment.mirror(move, width)
        keypoints = augment.warp_keypoints(keypoints, move, size)
        arrays["keypoints"][i] = augment.mirror_keypoints(keypoints) if flip else keypoints
        for name in ("parse", "given_parse"):
            if name in arrays:
                labels = augment.warp_labels(arrays[name][i], move, size)
                arrays[name][i] = L.FLIP_LABELS[labels] if flip else labels
        if "correspondence" in arrays:
            arrays["correspondence"][i] = augment.warp_correspondence(
                arrays["correspondence"][i], move, shift
            )
        photos = [name for name in ("image", "given_image") if name in arrays]
        for name in photos:
            arrays[name][i] = augment.warp_image(arrays[name][i], move, size)
        if rng.random() < 0.5:  # one change of colour for all, so that the garment stays the same garment
            names = [*photos, "cloth"]
            changed = augment.colour(rng, np.concatenate([arrays[name][i] for name in names]), augment.COLOUR)
            for name, picture in zip(names, np.split(changed, len(names)), strict=True):
                arrays[name][i] = picture
        if person is not None:
            person = augment.warp_labels(person, move, size)
            behind = backgrounds.background(rng, size, self.strips)
            for name in photos:
                arrays[name][i] = backgrounds.set_before(arrays[name][i], person > 0, behind)
