"""Watching, or replacing, the operators that a static graph runs in PyTorch, in their order."""

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
        *(functional.silu, functional.relu, functional.group_norm),
        *(torch.relu, torch.tanh, torch.cat, torch.rsqrt, torch.add, torch.mul, torch.sub, torch.mean),
        *(Tensor.add, Tensor.mul, Tensor.sub, Tensor.mean, Tensor.tanh, Tensor.clamp, Tensor.rsqrt),
        *(Tensor.__add__, Tensor.__mul__, Tensor.__sub__, Tensor.__radd__, Tensor.__rmul__),
    }
)


class Operators(TorchFunctionMode):
    """While active, ``visit(index, function, args, kwargs)`` runs each operator whose result int8 graphs round.

    ``index`` counts them from 0: a static graph runs the same ones in the same order each time, so that it names a
    tensor of one unrolled step. Operators that only move values (padding, upsampling, permutation) are not visited.
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
        """Part of PyTorch's protocol."""
        if func not in ROUNDED:
            return func(*args, **(kwargs or {}))
        index, self.count = self.count, self.count + 1
        return self._visit(index, func, args, kwargs or {})


class Convolution:
    """A call of conv2d or conv_transpose2d, whichever way its arguments were given."""

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
        """The weight's axis of output channels."""
        return CONVOLUTIONS[self.func]

    def run(self, weight: Tensor) -> Tensor:
        """The call with another weight."""
        positional, named = self.extra
        return self.func(self.input, weight, self.bias, self.stride, self.padding, *positional, **named)


def _single(value: int | tuple[int, ...]) -> int:
    if isinstance(value, int):
        return value
    if len(set(value)) != 1:
        raise ValueError(f"a convolution of unequal stride or padding {value}")
    return value[0]
