"""Error-compensated rounding of weights to int8, as in GPTQ (Frantar et al., arXiv 2210.17323).

With H = E[x x^T] over the input patches x of a convolution, the columns of its weight matrix are rounded one after the
other; the error of each is compensated in the columns not yet rounded, along the inverse of H. This removes the
systematic part of the error first, which is visible as a colour cast. The result lies on the symmetric grid of 127
steps per side that the quantizer of every format derives from it, so that one rounding serves all formats.
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
    """``second`` is the sum of x x^T over ``rows`` input patches x of the convolutions that use ``weight``.

    ``axis`` is the axis of output channels in the weight, 1 for transposed convolutions.
    """

    weight: Tensor
    axis: int
    second: Tensor
    rows: int


def round_weights(
    graph: StaticRestorer, feeds: Sequence[tuple[Tensor, ...]], progress: Progress, patches: int = PATCHES
) -> None:
    """Replace the weight of every convolution by int8 value times scale, in place.

    Args:
        graph: any static graph; modules that shared a weight share its replacement.
        feeds: the graph's inputs for each calibration sample.
        progress: gets the stages of the work.
        patches: number of input patches, drawn with a fixed seed, for each convolution and sample.
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
    """``weight``, outputs x inputs, rounded to the grid of 127 steps per side of each row; float32.

    The largest weight of each row, and so the scale of the row, does not change. ``second`` is H, inputs x inputs;
    ``damping`` times the mean of its diagonal is added to the diagonal.
    """
    work, second = weight.double().clone(), second.double()
    scale = work.abs().amax(1, keepdim=True).clamp_min(SMALLEST) / LEVELS
    peak = work.abs() >= work.abs().amax(1, keepdim=True)
    order = torch.argsort(second.diagonal(), descending=True, stable=True)
    work, peak = work[:, order], peak[:, order]
    spread = _inverse_factor(second[order][:, order], damping)
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
    """Replace parameters of ``graph`` in place; ``replacements`` has the new values by ``id`` of the old parameter."""
    made = {identity: nn.Parameter(tensor, requires_grad=False) for identity, tensor in replacements.items()}
    for module in graph.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in made:
                setattr(module, name, made[id(parameter)])


def _inverse_factor(second: Tensor, damping: float) -> Tensor:
    """Upper Cholesky factor of the inverse of the damped H (GPTQ, section 3.3, step 3)."""
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

    with torch.no_grad(), progress.stage("reading the inputs of convolutions", len(feeds)) as advance:
        for feed in feeds:
            with Operators(visit):
                graph(*feed)
            advance(1)
    return moments


def _spatial(call: Convolution) -> bool:
    """Whether the input has more than one pixel: others belong to norms, whose matrices are not rounded."""
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
    """Input patches of ``call`` at random positions, drawn with replacement; ``patches`` x inputs.

    A transposed convolution is a convolution of its input, zeros between the pixels, with the flipped kernel.
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
