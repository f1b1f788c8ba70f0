"""Bias correction of int8 programs in PyTorch's PT2E form: the channel means of every convolution become the float's.

The samples go through the program side by side, node by node, so that each convolution is corrected for the program as
it is after the correction of those before it, in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Interpreter

from elir_edge.quantize.bias import Feeds, numbers_of_samples, shift_that_holds
from elir_edge.quantize.preparation import as_tensors

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

    from elir_edge.core.progress import Progress

CONVOLUTIONS = ("aten.conv1d", "aten.conv2d", "aten.conv_transpose2d")
BIAS = 2  # place of the bias among a convolution's arguments

Visit = Callable[["Node", list[Any]], list[Any]]


def correct_biases(quantized: GraphModule, plain: GraphModule, feeds: Feeds, progress: Progress) -> None:
    """Shift the biases of ``quantized``, in place, where the shift holds for samples left out (``shift_that_holds``).

    ``plain`` is the float program with the same convolutions in the same order. Each use of a bias that several steps
    share gets a bias of its own.
    """
    chosen = [as_tensors(feeds[i]) for i in numbers_of_samples(len(feeds))]
    expected: list[np.ndarray] = []

    def measure(node: Node, values: list[Any]) -> list[Any]:
        if is_convolution(node):
            expected.append(_means(values))
        return values

    def correct(node: Node, values: list[Any]) -> list[Any]:
        if not is_convolution(node):
            return values
        shift = torch.from_numpy(shift_that_holds(expected.pop(0) - _means(values))).float()
        _add_to_bias(quantized, node, shift)
        return [value + shift.reshape(-1, *[1] * (value.dim() - 2)) for value in values]

    with torch.no_grad(), progress.stage("correcting biases", 2) as advance:
        _walk(plain, chosen, measure)
        advance(1)
        _walk(quantized, chosen, correct)
        advance(1)
    quantized.recompile()


def is_convolution(node: Node) -> bool:
    """Whether ``node`` is a convolution or a transposed one."""
    return node.op == "call_function" and str(node.target).startswith(CONVOLUTIONS)


def _walk(module: GraphModule, samples: Sequence[tuple[Tensor, ...]], visit: Visit) -> None:
    """Run ``module`` on all ``samples``; ``visit`` gets the values of a node, one a sample, and gives what goes on."""
    runs = [Interpreter(module) for _ in samples]
    for run, sample in zip(runs, samples, strict=True):
        run.args_iter = iter(module.graph.process_inputs(*sample))
    for node in list(module.graph.nodes):
        if node.op == "output":
            return
        for run, value in zip(runs, visit(node, [run.run_node(node) for run in runs]), strict=True):
            run.env[node] = value
            for used in run.user_to_last_uses.get(node, ()):
                del run.env[used]


def _means(values: Sequence[Tensor]) -> np.ndarray:
    """Mean of each channel of N x C x ...: samples x channels."""
    return np.stack([value.double().mean((0, *range(2, value.dim()))).numpy() for value in values])


def _add_to_bias(module: GraphModule, node: Node, shift: Tensor) -> None:
    given: Any = node.args[BIAS] if len(node.args) > BIAS else None
    bias = shift if given is None else attrgetter(str(given.target))(module).detach() + shift
    name = f"{node.name}_bias"
    module.register_parameter(name, nn.Parameter(bias, requires_grad=False))
    with module.graph.inserting_before(node):
        own = module.graph.get_attr(name)
    rest = node.args[BIAS + 1 :]
    node.args = (*node.args[:BIAS], own, *rest)
