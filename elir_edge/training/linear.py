"""Training of collapsible linear blocks at the cost of the collapsed convolution.

A 3x3 convolution to four times the channels and the 1x1 convolution after it equal one 3x3 convolution, whose weight is
the product of theirs and whose bias is b = P b3 + b1. Forming the product differentiably in every step has the same
function and gradients as running both, for a fraction of the arithmetic (Bhardwaj et al., "Collapsible linear blocks
for super-efficient super resolution", MLSys 2022, section 3.3).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call


def collapsed_parameters(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """The parameters of ``module`` with every pair merged, under the names of the module built without pairs."""
    found: dict[str, Tensor] = {f"{prefix}{name}": value for name, value in module.named_parameters(recurse=False)}
    if isinstance(module, nn.Sequential):
        return found | _sequence_parameters(module, prefix)
    for name, child in module.named_children():
        found |= collapsed_parameters(child, f"{prefix}{name}.")
    return found


def merge_pair(first: nn.Conv2d, pointwise: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution equal to ``pointwise(first(x))``. Raises ValueError without two biases."""
    projection = pointwise.weight[:, :, 0, 0]
    if first.bias is None or pointwise.bias is None:
        raise ValueError("a collapsible linear block has two biases")
    weight = (projection @ first.weight.flatten(1)).view(-1, *first.weight.shape[1:])
    return weight, projection @ first.bias + pointwise.bias


class Collapsed:
    """Runs ``expanded`` as ``plain``, the same module built without pairs; parameters of ``plain`` are not used."""

    def __init__(self, expanded: nn.Module, plain: nn.Module) -> None:
        self.expanded = expanded
        self.plain = plain

    def parameters(self) -> dict[str, Tensor]:
        """Parameters for ``plain``, in full precision: compute them once per step and pass them to every call."""
        device = next(self.expanded.parameters()).device.type
        with torch.autocast(device, enabled=False):
            return collapsed_parameters(self.expanded)

    def __call__(self, parameters: dict[str, Tensor], *inputs: Tensor) -> Tensor:
        return functional_call(self.plain, parameters, inputs)


def _sequence_parameters(sequence: nn.Sequential, prefix: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    layers, index, position = list(sequence), 0, 0
    while position < len(layers):
        layer = layers[position]
        following = layers[position + 1] if position + 1 < len(layers) else None
        if isinstance(layer, nn.Conv2d) and isinstance(following, nn.Conv2d) and following.kernel_size == (1, 1):
            found[f"{prefix}{index}.weight"], found[f"{prefix}{index}.bias"] = merge_pair(layer, following)
            position += 1
        else:
            found |= collapsed_parameters(layer, f"{prefix}{index}.")
        index, position = index + 1, position + 1
    return found
