"""Fold the step size and the final 1x1 projection into the field's last 3x3 convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from elir_edge.families.rewrites.collapse import merge
from elir_edge.families.rewrites.sharing import SharedUpdate

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_projection(graph: StaticRestorer) -> None:
    """Replace ``z + dt * P(conv(x))`` by ``z + conv'(x)``.

    Requires: collapsed linear blocks, so that nothing is between convolution and projection. Guarantees: the same
    function, one convolution shared by all steps, ``step_divisor`` 1.
    """
    if not graph.steps:
        return
    first = graph.fields()[0]
    merged = merge(first.final_block.conv, first.final_proj)
    update = SharedUpdate()
    for name in ("weight", "bias"):
        update(merged, name, lambda tensor: tensor * (1 / graph.step_divisor))
    for step in graph.fields():
        step.final_block.block[-1] = merged
        step.final_proj = nn.Identity()
    graph.step_divisor = 1.0
