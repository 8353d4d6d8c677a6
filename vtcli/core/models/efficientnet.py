"""EfficientNet-Lite (Tan & Le, ICML 2019; Lite: no squeeze-and-excitation, ReLU6), with the padding of its TensorFlow
original.

Names and numbers are those of timm's `tf_efficientnet_lite0` and `lite2`, to which a test holds them. timm and its imports take 1.5
seconds to load, more than a try-on takes to compute.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Stages = tuple[tuple[int, int, int, int, int], ...]
"""Blocks, kernel, stride, expansion and channels of each."""
LITE0: Stages = (
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)  # fmt: skip
LITE2: Stages = (
    (1, 3, 1, 1, 16), (3, 3, 2, 6, 24), (3, 5, 2, 6, 48), (4, 3, 2, 6, 88), (4, 5, 1, 6, 120), (5, 5, 2, 6, 208),
    (1, 3, 1, 6, 352),
)  # fmt: skip
STEM, HEAD, CLASSES = 32, 1280, 1000
TAPPED = (0, 1, 2, 4, 6)
"""Stages after which the size halves, or the network ends."""
CHANNELS = tuple(LITE0[i][4] for i in TAPPED)
"""Channels of Lite0's `features`, at strides 2, 4, 8, 16, 32."""


class SameConv(nn.Conv2d):
    """A convolution of stride 2 that pads as TensorFlow does: more at the end than at the beginning."""

    def forward(self, x: Tensor) -> Tensor:
        (tall, wide), kernel, stride = x.shape[2:], self.kernel_size[0], self.stride[0]
        rows, columns = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in (tall, wide))
        x = F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, groups=self.groups)


def convolution(channels: int, width: int, kernel: int, stride: int, groups: int = 1) -> nn.Conv2d:
    """Without a bias, the size kept or halved."""
    if stride > 1:
        return SameConv(channels, width, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(channels, width, kernel, padding=kernel // 2, groups=groups, bias=False)


def norm(width: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(width, eps=1e-3)


class SeparableBlock(nn.Module):
    """The first stage's block: depthwise, pointwise."""

    def __init__(self, channels: int, kernel: int, stride: int, width: int) -> None:
        super().__init__()
        self.conv_dw, self.bn1 = convolution(channels, channels, kernel, stride, channels), norm(channels)
        self.conv_pw, self.bn2 = convolution(channels, width, 1, 1), norm(width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)), inplace=True)))
        return out


class InvertedResidual(nn.Module):
    """Wider, depthwise, narrower, plus the input where sizes allow (Sandler et al., CVPR 2018)."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, width: int) -> None:
        super().__init__()
        inner = expansion * channels
        self.conv_pw, self.bn1 = convolution(channels, inner, 1, 1), norm(inner)
        self.conv_dw, self.bn2 = convolution(inner, inner, kernel, stride, inner), norm(inner)
        self.conv_pwl, self.bn3 = convolution(inner, width, 1, 1), norm(width)
        self.skips = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        out = F.relu6(self.bn2(self.conv_dw(out)), inplace=True)
        out = self.bn3(self.conv_pwl(out))
        return x + out if self.skips else out


class EfficientNetLite(nn.Module):
    """Random weights, to be loaded. Pictures (B, 3, H, W) in the network's own range. `classes=None`: feature maps
    only."""

    def __init__(self, stages: Stages = LITE0, classes: int | None = CLASSES) -> None:
        super().__init__()
        self.conv_stem, self.bn1 = convolution(3, STEM, 3, 2), norm(STEM)
        built, channels = [], STEM
        for count, kernel, stride, expansion, width in stages:
            blocks: list[nn.Module] = []
            for number in range(count):
                step = stride if number == 0 else 1
                if expansion == 1:
                    blocks.append(SeparableBlock(channels, kernel, step, width))
                else:
                    blocks.append(InvertedResidual(channels, kernel, step, expansion, width))
                channels = width
            built.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*built)
        if classes is not None:
            self.conv_head, self.bn2 = convolution(channels, HEAD, 1, 1), norm(HEAD)
            self.classifier = nn.Linear(HEAD, classes)

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps at strides 2, 4, 8, 16, 32, of `CHANNELS` channels in Lite0."""
        x = F.relu6(self.bn1(self.conv_stem(x)), inplace=True)
        maps = []
        for number, stage in enumerate(self.blocks):
            x = stage(x)
            if number in TAPPED:
                maps.append(x)
        return maps

    def pooled(self, x: Tensor) -> Tensor:
        """(B, 1280): the means of the last maps."""
        maps = F.relu6(self.bn2(self.conv_head(self.features(x)[-1])), inplace=True)
        return torch.flatten(F.adaptive_avg_pool2d(maps, 1), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        logits: Tensor = self.classifier(self.pooled(x))
        return logits
