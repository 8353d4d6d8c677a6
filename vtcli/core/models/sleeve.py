"""The garment's own sleeves: where they end is read from its picture alone, and laid along the person's arms.

In a training pair the body shape comes from a photo in which the wanted garment is worn, so M_exp partly reads sleeves
from the body, and a person in long sleeves gets long ones. A head that sees only the garment cannot. What it says is one
more channel of the person representation: 1 where the garment's sleeve lies on the arm, -1 where the arm is bare.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vtcli.core.data import labels as L
from vtcli.core.data.body_regions import torso
from vtcli.core.data.sleeves import ARMS, sleeve_ends

SLEEVE_WIDTH = 0.15
"""Half the width of a sleeve, as a share of the length from neck to hips: VITON's people, set by hand."""
SLEEVE_EDGE = 0.1
"""How far from its end the sleeve's map reaches ±1, as a share of the arm: twice the head's mean error."""
DIFFERENCE = 0.1
"""Sleeve ends (shares of the arm) that are further apart than this differ: what is within is as exact as the head. Among
0.1, 0.15, 0.2 and 0.3 it gave the best slopes on the pairs for choosing."""
HALF_WIDTH = (0.105, 0.06)
"""Half the width of a bare arm at the shoulder and at the wrist, as a share of the length from neck to hips: measured on
VITON's people."""
LOOSE = 3.0
"""How many times as wide a sleeve may be as the arm in it."""
HIDDEN = 0.4
"""Share of the arm below the sleeve's end that may lie over the torso; with more of it, a new length cannot be drawn."""


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
        x = F.relu(self.fine(F.avg_pool2d(fine, 2)))
        x = F.relu(self.both(torch.cat([x, coarse], dim=1)))
        for convolution in self.down:
            x = F.relu(convolution(x))
        x = F.relu(self.linear(x.contiguous().flatten(1)))
        end: Tensor = self.out(x)[:, 0].float()
        return end


def arm_places(keypoints: Tensor, size: tuple[int, int]) -> Tensor:
    """Where pixels lie beside the nearer arm, (B, 2, h, w) of `size`: along it, 0 at the shoulder, 0.5 at the elbow and 1
    at the wrist; and how far from its bones, in lengths from neck to hips. `keypoints` (B, 18, 3) in pixels of `size`. An
    arm without its three joints is far from everything."""
    rows, columns = (torch.arange(n, device=keypoints.device, dtype=torch.float32) for n in size)
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"))[None]
    there = L.joints_present(keypoints)
    best = keypoints.new_full((len(keypoints), *size), 1e6)
    along = torch.zeros_like(best)
    for arm in ARMS:
        seen = there[:, list(arm)].all(1)
        for first, (start, stop) in enumerate(itertools.pairwise(arm)):
            origin, bone = keypoints[:, start, :2], keypoints[:, stop, :2] - keypoints[:, start, :2]
            offset = pixels - origin[:, :, None, None]
            share = (offset * bone[:, :, None, None]).sum(1) / bone.square().sum(1).clamp_min(1e-3)[
                :, None, None
            ]
            share = share.clamp(0, 1)
            distance = (offset - share[:, None] * bone[:, :, None, None]).square().sum(1).sqrt()
            closer = (distance < best) & seen[:, None, None]
            best = torch.where(closer, distance, best)
            along = torch.where(closer, (first + share) / 2, along)
    return torch.stack([along, best / _trunk(keypoints)[:, None, None]], dim=1)


def sleeve_map(arms: Tensor, sleeve: Tensor) -> Tensor:
    """The sleeves that end at `sleeve` (B,) on arms (B, 2, h, w) as `arm_places` finds them: (B, 1, h, w) in [-1, 1]."""
    along, distance = arms.split(1, dim=1)
    near = (2.0 - distance / SLEEVE_WIDTH).clamp(0, 1)
    return near * ((sleeve.view(-1, 1, 1, 1) - along) / SLEEVE_EDGE).clamp(-1, 1)


def _trunk(keypoints: Tensor) -> Tensor:
    """The length from neck to hips, (B,) in pixels; half the shoulders' distance again where hips are not seen."""
    there = L.joints_present(keypoints)[:, [L.NECK, L.R_HIP, L.L_HIP]].all(1)
    hips = keypoints[:, [L.R_HIP, L.L_HIP], :2].mean(1)
    shoulders = (keypoints[:, L.R_SHOULDER, :2] - keypoints[:, L.L_SHOULDER, :2]).norm(dim=1)
    trunk = torch.where(there, (hips - keypoints[:, L.NECK, :2]).norm(dim=1), 1.5 * shoulders)
    return trunk.clamp_min(1.0)


@torch.no_grad()
def hold_to_sleeves(expected: Tensor, keypoints: Tensor, sleeve: Tensor) -> Tensor:
    """M_exp with sleeves that end where the garment's own do.

    `expected` (B, 20, h, w) probabilities; `keypoints` (B, 18, 3) in its pixels; `sleeve` (B,) as `SleeveHead` finds it.
    An arm is left as it is where its end in M_exp is within `DIFFERENCE`, or cannot be seen.
    """
    likeliest, joints = expected.argmax(1).to(torch.uint8).cpu().numpy(), keypoints.float().cpu().numpy()
    out = expected
    for i, wanted in enumerate(sleeve.clamp(0.0, 1.0).tolist()):
        for arm, label, end in zip(
            ARMS, (L.RIGHT_ARM, L.LEFT_ARM), sleeve_ends(likeliest[i], joints[i]), strict=True
        ):
            if end is None or max(wanted - end.skin, end.cloth - wanted) <= DIFFERENCE:
                continue
            place = _place(joints[i], arm, expected.shape[2:])
            body = torso(expected.shape[2:], keypoints[i : i + 1])[0].cpu().numpy()  # type: ignore[arg-type]
            if end.middle > wanted and body[place.near & (place.along > wanted)].mean() > HIDDEN:
                continue
            if out is expected:
                out = expected.clone()
            shares = out[i].cpu().numpy()
            if end.middle > wanted:
                _shorten(shares, place, wanted, label, body)
            else:
                _lengthen(shares, place, wanted)
            out[i] = torch.from_numpy(shares).to(out.device)
    return out


@dataclass
class _Place:
    """Where pixels lie beside an arm, (h, w) each: `along` it, 0 at the shoulder and 1 at the wrist; `near`, as the bare
    arm does; `loose`, as a loose sleeve may; on its `outer` side, away from the torso. `length` of the arm in pixels."""

    along: np.ndarray
    near: np.ndarray
    loose: np.ndarray
    outer: np.ndarray
    length: float


def _place(joints: np.ndarray, arm: tuple[int, int, int], size: tuple[int, ...]) -> _Place:
    shoulder, elbow, wrist = (joints[j, :2] for j in arm)
    pixels = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1).astype(np.float32)
    best = np.full(size, np.inf, np.float32)
    along = np.zeros(size, np.float32)
    nearest = np.zeros((*size, 2), np.float32)
    for start, stop, first in ((shoulder, elbow, 0.0), (elbow, wrist, 0.5)):
        bone = stop - start
        share = np.clip((pixels - start) @ bone / max(float(bone @ bone), 1e-3), 0, 1)
        point = start + share[..., None] * bone
        distance = np.linalg.norm(pixels - point, axis=-1)
        closer = distance < best
        best = np.where(closer, distance, best)
        along = np.where(closer, first + share / 2, along)
        nearest = np.where(closer[..., None], point, nearest)
    hips = joints[[L.R_HIP, L.L_HIP], :2].mean(0)
    trunk = float(np.linalg.norm(hips - joints[L.NECK, :2]))
    half = trunk * (HALF_WIDTH[0] + (HALF_WIDTH[1] - HALF_WIDTH[0]) * along)
    middle = (hips + joints[L.NECK, :2]) / 2
    outer = np.linalg.norm(pixels - middle, axis=-1) >= np.linalg.norm(nearest - middle, axis=-1)
    length = float(np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow))
    return _Place(along, best <= half, best <= LOOSE * half, outer, length)


def _shorten(shares: np.ndarray, place: _Place, end: float, label: int, body: np.ndarray) -> None:
    """Below `end` the sleeve becomes bare arm, and what of it is wider than an arm, on the outer side, background."""
    below = _beyond(place, end) * ~body
    clothes = list(L.TOP_LABELS)
    for where, becomes in (
        (place.near, label),
        (place.loose & ~place.near & place.outer, L.BACKGROUND),
    ):
        moved = shares[clothes] * (below * where)
        shares[clothes] -= moved
        shares[becomes] += moved.sum(0)


def _lengthen(shares: np.ndarray, place: _Place, end: float) -> None:
    """Above `end` the bare arm becomes sleeve, of the kind of top that M_exp sees most of."""
    above = (1.0 - _beyond(place, end)) * place.loose
    top = max(L.TOP_LABELS, key=lambda one: float(shares[one].sum()))
    moved = shares[list(L.ARM_LABELS)] * above
    shares[list(L.ARM_LABELS)] -= moved
    shares[top] += moved.sum(0)


def _beyond(place: _Place, end: float) -> np.ndarray:
    """1 beyond `end`, 0 before it, with an edge two pixels wide."""
    out: np.ndarray = np.clip((place.along - end) * place.length / 2 + 0.5, 0, 1)
    return out
