"""Training collapsible linear blocks at the price of what they collapse to.

A 3x3 convolution to four times the channels and the 1x1 convolution after it are one 3x3 convolution whose weight is a
product of theirs. Forming that product, differentiably, at every step gives the same function and the same gradients
as running the two, for a fraction of the arithmetic (Bhardwaj et al., "Collapsible linear blocks for super-efficient
super resolution", MLSys 2022, section 3.3). Biases: b = P b3 + b1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call


def collapsed_parameters(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """The parameters of ``module`` with every such pair merged, named as in the module built without the pairs."""
    found: dict[str, Tensor] = {f"{prefix}{name}": value for name, value in module.named_parameters(recurse=False)}
    if isinstance(module, nn.Sequential):
        return found | _sequence_parameters(module, prefix)
    for name, child in module.named_children():
        found |= collapsed_parameters(child, f"{prefix}{name}.")
    return found


def merge_pair(first: nn.Conv2d, pointwise: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution equal to ``pointwise(first(x))``. Both must have a bias."""
    projection = pointwise.weight[:, :, 0, 0]
    if first.bias is None or pointwise.bias is None:
        raise ValueError("a collapsible linear block has two biases")
    weight = (projection @ first.weight.flatten(1)).view(-1, *first.weight.shape[1:])
    return weight, projection @ first.bias + pointwise.bias


class Collapsed:
    """``expanded``, run through ``plain``, the same module built without the pairs, which lends its structure only."""

    def __init__(self, expanded: nn.Module, plain: nn.Module) -> None:
        self.expanded = expanded
        self.plain = plain

    def parameters(self) -> dict[str, Tensor]:
        """What ``plain`` runs with; form it once a step, in full precision, and hand it to every call of that step."""
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
