"""Training pairs that live in the device's memory, `--resident`: batches are drawn and augmented there.

Beside a GPU the processors cannot make batches as fast as a small network takes them. The 6,324 pairs of VITON are 2 GB,
each folder of people in other garments 1.2 GB more, 10,000 triplets 6 GB.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vtcli.core.data.pixels import shares, signed
from vtcli.core.data.triplets import TripletChunks
from vtcli.core.system.workers import default_jobs, ordered_map
from vtcli.core.training import backgrounds
from vtcli.core.training import device_augment as augment
from vtcli.core.training.augment import GARMENT_MOVE, PERSON_MOVE
from vtcli.core.training.pairs import TRIPLET_UNPAIRED, OtherGarments, PairBatches, Source, triplet_sample
from vtcli.core.training.stage import Batch

BACKGROUNDS, FOR_EACH = 2000, 4
"""Backgrounds that are made at the start, at most: so many for each person."""
CHUNK = 64
"""Samples that are read at once."""
More = Callable[[dict[str, np.ndarray]], np.ndarray]
GARMENT = ("cloth", "cloth_mask", "front_mask")


class ResidentPairs:
    """The samples of `pairs` on `device`: the real ones, the same people in other garments, triplets, backgrounds.

    Batches have what `Pairs` takes, as float tensors with channels first. Samples are drawn with replacement. All that is
    random comes from torch's own generators.
    """

    def __init__(
        self,
        pairs: PairBatches,
        device: torch.device,
        more: More | None,
    ) -> None:
        """`more`: what the stage wants to know of samples, computed once from chunks of what `Pairs` takes: (n, …)."""
        self.options, self.device, source = pairs.options, device, pairs.source
        self.positions = torch.from_numpy(pairs.positions).to(device)
        places = [np.arange(i, min(i + CHUNK, len(source.rows))) for i in range(0, len(source.rows), CHUNK)]
        self.real = self._put(_in_order(lambda place: _with(source.read_real(place), more), places))
        self.others = [self._put(_in_order(partial(_others, other), places)) for other in source.others]
        self.triplets = self._triplets(source, more)
        self.behind = self._backgrounds(pairs, places) if pairs.backgrounds > 0 else None
        self.background_share = pairs.backgrounds

    def batch(self, changeable: Tensor | None = None, unpaired: slice | None = None) -> Batch:
        """One batch, of as many samples as the stage takes; those of `changeable` (n,) bool may get another background.
        For those in `unpaired` there is another garment as well, as in `PairBatches.batch`."""
        count, device = len(self.positions), self.device
        rows = torch.randint(0, len(self.real["parse"]), (count,), device=device)
        sample = {name: values[rows] for name, values in self.real.items()}
        sample |= {"given_image": sample["image"], "given_parse": sample["parse"]}
        chosen = torch.randint(0, max(1, len(self.others)), (count,), device=device)
        given_otherwise = torch.rand(count, device=device) < self.options.other_share
        for number, other in enumerate(self.others):
            here = given_otherwise & (chosen == number) & other["there"][rows]
            for name in ("given_image", "given_parse"):
                sample[name] = _where(here, other[name][rows], sample[name])
        alpha = self.behind["alpha"][rows] if self.behind is not None else None
        if self.triplets is not None:
            is_triplet = torch.rand(count, device=device) < self.options.triplet_share
            given_in_a = torch.rand(count, device=device) < TRIPLET_UNPAIRED
            drawn = torch.randint(0, len(self.triplets["parse"]), (count,), device=device)
            triplet = {name: values[drawn] for name, values in self.triplets.items()}
            for name in ("image", "parse"):
                triplet[f"given_{name}"] = _where(given_in_a, triplet[f"given_{name}"], triplet[name])
            sample = {name: _where(is_triplet, triplet[name], values) for name, values in sample.items()}
            changeable = changeable & ~is_triplet if changeable is not None else None
        batch = self._augmented(sample, alpha, changeable)
        if unpaired is not None:
            places = torch.arange(unpaired.start, unpaired.stop, device=device)
            batch |= self._other_garments(len(places)) | {"unpaired": places}
        return batch

    def _augmented(self, sample: dict[str, Tensor], alpha: Tensor | None, changeable: Tensor | None) -> Batch:
        count, size = len(sample["parse"]), (int(sample["parse"].shape[1]), int(sample["parse"].shape[2]))
        flip = torch.rand(count, device=self.device) < 0.5
        move = augment.affine(flip, size, *PERSON_MOVE)
        grid = augment.grid_of(move, size)
        garment, shift = _moved_garment(sample, flip, size)
        change = augment.colour_change(count, self.device)
        batch = {**garment, "cloth": change(garment["cloth"])}
        person = None
        if alpha is not None and changeable is not None:
            person = augment.moved(shares(alpha), grid, 0.0)
            behind = self._behind(count)
            replaced = changeable & (torch.rand(count, device=self.device) < self.background_share)
        for name in ("image", "given_image"):
            batch[name] = change(augment.moved(signed(sample[name]), grid))
            if person is not None:
                on_other = behind + person * (batch[name] - behind)
                batch[name] = _where(replaced, on_other, batch[name])
        parses = augment.moved_labels(torch.stack([sample["parse"], sample["given_parse"]], 1), grid, flip)
        batch["parse"], batch["given_parse"] = parses.unbind(1)
        batch["keypoints"] = augment.moved_keypoints(sample["keypoints"], move, flip, size)
        batch["correspondence"] = augment.moved_correspondence(
            sample["correspondence"].float(), grid, shift, size
        )
        if "more" in sample:
            # what stages want to know is by side of the body
            batch["more"] = _where(flip, sample["more"].flip(1), sample["more"])
        return batch

    def _behind(self, count: int) -> Tensor:
        assert self.behind is not None
        drawn = torch.randint(0, len(self.behind["pictures"]), (count,), device=self.device)
        return signed(self.behind["pictures"][drawn])

    def _other_garments(self, count: int) -> Batch:
        rows = torch.randint(0, len(self.real["parse"]), (count,), device=self.device)
        size = (int(self.real["parse"].shape[1]), int(self.real["parse"].shape[2]))
        flip = torch.rand(count, device=self.device) < 0.5
        garment, _ = _moved_garment({name: self.real[name][rows] for name in GARMENT}, flip, size)
        return {f"other_{name}": values for name, values in garment.items()}

    def _put(self, chunks: list[dict[str, np.ndarray]]) -> dict[str, Tensor]:
        return {
            name: torch.cat([torch.from_numpy(chunk[name]).to(self.device) for chunk in chunks]) for name in chunks[0]
        }  # fmt: skip

    def _triplets(self, source: Source, more: More | None) -> dict[str, Tensor] | None:
        if source.triplets is None:
            return None
        paths = [chunk.path for chunk in source.triplets.chunks]
        # Garments' masks and collars take most of the time, and would not let threads run side by side.
        read = ordered_map(partial(_triplet_chunk, more), paths, default_jobs(), 1)
        return self._put(list(read))

    def _backgrounds(self, pairs: PairBatches, places: list[np.ndarray]) -> dict[str, Tensor]:
        size = pairs.source.store.size
        rng = np.random.default_rng([self.options.seed, 4])
        count = min(BACKGROUNDS, FOR_EACH * len(pairs.source.rows))
        pictures = [backgrounds.background(rng, size, pairs.strips) for _ in range(count)]

        def people(place: np.ndarray) -> dict[str, np.ndarray]:
            sample = pairs.source.people_at(place)
            names = ("image", "parse", "keypoints")
            masks = map(backgrounds.person_mask, *(sample[name] for name in names))
            return {"alpha": np.stack([backgrounds.soft_mask(mask) for mask in masks])}

        alpha = self._put(_in_order(people, places))
        return {**alpha, "pictures": torch.from_numpy(np.stack(pictures)).to(self.device)}


def _moved_garment(sample: dict[str, Tensor], flip: Tensor, size: tuple[int, int]) -> tuple[Batch, Tensor]:
    """`GARMENT` of `sample`, mirrored where `flip` (B,) bool and moved a little, and the matrix of the move."""
    shift = augment.affine(flip, size, *GARMENT_MOVE)
    grid = augment.grid_of(shift, size)
    masks = torch.cat([shares(sample[name]) for name in GARMENT[1:]], dim=1)
    whole, front = (augment.moved(masks, grid, 0.0) > 0.5).float().split(1, dim=1)
    cloth = augment.moved(signed(sample["cloth"]), grid, 1.0)
    return {"cloth": cloth, "cloth_mask": whole, "front_mask": front}, shift


def _triplet_chunk(more: More | None, path: Path) -> dict[str, np.ndarray]:
    triplets = TripletChunks(path)
    read = [triplet_sample(triplets.read(number)) for number in range(len(triplets))]
    chunk = {name: np.stack([sample[name] for sample in read]) for name in read[0]}
    chunk["correspondence"] = chunk["correspondence"].astype(np.float16)
    return _with(chunk, more)


def _others(other: OtherGarments, places: np.ndarray) -> dict[str, np.ndarray]:
    """The people at `places` of the rows in other garments; `there` (n,) bool: of whom there is a picture."""
    height, width = other.store.size
    images, parses = (np.zeros((len(places), height, width, *rest), np.uint8) for rest in ((3,), ()))
    there = np.zeros(len(places), bool)
    for i, place in enumerate(places):
        read = other.read(int(place))
        if read is not None:
            (images[i], parses[i]), there[i] = read, True
    return {"given_image": images, "given_parse": parses, "there": there}


def _with(sample: dict[str, np.ndarray], more: More | None) -> dict[str, np.ndarray]:
    return sample if more is None else {**sample, "more": more(sample)}


def _in_order(
    read: Callable[[np.ndarray], dict[str, np.ndarray]], places: list[np.ndarray]
) -> list[dict[str, np.ndarray]]:
    with ThreadPoolExecutor(default_jobs()) as pool:
        return list(pool.map(read, places))


def _where(chosen: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """`one` for the samples `chosen` (B,) bool, `other` for the others."""
    return torch.where(chosen.view(-1, *[1] * (one.ndim - 1)), one, other)
