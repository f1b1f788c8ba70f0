"""Transposed convolutions with output padding, which litert-torch does not convert, as ones without it."""

from __future__ import annotations

from functools import partial

from torch import nn
from torch.nn import functional

from elir_edge.families.rewrites.sharing import SharedUpdate


def absorb_output_padding(graph: nn.Module) -> None:
    """Give transposed convolutions with output padding larger kernels, with zeros at the end, in its place; in place.

    Output n of a transposed convolution is the sum of w[k] x[i] with n = i stride - padding + k: larger k reach the
    rows and columns that output padding adds. Leaves dilated ones as they are. Guarantees the same function; kernels
    that were shared stay shared.
    """
    update = SharedUpdate()
    for module in graph.modules():
        if isinstance(module, nn.ConvTranspose2d) and any(module.output_padding) and set(module.dilation) == {1}:
            below, right = module.output_padding
            update(module, "weight", partial(functional.pad, pad=(0, right, 0, below)))
            module.kernel_size = (module.weight.shape[2], module.weight.shape[3])
            module.output_padding = (0, 0)
