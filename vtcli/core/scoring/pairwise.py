"""Every result beside its photo, read and measured in several processes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from vtcli.core.data.label_metrics import class_overlaps
from vtcli.core.scoring.image_metrics import given_pixels, ms_ssim, similarity
from vtcli.core.scoring.pictures import Picture, StorePicture
from vtcli.core.system.errors import VtcliError
from vtcli.core.system.workers import ordered_map

_CHUNK = 16
"""Pairs that a process measures at a time."""


@dataclass(frozen=True)
class PairTask:
    """One result to measure.

    `reference`: what it is compared with; None for unpaired runs. `person`: the photo it was made from, for the share
    of given pixels; None where that is not known. `parse` and `truth`: where M_exp is measured as well.
    """

    result: Picture
    reference: Picture | None = None
    person: Picture | None = None
    parse: Path | None = None
    truth: StorePicture | None = None


@dataclass(frozen=True)
class PairMetrics:
    """Metrics of one result, NaN where it has none; `overlap` as of `label_metrics.class_overlaps`.

    `given` is the share of pixels (0 to 1) that equal the person's photo.
    """

    ssim: float = float("nan")
    ms_ssim: float = float("nan")
    psnr: float = float("nan")
    given: float = float("nan")
    ssim_redrawn: float = float("nan")
    psnr_redrawn: float = float("nan")
    overlap: np.ndarray | None = None


def measure_all(tasks: Sequence[PairTask], jobs: int, advance: Callable[[int], object]) -> list[PairMetrics]:
    """Measure every pair in up to `jobs` processes; `advance` hears how many are done."""
    jobs = min(jobs, len(tasks) // (2 * _CHUNK))  # below that, starting a process costs more than it saves
    chunks = [tasks[i : i + _CHUNK] for i in range(0, len(tasks), _CHUNK)]
    found: list[PairMetrics] = []
    for chunk in ordered_map(measure, chunks, jobs, 1):
        found += chunk
        advance(len(found))
    return found


def measure(tasks: Sequence[PairTask]) -> list[PairMetrics]:
    """All metrics of some pairs."""
    _keep_memory()
    with _single_thread():
        read = [_read(task) for task in tasks]
        multi_scale = _multi_scale(read)
        return [
            _measure(task, pictures, many)
            for task, pictures, many in zip(tasks, read, multi_scale, strict=True)
        ]


@dataclass(frozen=True)
class _Pixels:
    result: np.ndarray
    reference: np.ndarray | None
    person: np.ndarray | None


def _read(task: PairTask) -> _Pixels:
    result = task.result.read()
    reference = None if task.reference is None else task.reference.read()
    if task.person is None:
        person = None
    else:
        person = reference if task.person == task.reference else task.person.read()
    for photo in (reference, person):
        if photo is not None and photo.shape != result.shape:
            raise VtcliError(f"{task.result}: {result.shape[:2]} pixels, its photo has {photo.shape[:2]}")
    return _Pixels(result, reference, person)


def _multi_scale(read: Sequence[_Pixels]) -> list[float]:
    values: list[float] = []
    for (known, _), group in itertools.groupby(
        read, key=lambda pixels: (pixels.reference is not None, pixels.result.shape)
    ):
        members = list(group)
        if not known:
            values += [float("nan")] * len(members)
            continue
        references = [m.reference for m in members if m.reference is not None]
        values += ms_ssim(np.stack([m.result for m in members]), np.stack(references)).tolist()
    return values


def _measure(task: PairTask, pixels: _Pixels, multi_scale: float) -> PairMetrics:
    given, redrawn = float("nan"), None
    if pixels.person is not None:
        same = given_pixels(pixels.result, pixels.person)
        given, redrawn = float(same.mean()), ~same
    if pixels.reference is None:
        return PairMetrics(given=given)
    found = similarity(pixels.result, pixels.reference, redrawn)
    return PairMetrics(
        found.ssim, multi_scale, found.psnr, given, found.ssim_redrawn, found.psnr_redrawn, _overlap(task)
    )


def _overlap(task: PairTask) -> np.ndarray | None:
    if task.parse is None or task.truth is None:
        return None
    expected, truth = read_parse(task.parse), task.truth.parse()
    if expected.shape != truth.shape:
        raise VtcliError(f"{task.parse}: {expected.shape} pixels, the store's parse has {truth.shape}")
    return class_overlaps(expected, truth)


def read_parse(path: Path) -> np.ndarray:
    """LIP labels (H, W) uint8 of a single-channel PNG."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("L", "P"):
                raise VtcliError(
                    f"{path}: not a map of labels (mode {image.mode}; one 8-bit channel is needed)"
                )
            return np.array(image)
    except VtcliError:
        raise
    except Exception as problem:  # decoders meet broken files with whatever they stumble on
        raise VtcliError(f"{path}: not a readable map of labels ({problem})") from problem


@cache
def _keep_memory() -> None:
    """Once per process."""
    from vtcli.core.system import runtime

    runtime.keep_memory()


@contextlib.contextmanager
def _single_thread() -> Iterator[None]:
    # Pictures are small: threads would spend more time waiting for each other than they save.
    import torch

    former = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(former)
