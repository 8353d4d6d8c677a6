"""Losses that the stages share: M_exp's weighted cross-entropy, mask overlap, SSIM, the perceptual distances.

"The paper" is Ayush et al. 2019; its own method is its section 2.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.models.blocks import cell_means
from vtcli.core.models.foreign import read_tensors
from vtcli.core.models.lite0 import Lite0Features
from vtcli.core.models.tps import jacobian
from vtcli.core.system import distributed
from vtcli.core.system.errors import VtcliError


def label_weights(skin: float, background: float) -> Tensor:
    """Class weights (20,) of M_exp's cross-entropy: `skin` for face, arms and legs, `background`, 1 for the rest.

    The paper (section 2) raises the weights of skin, against occlusion, and of background, against bleeding. It
    states no numbers: the defaults of `TrainOptions` are vtcli's own.
    """
    weights = torch.ones(L.LABELS)
    weights[list(L.SKIN_LABELS)] = skin
    weights[L.BACKGROUND] = background
    return weights


def expected_parse_loss(logits: Tensor, parse: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_p w[y_p] · −log softmax(logits)_p[y_p] / Σ_p w[y_p]: the paper's auxiliary loss (section 2), and the accuracy.

    `logits` (B, 20, h, w) of M_exp; `parse` (B, H, W) labels of the photo, taken at every H / h-th pixel, 255 left
    out; `weights` (20,). Returns two scalars: the loss, and the share of pixels with the right label.
    """
    target = parse[:, :: parse.shape[1] // logits.shape[2], :: parse.shape[2] // logits.shape[3]].long()
    weights, known = weights.to(logits.device), target != L.IGNORE
    total = F.cross_entropy(logits.float(), target, weights, ignore_index=L.IGNORE, reduction="sum")
    weight = distributed.mean_tensor((weights[torch.where(known, target, 0)] * known).sum())
    return total / weight, (logits.argmax(1) == target).float().mean()


def soft_iou(a: Tensor, b: Tensor) -> Tensor:
    """Σ a·b / Σ (a + b − a·b) of soft masks (B, 1, h, w) in [0, 1], per sample (B,)."""
    both = (a * b).sum((1, 2, 3))
    return both / (a.sum((1, 2, 3)) + b.sum((1, 2, 3)) - both).clamp_min(1.0)


def folding(grid: Tensor, mask: Tensor, least: float) -> Tensor:
    """mean of mask · max(0, least − det J), per sample (B,): at det J = 0 the warp starts to fold.

    J is the Jacobian of the sampling `grid` (B, h, w, 2) in pixels per pixel; `mask` (B, 1, h, w) in [0, 1].
    """
    return (F.relu(least - jacobian(grid)) * mask[:, 0, 1:, 1:].detach()).mean((1, 2))


SCALES = (0.45, 0.35, 0.35, 0.28, 0.14)
"""Weights of the multi-scale SSIM loss at the size itself and at a half, a quarter, … of it."""


def multi_scale_ssim_loss(a: Tensor, b: Tensor) -> Tensor:
    """Σ_s w_s · (1 − SSIM(a↓2^s, b↓2^s)) with w = `SCALES`, of pictures (B, 3, H, W) in [-1, 1]: (B,).

    SSIM: Wang et al. 2004. A weighted sum, not MS-SSIM's product of powers: its gradient exists where SSIM is
    negative. At one scale alone, folds and prints that are a few pixels off get no direction.
    """
    total = torch.zeros((), device=a.device)
    for i, weight in enumerate(SCALES):
        if i:
            a, b = cell_means(a, 2), cell_means(b, 2)
        total = total + weight * (1.0 - ssim_map(a, b, stride=1 if i else 2)).mean((1, 2, 3))
    return total


def ssim_map(a: Tensor, b: Tensor, window: int = 7, stride: int = 1) -> Tensor:
    """SSIM's map of pictures (B, 3, H, W) in [-1, 1], (B, 3, ⌈H / stride⌉, ⌈W / stride⌉), for losses.

    (2·μa·μb + c1)(2·σab + c2) / ((μa² + μb² + c1)(σa² + σb² + c2)) (Wang et al. 2004), over square windows at every
    `stride`th pixel instead of Gaussian ones, which would take several times as long. Black is 0, as in every SSIM:
    if middle grey were 0, a grey guess for what may be dark or bright would cost most of all.
    """
    tall, wide = (_window_means(n, window, stride, str(a.device)) for n in a.shape[2:])

    def mean(x: Tensor) -> Tensor:
        # Two matrix products take less time than pooling, and much less on the way back.
        return tall @ x @ wide.T

    c1, c2 = 0.01**2, 0.03**2
    with torch.autocast(a.device.type, enabled=False):
        a, b = (a.float() + 1.0) / 2.0, (b.float() + 1.0) / 2.0
        # The two variances are only ever needed as a sum.
        mean_a, mean_b = mean(a), mean(b)
        power, cross = mean(a * a + b * b), mean(a * b)
        squares, product = mean_a**2 + mean_b**2, mean_a * mean_b
        return (2 * product + c1) * (2 * (cross - product) + c2) / ((squares + c1) * (power - squares + c2))


@lru_cache(maxsize=32)
def _window_means(length: int, window: int, stride: int, device: str) -> Tensor:
    """(ceil(length / stride), length): row i has the mean over the `window` pixels around i · `stride`."""
    with torch.inference_mode(False):
        centres = torch.arange(0, length, stride)[:, None]
        inside = ((torch.arange(length) - centres).abs() <= window // 2).float()
        return (inside / inside.sum(1, keepdim=True)).to(device)


class Lite0Distance(nn.Module):
    """¼ Σ_l mean_p ‖f̂_l(a)_p − f̂_l(b)_p‖² with f̂_l EfficientNet-Lite0's features at stride 2, 4, 8, 16, scaled to unit
    length at every place p (in the manner of LPIPS; Zhang et al., CVPR 2018). About a seventieth of VGG19's cost."""

    def __init__(self) -> None:
        super().__init__()
        self.features = Lite0Features().eval().requires_grad_(False)

    def maps(self, a: Tensor, b: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Lite0's maps at strides 2 to 32 of pictures (B, 3, H, W) in [-1, 1]; gradients flow into `a` only."""
        with torch.no_grad():
            targets = self.features(b)
        return self.features(a), targets

    def forward(self, ours: list[Tensor], truth: list[Tensor]) -> Tensor:
        """The distance of what `maps` gave."""
        total = torch.zeros((), device=ours[0].device)
        for x, y in zip(ours[:4], truth[:4], strict=True):
            difference = F.normalize(x.float(), dim=1) - F.normalize(y.float(), dim=1)
            total = total + difference.square().sum(1).mean()
        return total / 4


class VGG19Distance(nn.Module):
    """Σ_i λ_i · mean |φ_i(a) − φ_i(b)|: CP-VTON's perceptual loss, with VGG19's relu1_1 … relu5_1 for φ and
    λ = 1/32, 1/16, 1/8, 1/4, 1 (Wang et al., ECCV 2018).

    `weights` is a local state dict of torchvision's vgg19; without it torchvision's cached file is taken. As in
    CP-VTON the images stay in [-1, 1].
    """

    _cuts = (2, 7, 12, 21, 30)
    _shares = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        from torchvision.models import vgg19

        with torch.device("meta"):  # its classifier, 495 MB, is not wanted
            layers = vgg19(weights=None).features
        state, source = _vgg_state(weights)
        try:
            layers.load_state_dict(state, assign=True)
        except RuntimeError as problem:
            raise VtcliError(f"{source}: not a state dict of torchvision's vgg19") from problem
        features = list(layers.children())
        cuts = (0, *self._cuts)
        self.slices = nn.ModuleList(nn.Sequential(*features[a:b]) for a, b in itertools.pairwise(cuts))
        for module in self.slices.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        self.requires_grad_(False).eval()

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Both (B, 3, H, W) in [-1, 1]; gradients flow into `a` only."""
        total = torch.zeros((), device=a.device)
        for part, share in zip(self.slices, self._shares, strict=True):
            a = part(a)
            with torch.no_grad():
                b = part(b)
            total = total + share * (a.float() - b.float()).abs().mean()
        return total


def _vgg_state(weights: Path | None) -> tuple[dict[str, Tensor], Path]:
    """The convolutions' weights, and the file that they are from."""
    if weights is None:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        found = sorted(folder.glob("vgg19-*.pth"))
        if not found:
            raise VtcliError(
                f"{folder}: no VGG19 weights (vgg19-*.pth) here; download torchvision's file and name it with "
                "--vgg-weights, or train with --perceptual lite0"
            )
        weights = found[0]
    state = read_tensors(weights, "torchvision's VGG19 weights")
    prefix = "features."
    return {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}, weights


def random_crops(rng: torch.Generator, size: tuple[int, int], *images: Tensor) -> list[Tensor]:
    """The same random window of half the height and width from each (B, C, H, W), one window for the batch."""
    height, width = size[0] // 2, size[1] // 2
    top = int(torch.randint(0, size[0] - height + 1, (), generator=rng))
    left = int(torch.randint(0, size[1] - width + 1, (), generator=rng))
    return [image[:, :, top : top + height, left : left + width] for image in images]
