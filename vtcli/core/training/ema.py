"""Exponential moving average of a network's weights: the copy that is validated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """A copy of `network` that follows it: average ← decay · average + (1 - decay) · network.

    Early on the decay is (1 + n) / (10 + n), so that the copy is not held back by the random start. BatchNorm's
    statistics are averaged alike: those of the network's latest steps do not fit weights of a while ago.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, steps: int) -> None:
        """Follow `network` after its step number `steps`."""
        weight = 1.0 - min(self.decay, (1.0 + steps) / (10.0 + steps))
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
