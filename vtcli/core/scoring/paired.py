"""What a result is worth beside its own photo: SSIM, MS-SSIM, PSNR and M_exp's IoU, in several processes."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vtcli.core.data.labels import (
    BACKGROUND,
    FACE,
    HAIR,
    IGNORE,
    LEFT_ARM,
    PANTS,
    RIGHT_ARM,
    UPPER_CLOTHES,
)
from vtcli.core.scoring.pictures import Picture, StorePicture
from vtcli.core.system.errors import VtcliError

MS_SSIM_SIDE = 161
"""Least side that five scales of an 11-pixel window need."""
SSIM_SIDE = 11
M_EXP_LABELS = ((BACKGROUND,), (HAIR,), (UPPER_CLOTHES,), (PANTS,), (FACE,), (LEFT_ARM, RIGHT_ARM))
_CHUNK = 16
_STACK_PIXELS = 16 * 256 * 192
"""Pixels that MS-SSIM takes at once: stacks are quicker than single pictures, large ones need memory."""


def ssim(result: np.ndarray, photo: np.ndarray) -> float:
    """SSIM of two (H, W, 3) uint8 pictures, Gaussian window of Wang et al. 2004; NaN below 11 pixels."""
    from skimage.metrics import structural_similarity

    if min(result.shape[:2]) < SSIM_SIDE:
        return float("nan")
    return float(
        structural_similarity(
            result, photo, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255,
            channel_axis=2,
        )
    )  # fmt: skip


def psnr(result: np.ndarray, photo: np.ndarray) -> float:
    """PSNR in dB of two (H, W, 3) uint8 pictures; infinite for equal ones."""
    from skimage.metrics import peak_signal_noise_ratio

    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(photo, result, data_range=255))


def ms_ssim(results: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """MS-SSIM (B,) of two stacks (B, H, W, 3) of uint8; NaN where a side has fewer than 161 pixels."""
    import torch
    from pytorch_msssim import ms_ssim as torch_ms_ssim

    count, height, width = results.shape[:3]
    if min(height, width) < MS_SSIM_SIDE:
        return np.full(count, np.nan)
    values = []
    step = max(1, _STACK_PIXELS // (height * width))
    for start in range(0, count, step):
        a, b = (
            torch.from_numpy(x[start : start + step]).permute(0, 3, 1, 2).float() for x in (results, photos)
        )
        with torch.inference_mode():
            values.append(torch_ms_ssim(a, b, data_range=255, size_average=False).numpy())
    return np.concatenate(values).astype(np.float64)


def parse_overlap(expected: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(H, W) LIP labels of M_exp and of the photo → (6, 2) int64: intersection and union of each class."""
    known = truth != IGNORE
    counts = np.zeros((len(M_EXP_LABELS), 2), dtype=np.int64)
    for i, labels in enumerate(M_EXP_LABELS):
        a, b = np.isin(expected, labels) & known, np.isin(truth, labels) & known
        counts[i] = (a & b).sum(), (a | b).sum()
    return counts


def mean_iou(counts: np.ndarray) -> np.ndarray:
    """(…, classes, 2) intersections and unions → (…) mean IoU over classes whose union is not empty."""
    inter, union = counts[..., 0].astype(float), counts[..., 1].astype(float)
    present = union > 0
    iou = np.divide(inter, union, out=np.zeros_like(inter), where=present)
    return iou.sum(-1) / np.maximum(present.sum(-1), 1)


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


@dataclass(frozen=True)
class PairTask:
    """One result to measure; `parse` and `truth` where M_exp is measured as well."""

    result: Picture
    photo: Picture
    parse: Path | None = None
    truth: StorePicture | None = None


@dataclass(frozen=True)
class PairFigures:
    """Figures of one result; `overlap` as of `parse_overlap`."""

    ssim: float
    ms_ssim: float
    psnr: float
    overlap: np.ndarray | None = None


def measure(tasks: Sequence[PairTask]) -> list[PairFigures]:
    """All figures of some pairs."""
    pairs = [(task.result.read(), task.photo.read()) for task in tasks]
    for task, (result, photo) in zip(tasks, pairs, strict=True):
        if result.shape != photo.shape:
            raise VtcliError(f"{task.result}: {result.shape[:2]} pixels, its reference has {photo.shape[:2]}")
    multi: list[float] = []
    for _, group in itertools.groupby(pairs, key=lambda pair: pair[0].shape):
        results, photos = zip(*group, strict=True)
        multi.extend(ms_ssim(np.stack(results), np.stack(photos)))
    return [
        PairFigures(ssim(result, photo), float(many), psnr(result, photo), _overlap(task))
        for task, (result, photo), many in zip(tasks, pairs, multi, strict=True)
    ]


def _overlap(task: PairTask) -> np.ndarray | None:
    if task.parse is None or task.truth is None:
        return None
    expected, truth = read_parse(task.parse), task.truth.parse()
    if expected.shape != truth.shape:
        raise VtcliError(f"{task.parse}: {expected.shape} pixels, the store's parse has {truth.shape}")
    return parse_overlap(expected, truth)


def measure_all(tasks: Sequence[PairTask], jobs: int, advance: Callable[[int], object]) -> list[PairFigures]:
    """Measure every pair in up to `jobs` processes; `advance` hears how many are done."""
    jobs = min(jobs, len(tasks) // (2 * _CHUNK))  # below that, starting a process costs more than it saves
    chunks = [list(tasks[i : i + _CHUNK]) for i in range(0, len(tasks), _CHUNK)]
    if jobs <= 1:
        figures: list[PairFigures] = []
        with _single_thread():
            for chunk in chunks:
                figures += measure(chunk)
                advance(len(figures))
        return figures
    done: dict[int, list[PairFigures]] = {}
    with _pool(jobs) as pool:
        waiting: dict[Future[list[PairFigures]], int] = {}
        with _deaf_to_interrupts():  # the processes start here: Ctrl-C is this process's to handle
            for number, chunk in enumerate(chunks):
                waiting[pool.submit(measure, chunk)] = number
        while waiting:
            ready, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in ready:
                done[waiting.pop(future)] = future.result()
            advance(sum(len(chunk) for chunk in done.values()))
    return [figures for number in range(len(chunks)) for figures in done[number]]


def _one_thread() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from vtcli.core.system import runtime

    torch.set_num_threads(1)
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


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    # Not "fork": torch's threads do not survive it.
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_one_thread)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=True, cancel_futures=True)
        raise
    pool.shutdown()


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    try:
        former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread: nothing to inherit
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
