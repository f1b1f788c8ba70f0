"""Fold the step size, and a U-Net's final 1x1 projection, into the field's last 3x3 convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    merged = graph.fields()[0].output_conv()
    update = SharedUpdate()
    for name in ("weight", "bias"):
        update(merged, name, lambda tensor: tensor * (1 / graph.step_divisor))
    for step in graph.fields():
        step.set_output_conv(merged)
    graph.step_divisor = 1.0
