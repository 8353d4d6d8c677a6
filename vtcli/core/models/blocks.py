"""Blocks of which the networks are built."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_block(channels: int, width: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, BatchNorm, ReLU."""
    return [
        nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    ]  # fmt: skip


def cell_means(x: Tensor, side: int) -> Tensor:
    """Means of `x` (B, C, H, W) over cells of `side` × `side` pixels: (B, C, H / side, W / side).

    Halfway between four pixels the bilinear value is their mean. On a CPU it is had 4 to 8 times as fast as by torch's
    pooling, and the gradient 2 to 3 times.
    """
    if side == 1:
        return x
    if side == 2:
        return F.interpolate(x, scale_factor=0.5, mode="bilinear", align_corners=False)
    return F.avg_pool2d(x, side)


class InstanceNorm(nn.Module):
    """InstanceNorm without affine or statistics.

    On the CPU torch's own converts from channels-last and back. BatchNorm over one picture computes the same and does
    not, and is 4 to 7 times as fast where there are many channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        if (
            x.device.type != "cpu"
            or not x.is_contiguous(memory_format=torch.channels_last)
            or x.shape[1] < 16
        ):
            return F.instance_norm(x)
        parts = [F.batch_norm(picture, None, None, training=True) for picture in x.split(1)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


class UpDecoder(nn.Module):
    """Encoder features, finest first → a map of `widths[0]` channels at the finest level's size."""

    def __init__(self, skips: tuple[int, ...], widths: tuple[int, ...]) -> None:
        super().__init__()
        below = skips[-1]
        blocks = []
        for skip, width in zip(reversed(skips[:-1]), reversed(widths), strict=True):
            block = conv_block(below + skip, width)
            blocks.append(nn.Sequential(*block))
            below = width
        self.blocks = nn.ModuleList(blocks)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for skip, block in zip(reversed(features[:-1]), self.blocks, strict=True):
            x = block(
                torch.cat([F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False), skip], 1)
            )
        return x
