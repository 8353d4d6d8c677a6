"""Exponential moving average of a network's weights: the copy that is validated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import nn


class EMA:
    """A copy of `network` that follows it: average ← d · average + (1 − d) · network.

    After step n, counted from 0, d = min(decay, (1 + n) / (10 + n)): early on the copy is not held back by the random
    start. BatchNorm's statistics are averaged alike: those of the network's latest steps do not fit weights of a
    while ago.

    torch.optim.swa_utils.AveragedModel gives other numbers: its first update copies the network where this one
    averages, it counts updates where this one counts steps (they differ after a skipped step), and it hands integer
    buffers to the same average.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Follow `network` after its step number `step`."""
        weight = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        torch._foreach_lerp_(
            [p.data for p in self.network.parameters()], [p.data for p in network.parameters()], weight
        )
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, weight)
            else:
                mine.copy_(theirs)

    @torch.no_grad()
    def restore_buffers(self, network: nn.Module) -> None:
        """Give `network` the averaged buffers: a forward pass that overflowed has spoilt its own."""
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            theirs.copy_(mine)
