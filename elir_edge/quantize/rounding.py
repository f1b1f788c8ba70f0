"""Rounding weights to int8 so that what one rounding spoils, the next ones mend.

Error-compensated rounding as in GPTQ (Frantar et al., arXiv 2210.17323): with H = E[x x^T] over the inputs of a
convolution, column after column is rounded, and its error is spread over the columns not rounded yet along the inverse
of H. What it removes first is the systematic part, which shows as a colour cast. The result lies on the symmetric
grid of 127 steps a side that every format's quantizer makes of it, so that one rounding serves all formats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from elir_edge.core.progress import Progress
from elir_edge.lowering.static import StaticRestorer
from elir_edge.quantize.operators import CONVOLUTIONS, Convolution, Operators

LEVELS = 127
DAMPING = 0.01
PATCHES = 256
BLOCK = 128
SMALLEST = 1e-12


@dataclass
class Moments:
    """``second``: the sum of x x^T over ``rows`` input patches x of the convolutions that use ``weight``.

    ``axis`` is the weight's axis of output channels, 1 for transposed convolutions.
    """

    weight: Tensor
    axis: int
    second: Tensor
    rows: int


def round_weights(
    graph: StaticRestorer, feeds: Sequence[tuple[Tensor, ...]], progress: Progress, patches: int = PATCHES
) -> None:
    """Replace, in place, every convolution's weight by its int8 value times its scale.

    Args:
        graph: any static graph; modules that shared a weight share its replacement.
        feeds: the graph's inputs, once for each calibration sample.
        patches: input patches that are looked at, for each convolution and sample; a fixed seed draws them.
    """
    moments = _gather(graph, feeds, progress, patches)
    with progress.stage("rounding weights", len(moments)) as advance:
        replacements = {}
        for identity, moment in moments.items():
            matrix = round_matrix(_matrix(moment), moment.second / moment.rows)
            replacements[identity] = _weight(moment, matrix)
            advance(1)
    replace_parameters(graph, replacements)


def round_matrix(weight: Tensor, second: Tensor, damping: float = DAMPING) -> Tensor:
    """``weight`` (outputs x inputs) on the grid of 127 steps a side of each row, float32.

    Each row's largest weight stays as it is, so that the row's scale does too. ``second`` is H, inputs x inputs.
    """
    work, second = weight.double().clone(), second.double()
    scale = work.abs().amax(1, keepdim=True).clamp_min(SMALLEST) / LEVELS
    peak = work.abs() >= work.abs().amax(1, keepdim=True)
    order = torch.argsort(second.diagonal(), descending=True, stable=True)
    work, peak = work[:, order], peak[:, order]
    spread = _spread(second[order][:, order], damping)
    limit = torch.where(peak, LEVELS * work.sign(), torch.zeros_like(work))
    rounded = torch.zeros_like(work)
    for start in range(0, work.shape[1], BLOCK):
        end = min(start + BLOCK, work.shape[1])
        errors = torch.zeros(work.shape[0], end - start, dtype=work.dtype)
        for j in range(start, end):
            level = (work[:, j] / scale[:, 0]).round().clamp(-LEVELS, LEVELS)
            rounded[:, j] = torch.where(peak[:, j], limit[:, j], level) * scale[:, 0]
            error = (work[:, j] - rounded[:, j]) / spread[j, j]
            work[:, j + 1 : end] -= error[:, None] * spread[j, j + 1 : end]
            errors[:, j - start] = error
        work[:, end:] -= errors @ spread[start:end, end:]
    return rounded[:, torch.argsort(order)].float()


def replace_parameters(graph: nn.Module, replacements: dict[int, Tensor]) -> None:
    """Give every module that holds a parameter named by its ``id`` the same new one."""
    made = {identity: nn.Parameter(tensor, requires_grad=False) for identity, tensor in replacements.items()}
    for module in graph.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in made:
                setattr(module, name, made[id(parameter)])


def _spread(second: Tensor, damping: float) -> Tensor:
    """The upper Cholesky factor of the inverse of H, damped: GPTQ's step 3."""
    damp = damping * second.diagonal().mean().clamp_min(SMALLEST)
    damped = second + damp * torch.eye(second.shape[0], dtype=second.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True)


def _gather(
    graph: StaticRestorer, feeds: Sequence[tuple[Tensor, ...]], progress: Progress, patches: int
) -> dict[int, Moments]:
    moments: dict[int, Moments] = {}
    generator = np.random.default_rng(0)

    def visit(index: int, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func in CONVOLUTIONS:
            call = Convolution(func, args, kwargs)
            if isinstance(call.weight, nn.Parameter) and _spatial(call):
                _add(moments, call, generator, patches)
        return func(*args, **kwargs)

    with torch.no_grad(), progress.stage("looking at what each convolution sees", len(feeds)) as advance:
        for feed in feeds:
            with Operators(visit):
                graph(*feed)
            advance(1)
    return moments


def _spatial(call: Convolution) -> bool:
    """Convolutions on one pixel belong to a normalisation, whose matrices are not rounded here."""
    return max(call.input.shape[2:]) > 1


def _add(moments: dict[int, Moments], call: Convolution, generator: np.random.Generator, patches: int) -> None:
    rows = input_patches(call, generator, patches)
    second = rows.T @ rows
    entry = moments.get(id(call.weight))
    if entry is None:
        moments[id(call.weight)] = Moments(call.weight.detach(), call.output_axis, second, rows.shape[0])
    else:
        entry.second += second
        entry.rows += rows.shape[0]


def input_patches(call: Convolution, generator: np.random.Generator, patches: int) -> Tensor:
    """``patches`` x inputs: what the kernel sees at random positions of its output, drawn with replacement.

    A transposed convolution is one over its input with zeros in between, its kernel turned round.
    """
    image, (rows, columns) = call.input.detach(), call.weight.shape[2:]
    stride, pad = call.stride, call.padding
    if call.output_axis == 1:
        image, stride, pad = _with_zeros(image, stride), 1, rows - 1 - pad
    image = functional.pad(image, (pad, pad, pad, pad))
    height, width = (image.shape[2] - rows) // stride + 1, (image.shape[3] - columns) // stride + 1
    n, y, x = (torch.from_numpy(generator.integers(0, size, patches)) for size in (image.shape[0], height, width))
    taps = [image[n, :, y * stride + i, x * stride + j] for i in range(rows) for j in range(columns)]
    return torch.stack(taps, 2).reshape(patches, -1)


def _with_zeros(image: Tensor, stride: int) -> Tensor:
    n, channels, height, width = image.shape
    spaced = image.new_zeros(n, channels, (height - 1) * stride + 1, (width - 1) * stride + 1)
    spaced[:, :, ::stride, ::stride] = image
    return spaced


def _matrix(moment: Moments) -> Tensor:
    weight = moment.weight
    return (weight if moment.axis == 0 else weight.flip(2, 3).transpose(0, 1)).flatten(1)


def _weight(moment: Moments, matrix: Tensor) -> Tensor:
    if moment.axis == 0:
        return matrix.reshape(moment.weight.shape)
    inputs, outputs, *kernel = moment.weight.shape
    return matrix.reshape(outputs, inputs, *kernel).transpose(0, 1).flip(2, 3).contiguous()
