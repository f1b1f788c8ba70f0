"""Collapse linear blocks: a convolution and the 1x1 convolution right after it become one convolution."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Any, TypeGuard, cast

import torch
from torch import Tensor, nn


def collapse(module: nn.Module, leave: Collection[str] = ()) -> nn.Module:
    """Merge every such pair inside the ``nn.Sequential`` containers of ``module``, in place; returns ``module``.

    Children called as in ``leave`` are not touched: what a user's module does with its containers is not known.

    W[o,i] = sum_m P[o,m] W3[m,i] and b = P b3 + b1 (ELIR, arXiv 2502.03500, section on collapsible layers).
    Requires: nothing. Guarantees: the same function up to rounding, borders included; a second call changes nothing.
    """
    for name, child in list(module.named_children()):
        if name in leave:
            continue
        if type(child) is nn.Sequential:
            setattr(module, name, _collapse_sequence(child))
        collapse(getattr(module, name))
    return module


def has_linear_blocks(module: nn.Module, leave: Collection[str] = ()) -> bool:
    """Whether ``collapse`` would change anything in ``module``."""
    children = [child for name, child in module.named_children() if name not in leave]
    sequences = (part for child in children for part in child.modules() if type(part) is nn.Sequential)
    return any(_is_pair(first, second) for sequence in sequences for first, second in pairwise(sequence))


def merge(first: nn.Module, pointwise: nn.Module) -> nn.Conv2d:
    """The convolution equal to ``pointwise(first(x))``, computed in float64. Raises TypeError for other layers."""
    if not isinstance(first, nn.Conv2d) or not isinstance(pointwise, nn.Conv2d):
        raise TypeError(f"cannot merge {type(first).__name__} and {type(pointwise).__name__}")
    projection = pointwise.weight.detach().double()[:, :, 0, 0]
    weight = torch.einsum("om,mihw->oihw", projection, first.weight.detach().double())
    bias = projection @ _bias(first) + _bias(pointwise)
    geometry: dict[str, Any] = {"stride": first.stride, "padding": first.padding}
    merged = nn.Conv2d(first.in_channels, pointwise.out_channels, cast(Any, first.kernel_size), **geometry)
    merged.weight = nn.Parameter(weight.to(first.weight.dtype), requires_grad=first.weight.requires_grad)
    merged.bias = nn.Parameter(bias.to(first.weight.dtype), requires_grad=first.weight.requires_grad)
    return merged


def _collapse_sequence(sequence: nn.Sequential) -> nn.Sequential:
    layers: list[nn.Module] = []
    for layer in sequence:
        if layers and _is_pair(layers[-1], layer):
            layers[-1] = merge(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers) if len(layers) < len(sequence) else sequence


def _is_pair(first: nn.Module, second: nn.Module) -> bool:
    return (
        _is_plain(first)
        and _is_plain(second)
        and second.kernel_size == second.stride == (1, 1)
        and second.padding == (0, 0)
    )


def _is_plain(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(layer) is nn.Conv2d  # a subclass may compute something else
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
    )


def _bias(conv: nn.Conv2d) -> Tensor:
    if conv.bias is None:
        return torch.zeros(conv.out_channels, dtype=torch.float64)
    return conv.bias.detach().double()
