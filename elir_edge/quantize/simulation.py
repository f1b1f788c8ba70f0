"""Simulation of int8 graphs in PyTorch: tensors are rounded as int8 does; gradients pass through the rounding."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elir_edge.lowering.static import StaticRestorer
from elir_edge.quantize.levels import LEVELS
from elir_edge.quantize.operators import CONVOLUTIONS, Convolution, Operators
from elir_edge.quantize.ranges import RANGE_METHOD, Ranges

ACTIVATION_LEVELS = 255
SIGMOID_LEVELS = 256
SMALLEST = 1e-12
RECTIFIERS = (functional.relu, torch.relu, torch.relu_, functional.relu6, functional.batch_norm)

Call = Callable[..., Any]
Inputs = Sequence[tuple[Tensor, ...]]  # of a static graph, one tuple for each picture


class Simulation:
    """``ranges``: (low, high) of each rounded tensor by the index of its operator (see ``Operators``).

    ``rectified``: indices of tensors that a ReLU or a batch norm reads, which become one op with what writes them:
    integer graphs round after it only. ``levels``: steps per side of int8 weights.
    """

    def __init__(self, ranges: dict[int, tuple[float, float]], rectified: frozenset[int], levels: int = LEVELS) -> None:
        self.ranges, self.rectified, self.levels = ranges, rectified, levels

    @classmethod
    def observe(
        cls,
        graph: StaticRestorer,
        inputs: Iterable[tuple[Tensor, ...]],
        levels: int = LEVELS,
        method: str = RANGE_METHOD,
    ) -> Simulation:
        """The simulation with ranges measured on ``inputs`` of the float ``graph``, one tuple for each sample."""
        ranges, rectified = Ranges(), set()

        def visit(index: int, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            before = getattr(args[0], "elir_index", None)  # read first: in place, the output is the same tensor
            output = func(*args, **kwargs)
            output.elir_index = index
            if func in RECTIFIERS and before is not None:
                rectified.add(before)
            ranges.add({str(index): output.detach().numpy()})
            return output

        with torch.no_grad():
            for sample in inputs:
                with Operators(visit):
                    graph.values(*sample)
        found = ranges.estimate(method, ACTIVATION_LEVELS + 1)
        return cls({int(name): ends for name, ends in found.items()}, frozenset(rectified), levels)

    def active(self, places: Collection[int] | None = None) -> Operators:
        """A context in which a static graph computes as its int8 form does, for one run.

        ``places`` are the indices of the operators in int8, None: all; the others stay float.
        """
        return Operators(self._visit if places is None else partial(self._visit_some, places))

    def _visit_some(
        self, places: Collection[int], index: int, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return self._visit(index, func, args, kwargs) if index in places else func(*args, **kwargs)

    def _visit(self, index: int, func: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func in CONVOLUTIONS:
            call = Convolution(func, args, kwargs)
            output = call.run(round_kernel(call.weight, call.output_axis, self.levels))
        elif func is functional.silu:
            gate = through(torch.sigmoid(args[0]), 1 / SIGMOID_LEVELS, 0.0, (SIGMOID_LEVELS - 1) / SIGMOID_LEVELS)
            output = args[0] * gate
        else:
            output = func(*args, **kwargs)
        return self.round_output(index, output)

    def round_output(self, index: int, values: Tensor) -> Tensor:
        """``values``, the output of operator ``index``, as the int8 form stores them; unchanged before a ReLU."""
        if index in self.rectified:
            return values
        low, high = self.ranges[index]
        return through(values, max((high - low) / ACTIVATION_LEVELS, SMALLEST), low, high)


def through(values: Tensor, step: float, low: float, high: float) -> Tensor:
    """Clip to [low, high] and round to multiples of ``step``; the gradient is that of clipping (straight-through)."""
    clipped = values.clamp(low, high)
    return clipped + (torch.round(clipped / step) * step - clipped).detach()


def round_kernel(weight: Tensor, axis: int, levels: int = LEVELS) -> Tensor:
    """Round a kernel to ``levels`` steps per side of each output channel's largest magnitude; ``axis``: of outputs.

    Straight-through gradient; none through the scale.
    """
    others = [i for i in range(weight.dim()) if i != axis]
    limit = weight.detach().abs().amax(others, keepdim=True).clamp_min(SMALLEST)
    step = limit / levels
    return weight + (torch.round(weight / step) * step - weight).detach()


def crops(pictures: Iterable[np.ndarray], height: int, width: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Random crops of ``pictures`` (uint8 H x W x 3), half of them mirrored: count x height x width x 3."""
    pool = list(pictures)
    cut = []
    for _ in range(count):
        picture = pool[rng.integers(len(pool))]
        top = int(rng.integers(0, picture.shape[0] - height + 1))
        left = int(rng.integers(0, picture.shape[1] - width + 1))
        part = picture[top : top + height, left : left + width]
        cut.append(part[:, ::-1] if rng.uniform() < 0.5 else part)
    return np.stack(cut)
