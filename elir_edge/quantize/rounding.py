"""Error-compensated rounding of weights to int8, as in GPTQ (Frantar et al., arXiv 2210.17323).

With H = E[x x^T] over the input patches x of a convolution, the columns of its weight matrix are rounded one after the
other; the error of each is compensated in the columns not yet rounded, along the inverse of H. This removes the
systematic part of the error first, which is visible as a colour cast. The result lies on the symmetric grid that the
quantizer of the format derives from it, see ``levels``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from elir_edge.core.progress import Progress
from elir_edge.lowering.static import StaticRestorer
from elir_edge.quantize.levels import LEVELS
from elir_edge.quantize.operators import CONVOLUTIONS, Convolution, Operators

DAMPING = 0.01
PATCHES = 256
BLOCK = 128
MOST_BYTES = 2**30
SMALLEST = 1e-12


Watch = Callable[[int, int, np.ndarray], None]


@dataclass
class Moments:
    """``second`` has for each group of channels the sum of x x^T over ``rows`` input patches x of the convolutions.

    They use ``weight``, whose output channels are on axis ``axis``: 1 for transposed convolutions.
    """

    weight: Tensor
    axis: int
    second: list[Tensor]
    rows: int


def round_weights(
    graph: StaticRestorer,
    feeds: Sequence[tuple[Tensor, ...]],
    progress: Progress,
    patches: int = PATCHES,
    watch: Watch | None = None,
    levels: int = LEVELS,
) -> None:
    """Replace the weight of every convolution by int8 value times scale, in place.

    Args:
        graph: any static graph; modules that shared a weight share its replacement.
        feeds: the graph's inputs for each calibration sample.
        progress: gets the stages of the work.
        patches: number of input patches, drawn with a fixed seed, for each weight and sample.
        watch: gets the number of the sample, the number of the operator, and the values of each rounded tensor.
        levels: steps per side of the grid.

    The samples are read once for every ``MOST_BYTES`` of second moments.
    """
    replacements: dict[int, Tensor] = {}
    for number, weights in enumerate(_groups(graph)):
        moments = _gather(graph, feeds, progress, patches, weights, None if number else watch)
        with progress.stage("rounding weights", len(moments)) as advance:
            for identity in list(moments):
                moment = moments.pop(identity)
                parts = zip(_matrices(moment), moment.second, strict=True)
                rounded = [round_matrix(matrix, second / moment.rows, levels=levels) for matrix, second in parts]
                replacements[identity] = _weight(moment, rounded)
                advance(1)
    replace_parameters(graph, replacements)


def round_matrix(weight: Tensor, second: Tensor, damping: float = DAMPING, levels: int = LEVELS) -> Tensor:
    """``weight``, outputs x inputs, rounded to the grid of ``levels`` steps per side of each row; float32.

    The largest weight of each row, and so the scale of the row, does not change. ``second`` is H, inputs x inputs;
    ``damping`` times the mean of its diagonal is added to the diagonal.
    """
    work, second = weight.double().clone(), second.double()
    scale = work.abs().amax(1, keepdim=True).clamp_min(SMALLEST) / levels
    peak = work.abs() >= work.abs().amax(1, keepdim=True)
    order = torch.argsort(second.diagonal(), descending=True, stable=True)
    work, peak = work[:, order], peak[:, order]
    spread = _inverse_factor(second[order][:, order], damping)
    limit = torch.where(peak, levels * work.sign(), torch.zeros_like(work))
    rounded = torch.zeros_like(work)
    for start in range(0, work.shape[1], BLOCK):
        end = min(start + BLOCK, work.shape[1])
        errors = torch.zeros(work.shape[0], end - start, dtype=work.dtype)
        for j in range(start, end):
            level = (work[:, j] / scale[:, 0]).round().clamp(-levels, levels)
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
    """Upper Cholesky factor U of the inverse of the damped H (GPTQ, section 3.3, step 3), float64.

    With rows and columns reversed, H = L L^T; reversed back, L is an upper factor R with H = R R^T, so that U = R^-1.
    """
    damp = damping * second.diagonal().mean().clamp_min(SMALLEST)
    reverse = second.flip(0, 1).clone()
    reverse.diagonal().add_(damp)
    inverse = torch.linalg.solve_triangular(
        torch.linalg.cholesky(reverse), torch.eye(len(reverse), dtype=reverse.dtype), upper=False
    )
    return inverse.flip(0, 1)


def _gather(
    graph: StaticRestorer,
    feeds: Sequence[tuple[Tensor, ...]],
    progress: Progress,
    patches: int,
    weights: Mapping[int, int],
    watch: Watch | None,
) -> dict[int, Moments]:
    """Moments of ``weights``, the number of uses by ``id``."""
    moments: dict[int, Moments] = {}
    generator = np.random.default_rng(0)
    number = 0

    def visit(index: int, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func in CONVOLUTIONS:
            call = Convolution(func, args, kwargs)
            if id(call.weight) in weights and _spatial(call):
                _add(moments, call, generator, max(1, patches // weights[id(call.weight)]))
        output = func(*args, **kwargs)
        if watch is not None:
            watch(number, index, output.numpy())
        return output

    with torch.no_grad(), progress.stage("reading the inputs of convolutions", len(feeds)) as advance:
        for number, feed in enumerate(feeds):  # noqa: B007  ``visit`` reads it
            with Operators(visit):
                graph(*feed)
            advance(1)
    return moments


def _groups(graph: nn.Module) -> Iterator[dict[int, int]]:
    """The kernels of ``graph`` as ``id`` and number of modules that use it, in groups of ``MOST_BYTES`` of moments."""
    uses: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for module in graph.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            identity = id(module.weight)
            uses[identity] = uses.get(identity, 0) + 1
            sizes[identity] = 4 * (module.weight.numel() // min(module.weight.shape[:2])) ** 2
    group: dict[int, int] = {}
    for identity, count in uses.items():
        if group and sum(sizes[other] for other in group) + sizes[identity] > MOST_BYTES:
            yield group
            group = {}
        group[identity] = count
    yield group


def _spatial(call: Convolution) -> bool:
    """Whether the input has more than one pixel: others belong to norms, whose matrices are not rounded."""
    return max(call.input.shape[2:]) > 1


def _add(moments: dict[int, Moments], call: Convolution, generator: np.random.Generator, patches: int) -> None:
    drawn = input_patches(call, generator, patches)
    second = [rows.T @ rows for rows in drawn]
    entry = moments.get(id(call.weight))
    if entry is None:
        moments[id(call.weight)] = Moments(call.weight.detach(), call.output_axis, second, patches)
    else:
        for total, more in zip(entry.second, second, strict=True):
            total += more
        entry.rows += patches


def input_patches(call: Convolution, generator: np.random.Generator, patches: int) -> list[Tensor]:
    """Input patches of ``call`` at random positions, drawn with replacement; patches x inputs for each group.

    A transposed convolution is a convolution of its input, zeros between the pixels, with the flipped kernel.
    """
    image, (rows, columns), (down, right) = call.input.detach(), call.weight.shape[2:], call.dilation
    steps = call.stride
    if call.output_axis == 1:
        image, steps = _with_zeros(image, call.stride), (1, 1)
    image = functional.pad(image, call.pads)
    height = (image.shape[2] - down * (rows - 1) - 1) // steps[0] + 1
    width = (image.shape[3] - right * (columns - 1) - 1) // steps[1] + 1
    n, y, x = (torch.from_numpy(generator.integers(0, size, patches)) for size in (image.shape[0], height, width))
    y, x = y * steps[0], x * steps[1]
    taps = [image[n, :, y + i * down, x + j * right] for i in range(rows) for j in range(columns)]
    drawn = torch.stack(taps, 2).reshape(patches, call.groups, -1)
    return [part.contiguous() for part in drawn.unbind(1)]


def _with_zeros(image: Tensor, stride: tuple[int, int]) -> Tensor:
    n, channels, height, width = image.shape
    down, right = stride
    spaced = image.new_zeros(n, channels, (height - 1) * down + 1, (width - 1) * right + 1)
    spaced[:, :, ::down, ::right] = image
    return spaced


def _matrices(moment: Moments) -> list[Tensor]:
    """The weight as outputs x inputs for each group."""
    parts = moment.weight.chunk(len(moment.second))
    return [(part if moment.axis == 0 else part.flip(2, 3).transpose(0, 1)).flatten(1) for part in parts]


def _weight(moment: Moments, matrices: Sequence[Tensor]) -> Tensor:
    if moment.axis == 0:
        return torch.cat(list(matrices)).reshape(moment.weight.shape)
    inputs, outputs, *kernel = moment.weight.shape
    part = (outputs, inputs // len(matrices), *kernel)
    return torch.cat([matrix.reshape(part).transpose(0, 1).flip(2, 3) for matrix in matrices]).contiguous()
