"""The parser: photo → 20-label parse and 18 joints. It stands in for the outside models (a human parser and
OpenPose) that CP-VTON's data were made with.

One EfficientNet-Lite0 encoder (timm), the top-down decoder of a feature pyramid network
(segmentation-models-pytorch; Kirillov et al., CVPR 2019), two heads: labels at half resolution, joints at
quarter resolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import timm
import torch
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.labels import JOINTS, LABELS


@dataclass(frozen=True)
class ParserPreset:
    """Widths of the decoder."""

    pyramid: int = 96
    segmentation: int = 64
    fine: int = 48


PARSER_PRESETS = {"lite": ParserPreset()}
INPUT_SIZE = (256, 192)


class Parser(nn.Module):
    """Photo (B, 3, H, W) in [-1, 1], H and W multiples of 32 → label logits (B, 20, H/2, W/2) and joint
    logits (B, 18, H/4, W/4).

    A joint's logits over all positions and one learned "absent" bin (`absent`, (18,)) form one softmax, so
    its peak's probability mass is a confidence (the dustbin of DeTone et al., "SuperPoint", 2018).
    """

    def __init__(self, preset: ParserPreset = PARSER_PRESETS["lite"]) -> None:
        super().__init__()
        self.encoder = timm.create_model("tf_efficientnet_lite0", features_only=True, pretrained=False)
        information: Any = self.encoder.feature_info
        channels = [int(c) for c in information.channels()]
        self.decoder = FPNDecoder(
            encoder_channels=[3, *channels],
            encoder_depth=5,
            pyramid_channels=preset.pyramid,
            segmentation_channels=preset.segmentation,
            dropout=0.0,
            merge_policy="cat",
        )
        merged = 4 * preset.segmentation
        self.joints = nn.Sequential(
            nn.Conv2d(merged, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
            nn.Conv2d(64, JOINTS, 3, padding=1),
        )  # fmt: skip
        self.absent = nn.Parameter(torch.zeros(JOINTS))
        self.squeeze = nn.Sequential(
            nn.Conv2d(merged, preset.fine, 1, bias=False), nn.BatchNorm2d(preset.fine), nn.ReLU(inplace=True)
        )
        self.labels = nn.Sequential(
            nn.Conv2d(preset.fine + channels[0], preset.fine, 3, padding=1, bias=False),
            nn.BatchNorm2d(preset.fine), nn.ReLU(inplace=True),
            nn.Conv2d(preset.fine, LABELS, 3, padding=1),
        )  # fmt: skip

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(photo * (127.5 / 128.0))
        merged = self.decoder([photo, *features])
        fine = F.interpolate(self.squeeze(merged), scale_factor=2.0, mode="bilinear", align_corners=False)
        labels = self.labels(torch.cat([fine, features[0]], dim=1))
        return labels, self.joints(merged)


def label_probabilities(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Label logits → probabilities (B, 20, *size), enlarged bilinearly before the softmax."""
    return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False).softmax(dim=1)


def joint_log_probabilities(logits: Tensor, absent: Tensor) -> Tensor:
    """Joint logits (B, 18, h, w) → log-probabilities (B, 18, h * w + 1); the last bin is "absent"."""
    flat = logits.float().flatten(2)
    return torch.cat([flat, absent.float().view(1, -1, 1).expand(len(flat), -1, 1)], dim=2).log_softmax(dim=2)


def decode_joints(logits: Tensor, absent: Tensor, stride: float, threshold: float = 0.15) -> Tensor:
    """Joint logits → (B, 18, 3) x, y (pixels of the photo) and confidence; (0, 0, 0) below `threshold`.

    The position is the probability-weighted mean of the 5×5 cells around the peak, the confidence their mass.
    """
    batch, count, height, width = logits.shape
    probability = joint_log_probabilities(logits, absent).exp()[..., :-1].view(batch, count, height, width)
    mass = F.avg_pool2d(probability, 5, stride=1, padding=2, count_include_pad=True) * 25.0
    peak = mass.flatten(2).argmax(dim=2)
    row, column = peak // width, peak % width
    padded = F.pad(probability, (2, 2, 2, 2))
    offsets = torch.arange(5, device=logits.device)
    rows = (row[..., None] + offsets)[..., :, None]
    columns = (column[..., None] + offsets)[..., None, :]
    index = (rows * (width + 4) + columns).flatten(2)
    patch = padded.flatten(2).gather(2, index)
    total = patch.sum(dim=2).clamp_min(1e-12)
    y = (patch * (rows - 2).expand(-1, -1, 5, 5).flatten(2)).sum(dim=2) / total
    x = (patch * (columns - 2).expand(-1, -1, 5, 5).flatten(2)).sum(dim=2) / total
    joints = torch.stack([(x + 0.5) * stride - 0.5, (y + 0.5) * stride - 0.5, total.clamp(max=1.0)], dim=2)
    return torch.where(joints[..., 2:] >= threshold, joints, torch.zeros_like(joints))


__all__ = [
    "INPUT_SIZE", "PARSER_PRESETS", "Parser", "ParserPreset", "decode_joints", "joint_log_probabilities",
    "label_probabilities",
]  # fmt: skip
