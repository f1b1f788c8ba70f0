"""Write pixel shuffles as strided convolutions with ones: every converter and NPU takes those, at most 4-D."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from elir_edge.families.networks.shuffle import FACTOR, Shuffle, Unshuffle

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def shuffle_to_convolution(graph: StaticRestorer) -> None:
    """Replace ``Unshuffle`` and ``Shuffle`` everywhere by convolutions and transposed ones.

    Needs nothing. Guarantees the same numbers exactly: each output is one input times 1.
    """
    dtype = next(graph.parameters(), torch.zeros(())).dtype
    for parent in list(graph.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Unshuffle | Shuffle):
                setattr(parent, name, _convolution(child, dtype))


def _convolution(module: Unshuffle | Shuffle, dtype: torch.dtype) -> nn.Module:
    narrow, wide = module.channels, FACTOR**2 * module.channels
    if isinstance(module, Unshuffle):
        conv: nn.Conv2d | nn.ConvTranspose2d = nn.Conv2d(narrow, wide, FACTOR, FACTOR, bias=False)
    else:
        conv = nn.ConvTranspose2d(wide, narrow, FACTOR, FACTOR, bias=False)
    conv.weight = nn.Parameter(unshuffle_kernel(narrow).to(dtype), requires_grad=False)
    return conv


def unshuffle_kernel(channels: int) -> Tensor:
    """The 4 C x C x 2 x 2 kernel of ones and zeros with which a convolution of stride 2 is ``nn.PixelUnshuffle(2)``.

    A transposed convolution with it is ``nn.PixelShuffle(2)``.
    """
    kernel = torch.zeros(FACTOR**2 * channels, channels, FACTOR, FACTOR)
    for channel in range(channels):
        for row in range(FACTOR):
            for column in range(FACTOR):
                kernel[channel * FACTOR**2 + row * FACTOR + column, channel, row, column] = 1.0
    return kernel
