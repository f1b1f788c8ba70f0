"""Write pixel shuffles as strided convolutions with ones: every converter and NPU takes those, at most 4-D."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from elir_edge.families.elir.shuffle import FACTOR, unshuffle_kernel

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer

COLOURS = 3


def shuffle_to_convolution(graph: StaticRestorer) -> None:
    """Replace ``nn.PixelUnshuffle`` and ``nn.PixelShuffle`` in encoder and decoder by (transposed) convolutions.

    Needs nothing. Guarantees the same numbers exactly: each output is one input times 1.
    """
    channels, dtype = COLOURS, next(graph.parameters()).dtype
    for i, layer in enumerate(graph.enc.layers):
        if isinstance(layer, nn.PixelUnshuffle):
            graph.enc.layers[i] = _frozen(nn.Conv2d(channels, FACTOR**2 * channels, FACTOR, FACTOR, bias=False), dtype)
            channels *= FACTOR**2
    for i, layer in enumerate(graph.dec.layers):
        if isinstance(layer, nn.PixelShuffle):
            narrow = channels // FACTOR**2
            graph.dec.layers[i] = _frozen(nn.ConvTranspose2d(channels, narrow, FACTOR, FACTOR, bias=False), dtype)
            channels = narrow


def _frozen(conv: nn.Conv2d | nn.ConvTranspose2d, dtype: torch.dtype) -> nn.Module:
    narrow = min(conv.in_channels, conv.out_channels)
    conv.weight = nn.Parameter(unshuffle_kernel(narrow).to(dtype), requires_grad=False)
    return conv
