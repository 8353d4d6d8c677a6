"""The garment's own sleeves: where they end is read from its picture alone, and M_exp follows.

In a training pair the body shape comes from a photo in which the wanted garment is worn, so M_exp partly reads sleeves
from the body, and a person in long sleeves gets long ones. A head that sees only the garment cannot. What it says goes
into the GMM as one more channel of the person representation, 1 where the garment's sleeve lies on the arm and -1 where
the arm is bare; and where M_exp's sleeve ends elsewhere all the same, it is moved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.arms import ARMS, SIDES, arm_places, half_widths
from vtcli.core.data.body_regions import torso
from vtcli.core.data.sleeves import sleeve_ends
from vtcli.core.models.blocks import cell_means

SLEEVE_WIDTH = 0.15
"""Half the width of a sleeve, in lengths from neck to hips: VITON's people, set by hand."""
SLEEVE_EDGE = 0.1
"""How far from its end the sleeve's map reaches ±1, as a share of the arm: twice the head's mean error."""
DIFFERENCE = 0.1
"""Sleeve ends (shares of the arm) that are further apart than this differ. With 0.2 as many as 17 of 250 unpaired validation
pairs would keep another sleeve than the garment's, and results would be off by .072 instead of .069; with 0.05 M_exp shows less of the
worn sleeves, but results do not, and paired ones lose .06 dB."""
CLEAN = 0.05
"""Share of an arm's points that may contradict its sleeve's end in M_exp: sleeves below bare shoulders have none."""
LOOSE = 3.0
"""How many times as wide a sleeve may be as the arm in it."""
HIDDEN = 0.4
"""Share of the arm below the sleeve's end that may lie over the torso; with more of it, a new length cannot be drawn."""
SHOULDER = 0.1
"""Where along the arm a sleeveless top ends in M_exp at most. It gets no sleeves: a pale garment cut out of a pale ground is
ragged, which looks like them. Of the arms that were lengthened in 250 unpaired validation pairs none is concerned."""
HAND, HAND_SHARE = 0.75, 0.15
"""Where along the arm its bare end begins, and the least share of it that M_exp shows: an arm behind the body has a side of
the garment along its bones, and no sleeve that could be shortened."""


class SleeveHead(nn.Module):
    """The GMM's garment features at a quarter and an eighth of its input, (B, C, 32, 24) and (B, C', 16, 12) → the sleeve
    end (B,): 0 is the shoulder, 0.5 the elbow, 1 the wrist."""

    def __init__(self, fine: int, coarse: int, cells: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(fine, 24, 3, padding=1)
        self.both = nn.Conv2d(24 + coarse, 40, 1)
        self.down = nn.ModuleList(nn.Conv2d(40, 40, 3, 2, 1) for _ in range(2))
        self.linear = nn.Linear(40 * (cells // 16), 48)
        self.out = nn.Linear(48, 1)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        x = F.relu(self.fine(cell_means(fine, 2)))
        x = F.relu(self.both(torch.cat([x, coarse], dim=1)))
        for convolution in self.down:
            x = F.relu(convolution(x))
        x = F.relu(self.linear(x.contiguous().flatten(1)))
        end: Tensor = self.out(x)[:, 0].float()
        return end


def sleeve_map(arms: Tensor, sleeve: Tensor) -> Tensor:
    """The sleeves that end at `sleeve` (B,) on arms (B, 2, h, w) as `arm_places` finds them: (B, 1, h, w) in [-1, 1]."""
    along, distance = arms.split(1, dim=1)
    near = (2.0 - distance / SLEEVE_WIDTH).clamp(0, 1)
    return near * ((sleeve.view(-1, 1, 1, 1) - along) / SLEEVE_EDGE).clamp(-1, 1)


@torch.no_grad()
def hold_to_sleeves(expected: Tensor, keypoints: Tensor, sleeve: Tensor) -> Tensor:
    """M_exp with sleeves that end where the garment's own do.

    `expected` (B, 20, h, w) probabilities; `keypoints` (B, 18, 3) in its pixels; `sleeve` (B,) as `SleeveHead` finds it.
    An arm is left as it is where its end in M_exp is within `DIFFERENCE`, or cannot be seen.
    """
    size = (expected.shape[2], expected.shape[3])
    likeliest, joints = expected.argmax(1).to(torch.uint8).cpu().numpy(), keypoints.float().cpu()
    out = expected
    for i, wanted in enumerate(sleeve.clamp(0.0, 1.0).tolist()):
        ends = sleeve_ends(likeliest[i], joints[i].numpy(), CLEAN)
        for arm, label, end in zip(ARMS, SIDES, ends, strict=True):
            if end is None or max(wanted - end.skin, end.cloth - wanted) <= DIFFERENCE:
                continue
            place = _Place.of(joints[i : i + 1], arm, size)
            shorter = end.middle > wanted
            if not _seen(place, wanted, likeliest[i] == label) if shorter else end.middle <= SHOULDER:
                continue
            if out is expected:
                out = expected.clone()
            shares = out[i].cpu().numpy()
            if shorter:
                _shorten(shares, place, wanted, label)
            else:
                _lengthen(shares, place, wanted)
            out[i] = torch.from_numpy(shares).to(out.device)
    return out


@dataclass
class _Place:
    """Where pixels lie beside one arm, (h, w) each: `along` it, 0 at the shoulder and 1 at the wrist; `near` as the bare
    arm reaches, `loose` as a loose sleeve does; on its `outer` side, away from the trunk; `over_torso`. `length` of the
    arm in pixels."""

    along: np.ndarray
    near: np.ndarray
    loose: np.ndarray
    outer: np.ndarray
    over_torso: np.ndarray
    length: float

    @classmethod
    def of(cls, keypoints: Tensor, arm: tuple[int, int, int], size: tuple[int, int]) -> _Place:
        along, distance = arm_places(keypoints, size, (arm,))[0].numpy()
        joints = keypoints[0, :, :2].numpy()
        bones = joints[list(arm)]
        on_bone = np.stack([np.interp(along, (0.0, 0.5, 1.0), bones[:, axis]) for axis in (0, 1)], -1)
        pixels = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1)
        middle = joints[[L.R_HIP, L.L_HIP, L.NECK, L.NECK]].mean(0)
        outer = np.linalg.norm(pixels - middle, axis=-1) >= np.linalg.norm(on_bone - middle, axis=-1)
        half = half_widths(along)
        length = float(np.linalg.norm(np.diff(bones, axis=0), axis=1).sum())
        over = torso(size, keypoints)[0].numpy()
        return cls(along, distance <= half, distance <= LOOSE * half, outer, over, length)

    def beyond(self, end: float) -> np.ndarray:
        """1 beyond `end`, 0 before it, with an edge two pixels wide."""
        out: np.ndarray = np.clip((self.along - end) * self.length / 2 + 0.5, 0, 1)
        return out


def _seen(place: _Place, end: float, bare: np.ndarray) -> bool:
    """Whether the arm beyond `end` is seen well enough to be bared; `bare` (h, w) bool: where M_exp has its skin."""
    below, hand = place.near & (place.along > end), place.near & (place.along > HAND)
    if not below.any() or not hand.any():
        return False
    return bool(place.over_torso[below].mean() <= HIDDEN and bare[hand].mean() >= HAND_SHARE)


def _shorten(shares: np.ndarray, place: _Place, end: float, label: int) -> None:
    """Below `end` the sleeve becomes bare arm, and what of it is wider than an arm, on the outer side, background."""
    below = place.beyond(end) * ~place.over_torso
    clothes = list(L.TOP_LABELS)
    for where, becomes in ((place.near, label), (place.loose & ~place.near & place.outer, L.BACKGROUND)):
        moved = shares[clothes] * (below * where)
        shares[clothes] -= moved
        shares[becomes] += moved.sum(0)


def _lengthen(shares: np.ndarray, place: _Place, end: float) -> None:
    """Above `end` the bare arm becomes sleeve, of the kind of top that M_exp sees most of."""
    above = (1.0 - place.beyond(end)) * place.loose
    top = max(L.TOP_LABELS, key=lambda one: float(shares[one].sum()))
    moved = shares[list(L.ARM_LABELS)] * above
    shares[list(L.ARM_LABELS)] -= moved
    shares[top] += moved.sum(0)
