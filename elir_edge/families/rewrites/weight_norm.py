"""Weight normalization in the form of ``torch.nn.utils.weight_norm``: a weight that is computed before each use."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils import remove_weight_norm
from torch.nn.utils.weight_norm import WeightNorm

Module = TypeVar("Module", bound=nn.Module)


def plain_copy(module: Module) -> Module:
    """A copy of ``module`` that shares its parameters, without gradients; normalized weights are plain ones in it.

    Needs nothing. Guarantees the same numbers: what was computed before each use is stored.
    """
    memo: dict[int, Tensor] = {id(value): value.detach() for value in _computed_tensors(module)}
    memo |= {id(tensor): nn.Parameter(tensor.detach(), requires_grad=False) for tensor in module.parameters()}
    copied = copy.deepcopy(module, memo=dict(memo))
    for layer in copied.modules():
        for hook in [hook for hook in layer._forward_pre_hooks.values() if isinstance(hook, WeightNorm)]:
            remove_weight_norm(layer, hook.name)
    return copied.requires_grad_(False)


def _computed_tensors(module: nn.Module) -> list[Tensor]:
    """Tensors that are neither parameters nor buffers: torch refuses to copy those that came out of a computation."""
    return [value for part in module.modules() for value in vars(part).values() if isinstance(value, Tensor)]
