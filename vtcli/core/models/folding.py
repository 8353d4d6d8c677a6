"""BatchNorm folded into the convolutions before it, for inference: the same function in fewer passes over memory."""

from __future__ import annotations

import itertools
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def fold_batch_norm(network: Network) -> Network:
    """`network` itself, in eval mode, each BatchNorm folded into the convolution that its module names right before it;
    equal but for rounding. It cannot be trained afterwards. Weights lie channels-last, as pictures do: otherwise each call
    turns them round, which takes as long as a small picture's convolution."""
    for module in list(network.modules()):
        for (first, convolution), (second, norm) in itertools.pairwise(list(module.named_children())):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
