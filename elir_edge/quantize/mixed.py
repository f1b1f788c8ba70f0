"""Groups of mixed precision, and the PSNR that each of them costs in int8."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elir_edge.core.progress import Progress
from elir_edge.families.base import output_stages
from elir_edge.imaging.comparison import psnr_of
from elir_edge.lowering.static import StaticRestorer
from elir_edge.quantize.operators import Operators
from elir_edge.quantize.simulation import Inputs, Simulation


@dataclass(frozen=True)
class Group:
    """A part that has one precision: ``name`` for people, path of the ``module`` in the static graph, and the names of
    the ``stages`` that it computes.
    """

    name: str
    module: str
    stages: tuple[str, ...]


def groups_of(graph: StaticRestorer) -> tuple[Group, ...]:
    """The groups of ``graph`` in the order of execution."""
    stages = graph.stage_list()
    found = []
    for name in dict.fromkeys(stage.group for stage in stages):
        members = [stage for stage in stages if stage.group == name]
        (module,) = (stage.module for stage in members if stage.module is not None)
        found.append(Group(name, module, tuple(stage.name for stage in output_stages(tuple(members)))))
    return tuple(found)


def stages_of_groups(graph: StaticRestorer, floats: Collection[str]) -> frozenset[str]:
    """Names of the stages that the groups called ``floats`` compute."""
    return frozenset(stage for group in groups_of(graph) if group.name in floats for stage in group.stages)


def group_mixture(rounded: StaticRestorer, plain: StaticRestorer, floats: Collection[str]) -> StaticRestorer:
    """A copy of ``rounded`` whose groups called ``floats`` are those of ``plain``, with unrounded weights."""
    graph = copy.deepcopy(rounded)
    for group in groups_of(graph):
        if group.name in floats:
            graph.set_submodule(group.module, plain.get_submodule(group.module))
    return graph


def losses_by_group(
    rounded: StaticRestorer,
    plain: StaticRestorer,
    calibration: Inputs,
    trials: Inputs,
    progress: Progress,
    levels: int,
) -> dict[str, float]:
    """PSNR in dB to the float result with one group in simulated int8 and the others in float, by group.

    Args:
        rounded: the graph with int8 weights. plain: the same graph with float weights.
        calibration: inputs that decide the ranges of activations.
        trials: inputs that the error is measured on, all together.
        progress: gets the stages of the work.
        levels: steps per side of int8 weights, those of ``rounded``.
    """
    groups = groups_of(plain)
    with progress.stage("simulating int8"):
        simulation = Simulation.observe(plain, calibration, levels)
        places = _places(plain, trials[0])
    names = [group.name for group in groups]
    found = {}
    with progress.stage("losses by group", len(groups)) as advance, torch.no_grad():
        expected = torch.cat([_picture(plain, sample) for sample in trials])
        for name in names:
            graph = group_mixture(rounded, plain, [other for other in names if other != name])
            actual = []
            for sample in trials:
                with simulation.active(places[name]):
                    actual.append(_picture(graph, sample))
            found[name] = psnr_of((torch.cat(actual) - expected).double().numpy())
            advance(1)
    return found


def _places(graph: StaticRestorer, sample: tuple[Tensor, ...]) -> dict[str, range]:
    """Numbers of the operators of each group in the order of execution."""
    groups, starts = groups_of(graph), []
    counter = Operators(_run_unchanged)
    modules = [graph.get_submodule(group.module) for group in groups]
    hooks = [module.register_forward_pre_hook(lambda *_: starts.append(counter.count)) for module in modules]
    try:
        with torch.no_grad(), counter:
            graph.values(*sample)
    finally:
        for hook in hooks:
            hook.remove()
    ends = [*starts[1:], counter.count]
    return {group.name: range(start, end) for group, start, end in zip(groups, [0, *starts[1:]], ends, strict=True)}


def _run_unchanged(index: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return func(*args, **kwargs)


def _picture(graph: StaticRestorer, sample: tuple[Tensor, ...]) -> Tensor:
    _, decoded = graph.values(*sample)
    return (decoded / graph.pixel_gain).clamp(0.0, 1.0)
