"""The parser: photo → parse and 18 joints. It stands in for the outside models (a human parser and OpenPose) that
CP-VTON's data were made with. Its labels are LIP's 20 and two more, which LIP's maps call background: the torso's bare
skin, and what is carried.

One EfficientNet-Lite0 encoder, the top-down decoder of a feature pyramid network (Kirillov et al., CVPR 2019), two
heads: labels at half resolution, joints at quarter resolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data.labels import BACKGROUND, JOINTS, LABELS, PARSER_LABELS
from vtcli.core.models.efficientnet import CHANNELS, EfficientNetLite


@dataclass(frozen=True)
class ParserPreset:
    """Channels of the decoder and of the label head."""

    pyramid: int = 96  # levels of the feature pyramid
    segmentation: int = 64  # each level's branch at a quarter of the photo's size
    fine: int = 48  # the label head at half of the photo's size


PARSER_PRESETS = {"lite": ParserPreset()}
INPUT_SIZE = (256, 192)
"""Height and width at which the parser is trained."""


class PyramidLevel(nn.Module):
    """The coarser level at twice its size, plus the encoder's features of this level."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.skip_conv = nn.Conv2d(channels, width, 1)

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        out: Tensor = F.interpolate(below, scale_factor=2.0, mode="nearest") + self.skip_conv(skip)
        return out


class PyramidBranch(nn.Module):
    """One level brought to a quarter of the picture's size by `doublings`: 3×3 convolution, GroupNorm, ReLU, twice as
    large, and so on."""

    def __init__(self, channels: int, width: int, doublings: int) -> None:
        super().__init__()
        self.doublings = doublings
        self.block = nn.Sequential(
            *(GroupedBlock(width if n else channels, width) for n in range(max(1, doublings)))
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
            if self.doublings:
                x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True)
        return x


class GroupedBlock(nn.Module):
    """3×3 convolution, GroupNorm of 32 groups, ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.GroupNorm(32, width),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out


class PyramidDecoder(nn.Module):
    """Maps of the encoder at strides 4, 8, 16, 32 → (B, 4 * `segmentation`, H/4, W/4) (Kirillov et al., CVPR 2019,
    section 4, but joined instead of added). Names are those of segmentation-models-pytorch, whose import takes longer
    than a try-on."""

    def __init__(self, pyramid: int, segmentation: int) -> None:
        super().__init__()
        self.p5 = nn.Conv2d(CHANNELS[4], pyramid, 1)
        self.p4, self.p3, self.p2 = (PyramidLevel(pyramid, CHANNELS[i]) for i in (3, 2, 1))
        self.seg_blocks = nn.ModuleList(PyramidBranch(pyramid, segmentation, n) for n in (3, 2, 1, 0))

    def forward(self, features: list[Tensor]) -> Tensor:
        levels = [self.p5(features[3])]
        for block, skip in zip((self.p4, self.p3, self.p2), features[2::-1], strict=True):
            levels.append(block(levels[-1], skip))
        return torch.cat(
            [branch(level) for branch, level in zip(self.seg_blocks, levels, strict=True)], dim=1
        )


class Parser(nn.Module):
    """Photo (B, 3, H, W) in [-1, 1], H and W multiples of 32 → label logits (B, 22, H/2, W/2) and joint
    logits (B, 18, H/4, W/4).

    A joint's logits over all positions and one learned "absent" bin (`absent`, (18,)) form one softmax, so
    its peak's probability mass is a confidence (the dustbin of DeTone et al., "SuperPoint", 2018).
    """

    def __init__(self, preset: ParserPreset = PARSER_PRESETS["lite"]) -> None:
        super().__init__()
        self.encoder = EfficientNetLite(classes=None)
        self.decoder = PyramidDecoder(preset.pyramid, preset.segmentation)
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
            nn.Conv2d(preset.fine + CHANNELS[0], preset.fine, 3, padding=1, bias=False),
            nn.BatchNorm2d(preset.fine), nn.ReLU(inplace=True),
            nn.Conv2d(preset.fine, PARSER_LABELS, 3, padding=1),
        )  # fmt: skip

    def forward(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        merged, features = self._merged(photo)
        return self.fine_labels(merged, features[0]), self.joints(merged)

    def joints_alone(self, photo: Tensor) -> Tensor:
        """The joint logits without the labels, which are a third of the work."""
        joints: Tensor = self.joints(self._merged(photo)[0])
        return joints

    def _merged(self, photo: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = self.encoder.features(photo * (127.5 / 128.0))
        return self.decoder(features[1:]), features

    def fine_labels(self, merged: Tensor, finest: Tensor) -> Tensor:
        """Label logits (B, 22, H/2, W/2) from the decoder's maps and the encoder's `finest`."""
        fine = F.interpolate(self.squeeze(merged), scale_factor=2.0, mode="bilinear", align_corners=False)
        labels: Tensor = self.labels(torch.cat([fine, finest], dim=1))
        return labels


def label_probabilities(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Label logits → probabilities (B, 22, *size), enlarged bilinearly before the softmax."""
    return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False).softmax(dim=1)


def lip_probabilities(probabilities: Tensor) -> Tensor:
    """Probabilities (B, 22, H, W) of the parser's labels → (B, 20, H, W) of LIP's, to which its own two are background."""
    lip = probabilities[:, :LABELS].clone()
    lip[:, BACKGROUND] += probabilities[:, LABELS:].sum(1)
    return lip


NEVER = -30.0
"""Logit of a label that a weights file does not know."""


def with_own_labels(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of a parser that knew LIP's labels alone, with the others, which it never sees; any other as it is."""
    weight, bias = state.get("labels.3.weight"), state.get("labels.3.bias")
    if weight is None or bias is None or len(weight) != LABELS:
        return state
    more = PARSER_LABELS - LABELS
    return {
        **state,
        "labels.3.weight": torch.cat([weight, weight.new_zeros(more, *weight.shape[1:])]),
        "labels.3.bias": torch.cat([bias, bias.new_full((more,), NEVER)]),
    }


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
    "label_probabilities", "lip_probabilities", "with_own_labels",
]  # fmt: skip
