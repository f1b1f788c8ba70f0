"""Tracing of static graphs for converters."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from elir_edge.lowering.static import StaticRestorer


def trace(graph: StaticRestorer) -> ExportedProgram:
    """The exported program of ``graph``; its output is a dict of all stages by name."""
    with torch.no_grad():
        program = torch.export.export(graph.module_to_convert().eval(), graph.example_inputs())
    _unify_bounds(program)
    return program


def _unify_bounds(program: ExportedProgram) -> None:
    """Make both bounds of ``clamp(0.001, 1)`` floats, in place: torch's ONNX exporter takes no mixture of types."""
    for node in program.graph.nodes:
        if node.target is torch.ops.aten.clamp.default:
            image, *bounds = node.args
            if any(isinstance(bound, float) for bound in bounds):
                node.args = (image, *(None if bound is None else float(bound) for bound in bounds))
