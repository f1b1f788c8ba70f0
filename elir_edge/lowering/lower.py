"""Lowering: the rewrites in order, and the cost of a graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from elir_edge.artifacts.signature import GraphForm, parse_size
from elir_edge.errors import ConfigError
from elir_edge.families.base import RESTORED, Rewrite
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.collapse import collapse, has_linear_blocks
from elir_edge.families.rewrites.weight_norm import plain_copy
from elir_edge.imaging.noise import NoiseContract
from elir_edge.lowering.norm import NormForm, set_norm_form
from elir_edge.lowering.static import StaticRestorer
from elir_edge.lowering.unroll import unroll


@dataclass(frozen=True)
class GraphCost:
    """Cost of one picture: number of ``ops``, of stored ``parameters``, and GFLOP (multiply and add count as 2)."""

    rewrite: str
    ops: int
    parameters: int
    gflop: float


def lower(
    restorer: Restorer,
    size: int | str | tuple[int, int] | None = None,
    noise: str = "baked:0",
    io: str = "float",
    layout: str = "NCHW",
    latent_layout: str = "NCHW",
    norm: str = NormForm.NATIVE,
    on_rewrite: Callable[[str, StaticRestorer], None] | None = None,
) -> StaticRestorer:
    """The static graph of ``restorer`` for images of ``size``, equal to it up to rounding.

    Args:
        restorer: not changed; weights that no rewrite touches are shared with it.
        size: pixels, a side or (height, width); None for the spec's own.
        noise: ``baked:SEED``, ``input`` (a second argument, standard normal) or ``zero``.
        io: ``float`` for [0, 1], ``uint8`` for 0..255.
        layout: ``NCHW`` or ``NHWC``, of the images. latent_layout: likewise, of noise and stages.
        norm: see ``NormForm``.
        on_rewrite: called after each rewrite with its name and the graph.

    Raises:
        UsageError: an option that is none of the above. ConfigError: a size that the network cannot take.
    """
    norm_form = NormForm.parse(norm)
    height, width = parse_size(size, restorer.spec)
    form = GraphForm(height, width, NoiseContract.parse(noise), io, layout, latent_layout)
    report = on_rewrite or (lambda name, graph: None)
    graph = rewritten(restorer, form, restorer.spec.family.rewrites(), report)
    set_norm_form(graph, norm_form)
    report(f"norm form: {norm}", graph)
    return graph.eval().requires_grad_(False)


def rewritten(
    restorer: Restorer,
    form: GraphForm,
    rewrites: Sequence[Rewrite],
    report: Callable[[str, StaticRestorer], None] = lambda name, graph: None,
) -> StaticRestorer:
    """The unrolled graph of ``restorer``, linear blocks collapsed, after ``rewrites`` in order.

    Raises ConfigError for a family whose last stage is not ``restored``, or is not computed.
    """
    graph = unroll(restorer, form)
    last = graph.stage_list()[-1]
    if last.name != RESTORED or last.compute is None:
        raise ConfigError(
            f"the last stage of the family '{restorer.spec.family_name}' is '{last.name}'"
            + (" without a compute" if last.compute is None else ""),
            hint=f"the family has to compute '{RESTORED}' last, if only from the value before it",
        )
    report("unroll", graph)
    foreign = restorer.spec.foreign_parts
    if has_linear_blocks(graph, foreign):
        graph = unroll(collapse(plain_copy(restorer), foreign), form)  # type: ignore[arg-type]
        report("collapse", graph)
    for rewrite in rewrites:
        rewrite(graph)
        report(rewrite.__name__, graph)
    return graph


def measure(name: str, graph: StaticRestorer) -> GraphCost:
    """The cost of ``graph`` under the name ``name``, counted on tensors without data.

    A user's own module may hold or make tensors that cannot be moved: a graph with one is counted on zeros.
    """
    parameters = graph.parameter_count()
    counted = graph if graph.spec.foreign_parts else copy.deepcopy(graph).to("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as flops, _OpCounter() as ops:
        counted(*counted.example_inputs())
    return GraphCost(name, ops.count, parameters, flops.get_total_flops() / 1e9)


class _OpCounter(TorchDispatchMode):
    """Counts the ops that a runtime computes: all but views, transposes included, and detach."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN204
        self.count += not func.is_view and "detach" not in func.name()
        return func(*args, **(kwargs or {}))
