"""Observing or replacing the operators that a static graph runs in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Visit = Callable[[int, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

CONVOLUTIONS: dict[Callable[..., Any], int] = {functional.conv2d: 0, functional.conv_transpose2d: 1}
_FIRST = ("input", "weight", "bias", "stride", "padding")
NAMES: dict[Callable[..., Any], tuple[str, ...]] = {
    functional.conv2d: (*_FIRST, "dilation", "groups"),
    functional.conv_transpose2d: (*_FIRST, "output_padding", "groups", "dilation"),
}
ROUNDED: frozenset[Callable[..., Any]] = frozenset(
    {
        *CONVOLUTIONS,
        *(functional.silu, functional.relu, functional.group_norm, functional.layer_norm),
        *(functional.leaky_relu, functional.prelu, functional.gelu, functional.elu, functional.relu6),
        *(functional.hardswish, functional.hardsigmoid, functional.hardtanh, functional.softmax),
        *(functional.batch_norm, functional.instance_norm, functional.linear),
        *(functional.avg_pool2d, functional.adaptive_avg_pool2d),
        *(torch.relu, torch.tanh, torch.cat, torch.rsqrt, torch.add, torch.mul, torch.sub, torch.mean),
        *(torch.relu_, torch.sigmoid, torch.div, torch.matmul, Tensor.relu, Tensor.sigmoid, Tensor.div, Tensor.matmul),
        *(Tensor.__iadd__, Tensor.__isub__, Tensor.__imul__, Tensor.__truediv__, Tensor.__matmul__, Tensor.__rsub__),
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
        if func not in ROUNDED or not _reads_floats(args):
            return func(*args, **(kwargs or {}))
        index, self.count = self.count, self.count + 1
        return self._visit(index, func, args, kwargs or {})


def _reads_floats(args: Sequence[Any]) -> bool:
    """Whether an argument is a floating-point tensor, or a sequence with one: others compute positions and sizes."""
    return any(
        arg.is_floating_point() if isinstance(arg, Tensor) else isinstance(arg, list | tuple) and _reads_floats(arg)
        for arg in args
    )


class Convolution:
    """The arguments of a call of conv2d or conv_transpose2d, positional or named; pairs are (rows, columns)."""

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.func = func
        self._given: dict[str, Any] = dict(zip(NAMES[func], args, strict=False)) | kwargs
        self.input: Tensor = self._given["input"]
        self.weight: Tensor = self._given["weight"]
        self.bias: Tensor | None = self._given.get("bias")
        self.stride = _pair(self._given.get("stride", 1))
        self.dilation = _pair(self._given.get("dilation", 1))
        self.groups: int = self._given.get("groups", 1)

    @property
    def output_axis(self) -> int:
        """Axis of the output channels in the weight."""
        return CONVOLUTIONS[self.func]

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Zeros around the input: left, right, above, below; of a transposed convolution, around the spaced input."""
        spans = [step * (side - 1) for step, side in zip(self.dilation, self.weight.shape[2:], strict=True)]
        padding = self._given.get("padding", 0)
        if padding == "same":
            (top, left) = (span // 2 for span in spans)
            return left, spans[1] - left, top, spans[0] - top
        rows, columns = (0, 0) if padding == "valid" else _pair(padding)
        if self.output_axis == 1:
            rows, columns = spans[0] - rows, spans[1] - columns
        return columns, columns, rows, rows

    def run(self, weight: Tensor) -> Tensor:
        """Repeat the call with another weight."""
        return self.func(**(self._given | {"weight": weight}))


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    rows, columns = (*value, *value) if len(value) == 1 else value
    return rows, columns
