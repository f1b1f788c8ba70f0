"""Which tensors of an int8 network cost the picture: an estimate from gradients of the float network.

Int8 changes tensor i by d_i, and the picture by J_i d_i, where J_i is the Jacobian. For r with standard normal values
and the picture's shape, E (r . J_i d_i)^2 = |J_i d_i|^2, and r^T J_i is a gradient: one backward pass estimates the
squared error of each tensor alone (Hutchinson, "A stochastic estimator of the trace of the influence matrix", 1990).
Roundings of activations are taken as independent from value to value, which lowers the variance:
sum (r^T J_i)^2 d_i^2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from elir_edge.core.progress import Progress
from elir_edge.families.restorer import Restorer
from elir_edge.lowering.static import StaticRestorer
from elir_edge.quantize.calibration import CalibrationRequest, gather_calibration
from elir_edge.quantize.levels import LEVELS
from elir_edge.quantize.operators import CONVOLUTIONS, Convolution, Operators
from elir_edge.quantize.preparation import as_tensors, lower_within, prepare
from elir_edge.quantize.simulation import Inputs, Simulation

SIZE = 128
WEIGHTS, ACTIVATIONS = "weights", "activations"


@dataclass(frozen=True)
class TensorError:
    """Mean squared error of the picture, in units of (1/255)^2, where int8 changes one tensor alone.

    ``index`` of the operator that makes it (see ``Operators``), ``part`` of the model, ``module`` inside it (empty: a
    sum of stages), ``operator`` in PyTorch; ``what`` is rounded: ``weights`` or ``activations``, whose range is ``low``
    to ``high``.
    """

    index: int
    part: str
    module: str
    operator: str
    what: str
    error: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Sensitivity:
    """``tensors``, the largest error first; mean squared errors in simulation of all together, and of each kind alone.

    ``size``: height and width of the graph that was simulated. ``pictures``: their number.
    """

    size: tuple[int, int]
    pictures: int
    tensors: tuple[TensorError, ...]
    together: float
    weights_alone: float
    activations_alone: float

    @property
    def psnr_db(self) -> float:
        """Of the int8 network to the float one, in dB."""
        return decibels(self.together)

    def by_part(self) -> dict[str, float]:
        """The sum of the tensors' errors for each part, the largest first."""
        sums: dict[str, float] = {}
        for tensor in self.tensors:
            sums[tensor.part] = sums.get(tensor.part, 0.0) + tensor.error
        return dict(sorted(sums.items(), key=lambda item: -item[1]))


def measure_sensitivity(
    restorer: Restorer,
    request: CalibrationRequest,
    progress: Progress,
    size: str | int | None = None,
    levels: int = LEVELS,
) -> Sensitivity:
    """Estimate what int8 of ``restorer`` costs, tensor by tensor, on its calibration pictures, before any export.

    Args:
        restorer: not changed. request: the calibration pictures. progress: gets the stages of the work.
        size: of the graph, a side or ``HEIGHTxWIDTH``; None: 128 pixels or just less, or the spec's own.
        levels: steps per side of int8 weights, see ``quantize.levels``.

    All tensors are rounded as in an integer-only graph; formats that keep some in float lose less. Raises ConfigError
    for a size that the model cannot have, and what ``gather_calibration`` raises.
    """
    graph = lower_within(restorer, SIZE, size, "uint8", "NHWC")
    height, width = graph.form.height, graph.form.width
    feeds = gather_calibration(request, restorer.spec, height, width).feeds(graph.form, restorer.spec)
    rounded = prepare(graph, feeds, progress, levels=levels)
    inputs = [as_tensors(feed) for feed in feeds]
    simulation = Simulation.observe(graph, inputs, levels)
    with progress.stage("errors of each tensor", len(inputs)) as advance:
        tensors = estimate_errors(graph, rounded, simulation, inputs, lambda: advance(1))
    with progress.stage("all tensors together"):
        together, weights, activations = _simulated_errors(graph, rounded, simulation, inputs)
    return Sensitivity((height, width), len(inputs), tensors, together, weights, activations)


def estimate_errors(
    graph: StaticRestorer,
    rounded: StaticRestorer,
    simulation: Simulation,
    inputs: Inputs,
    advance: Callable[[], None] = lambda: None,
    seed: int = 0,
) -> tuple[TensorError, ...]:
    """The errors of all tensors of ``graph``, in float, the largest first.

    ``rounded`` is the same graph with int8 weights, ``simulation`` has the ranges of its activations; ``inputs`` are
    the graph's, one tuple for each picture, after each of which ``advance`` is called. ``seed`` draws r.
    """
    probe = _Probe(graph, rounded, simulation)
    generator = torch.Generator().manual_seed(seed)
    for sample in inputs:
        probe.run(sample, generator)
        advance()
    return probe.errors(len(inputs))


def decibels(squared_error: float) -> float:
    """PSNR in dB of a mean squared error in units of (1/255)^2."""
    return 10 * math.log10(255**2 / squared_error) if squared_error > 0 else math.inf


class _Probe:
    """Gathers errors by operator and kind, while the graph runs and while gradients come back."""

    def __init__(self, graph: StaticRestorer, rounded: StaticRestorer, simulation: Simulation) -> None:
        self.graph, self.simulation = graph, simulation
        self.sums: dict[tuple[int, str], float] = {}
        self.found: dict[tuple[int, str], TensorError] = {}
        self.int8 = dict(rounded.named_modules())
        self.names = {module: name for name, module in graph.named_modules()}
        self.parts = _parts(graph)
        self.inside: list[nn.Module] = []
        self.part = next(iter(self.parts.values()), "")

    def run(self, sample: tuple[Tensor, ...], generator: torch.Generator) -> None:
        """One forward and one backward pass."""
        with ExitStack() as stack:
            for module in self.names:
                stack.callback(module.register_forward_pre_hook(self._enter).remove)
                stack.callback(module.register_forward_hook(self._leave).remove)
            with Operators(self._visit):
                picture = self.graph.values(*sample)[1]
        picture.backward(torch.randn(picture.shape, generator=generator) / math.sqrt(picture.numel()))

    def errors(self, samples: int) -> tuple[TensorError, ...]:
        """Means over ``samples`` runs, in units of (1/255)^2."""
        unit = (255 / self.graph.pixel_gain) ** 2 / samples
        whole = [replace(tensor, error=self.sums[key] * unit) for key, tensor in self.found.items()]
        return tuple(sorted(whole, key=lambda tensor: -tensor.error))

    def _enter(self, module: nn.Module, args: Any) -> None:
        self.inside.append(module)
        self.part = self.parts.get(module, self.part)

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self.inside.pop()

    def _visit(self, index: int, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        output: Tensor = func(*args, **kwargs)
        if not output.requires_grad:
            output.requires_grad_(True)
        with torch.no_grad():
            change = self.simulation.round_output(index, output) - output
            if index not in self.simulation.rectified:
                ends = self.simulation.ranges[index]
                self._watch(index, func, output, ACTIVATIONS, lambda grad: float((grad * change).square().sum()), ends)
            if func in CONVOLUTIONS and isinstance(self.inside[-1], nn.Conv2d | nn.ConvTranspose2d):
                shift = self._weight_error(Convolution(func, args, kwargs), output)
                self._watch(index, func, output, WEIGHTS, lambda grad: float((grad * shift).sum()) ** 2)
        return output

    def _watch(
        self,
        index: int,
        func: Callable[..., Any],
        output: Tensor,
        what: str,
        measure: Callable[[Tensor], float],
        ends: tuple[float | None, float | None] = (None, None),
    ) -> None:
        key = index, what
        name = getattr(func, "__name__", str(func)).strip("_")
        self.found.setdefault(key, TensorError(index, self.part, self._module_name(), name, what, 0.0, *ends))

        def add(grad: Tensor) -> None:
            self.sums[key] = self.sums.get(key, 0.0) + measure(grad)

        output.register_hook(add)

    def _weight_error(self, call: Convolution, output: Tensor) -> Tensor:
        """What the weights and the bias of the int8 network change of a convolution's output."""
        own, int8 = self.inside[-1], self.int8[self.names[self.inside[-1]]]
        changed = call.run(int8.get_parameter("weight")) - output
        if call.bias is None:
            return changed
        return changed + (int8.get_parameter("bias") - own.get_parameter("bias")).reshape(-1, 1, 1)

    def _module_name(self) -> str:
        """Of the innermost module, inside its part; modules that steps share have the name of the first step's."""
        whole = self.names[self.inside[-1]] if self.inside else ""
        _, _, inside = whole.removeprefix("steps.").partition(".")
        return inside


def _parts(graph: StaticRestorer) -> dict[nn.Module, str]:
    """The name for people of each part, by the module that computes it."""
    return {graph.get_submodule(stage.module): stage.part for stage in graph.stage_list() if stage.module is not None}


def _simulated_errors(
    graph: StaticRestorer, rounded: StaticRestorer, simulation: Simulation, inputs: Inputs
) -> tuple[float, float, float]:
    """Mean squared errors of the picture in units of (1/255)^2: all in int8, weights alone, activations alone."""
    found = [0.0, 0.0, 0.0]
    for sample in inputs:
        with torch.no_grad():
            wanted = graph.values(*sample)[1]
            for i, (model, places) in enumerate(((rounded, None), (rounded, ()), (graph, None))):
                with simulation.active(places) if i < 2 else _rounding_outputs(simulation):
                    given = model.values(*sample)[1]
                found[i] += float((given - wanted).square().mean())
    unit = (255 / graph.pixel_gain) ** 2 / len(inputs)
    together, weights, activations = (value * unit for value in found)
    return together, weights, activations


def _rounding_outputs(simulation: Simulation) -> Operators:
    return Operators(lambda index, func, args, kwargs: simulation.round_output(index, func(*args, **kwargs)))
