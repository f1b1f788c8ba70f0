"""Observing or replacing the operators that a static graph runs in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Visit = Callable[[int, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

CONVOLUTIONS: dict[Callable[..., Any], int] = {functional.conv2d: 0, functional.conv_transpose2d: 1}
ROUNDED: frozenset[Callable[..., Any]] = frozenset(
    {
        *CONVOLUTIONS,
        *(functional.silu, functional.relu, functional.group_norm, functional.layer_norm),
        *(torch.relu, torch.tanh, torch.cat, torch.rsqrt, torch.add, torch.mul, torch.sub, torch.mean),
        *(Tensor.add, Tensor.mul, Tensor.sub, Tensor.mean, Tensor.tanh, Tensor.clamp, Tensor.rsqrt),
        *(Tensor.__add__, Tensor.__mul__, Tensor.__sub__, Tensor.__radd__, Tensor.__rmul__),
    }
)


class Operators(TorchFunctionMode):
    """While active, ``visit(index, function, args, kwargs)`` runs in place of each operator whose result int8 rounds.

    ``index`` counts from 0. A static graph runs the same operators in the same order each time, so that an index stands
    for one tensor of one step. Operators that only move values (padding, upsampling, permutation) are not visited.
    """

    def __init__(self, visit: Visit) -> None:
        super().__init__()
        self._visit = visit
        self.count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """See ``torch.overrides``."""
        if func not in ROUNDED:
            return func(*args, **(kwargs or {}))
        index, self.count = self.count, self.count + 1
        return self._visit(index, func, args, kwargs or {})


class Convolution:
    """The arguments of a call of conv2d or conv_transpose2d, positional or named."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names = ("input", "weight", "bias", "stride", "padding")
        given = dict(zip(names, args, strict=False)) | kwargs
        self.func = func
        self.extra = args[len(names) :], {name: value for name, value in kwargs.items() if name not in names}
        self.input: Tensor = given["input"]
        self.weight: Tensor = given["weight"]
        self.bias: Tensor | None = given.get("bias")
        self.stride: int = _single(given.get("stride", 1))
        self.padding: int = _single(given.get("padding", 0))

    @property
    def output_axis(self) -> int:
        """Axis of the output channels in the weight."""
        return CONVOLUTIONS[self.func]

    def run(self, weight: Tensor) -> Tensor:
        """Repeat the call with another weight."""
        positional, named = self.extra
        return self.func(self.input, weight, self.bias, self.stride, self.padding, *positional, **named)


def _single(value: int | tuple[int, ...]) -> int:
    if isinstance(value, int):
        return value
    if len(set(value)) != 1:
        raise ValueError(f"stride or padding {value} differs between the axes")
    return value[0]
