"""Metrics of one picture beside its photo: SSIM, MS-SSIM, PSNR, and what the photo gave.

Pictures are (H, W, 3) uint8 RGB. Every function is pure; `pairwise.py` runs them over files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SSIM_SIDE = 11
"""Least side in pixels: SSIM's window (sigma 1.5, truncated at 3.5 sigma)."""
MS_SSIM_SIDE = 161
"""Least side in pixels that five scales of an 11-pixel window need: (11 - 1)·2⁴ + 1."""
_BORDER = SSIM_SIDE // 2
"""Pixels at each edge that skimage leaves out of the mean: the window does not fit there."""
_STACK_PIXELS = 16 * 256 * 192
"""Pixels that MS-SSIM takes at once: stacks are quicker than single pictures, large ones need memory."""


@dataclass(frozen=True)
class Similarity:
    """SSIM and PSNR over the whole picture, and over the redrawn pixels alone.

    `ssim` is NaN where a side has fewer than 11 pixels, `psnr` infinite for equal pictures. The redrawn ones are
    NaN where nothing was redrawn, or where the region is not known.
    """

    ssim: float
    psnr: float
    ssim_redrawn: float = float("nan")
    psnr_redrawn: float = float("nan")


def similarity(result: np.ndarray, photo: np.ndarray, redrawn: np.ndarray | None = None) -> Similarity:
    """SSIM (Gaussian window, Wang et al. 2004) and PSNR in dB; `redrawn` (H, W) bool selects the second pair."""
    from skimage.metrics import structural_similarity

    psnr = _psnr(result, photo)
    ssim, ssim_map = float("nan"), None
    if min(result.shape[:2]) >= SSIM_SIDE:
        ssim, ssim_map = structural_similarity(
            result, photo, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255,
            channel_axis=2, full=True,
        )  # fmt: skip
    if redrawn is None or ssim_map is None:
        return Similarity(float(ssim), psnr)
    inner = (slice(_BORDER, -_BORDER),) * 2
    inside = ssim_map[inner][redrawn[inner]]
    return Similarity(
        float(ssim),
        psnr,
        float(inside.mean()) if inside.size else float("nan"),
        _psnr(result, photo, redrawn),
    )


def _psnr(result: np.ndarray, photo: np.ndarray, where: np.ndarray | None = None) -> float:
    """10·log10(255² / mean squared error) over the pixels `where`, or all; NaN for none, infinite for equal ones. (skimage
    has it, too, but imports scipy.stats with it, which takes a second in each process.)"""
    if where is not None and not where.any():
        return float("nan")
    difference = np.subtract(result, photo, dtype=np.int16)
    difference = (difference if where is None else difference[where]).astype(np.float64).ravel()
    error = float(difference @ difference) / difference.size
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def given_pixels(result: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose three values equal the photo's, which need no drawing."""
    same = result == photo
    all_three: np.ndarray = same[..., 0] & same[..., 1] & same[..., 2]  # ten times quicker than all(axis=2)
    return all_three


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
