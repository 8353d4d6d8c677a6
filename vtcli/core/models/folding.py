"""BatchNorm folded into the convolutions before it, for inference: the same function in fewer passes over memory."""

from __future__ import annotations

import itertools
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def fold_batch_norm(network: Network) -> Network:
    """`network` itself, in eval mode, each BatchNorm that follows a convolution folded into it; equal but for rounding.
    It cannot be trained afterwards. In a Sequential they follow each other; other modules name theirs in `NORMED`."""
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            names = list(module._modules)
            pairs = list(itertools.pairwise(names))
        else:
            pairs = [pair for pair in getattr(module, "NORMED", ()) if hasattr(module, pair[0])]
        for first, second in pairs:
            convolution, norm = getattr(module, first), getattr(module, second)
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, fuse_conv_bn_eval(convolution, norm))
                setattr(module, second, nn.Identity())
    return network
