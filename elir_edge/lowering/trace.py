"""Tracing of static graphs for converters."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from elir_edge.lowering.static import StaticRestorer


def trace(graph: StaticRestorer) -> ExportedProgram:
    """The exported program of ``graph``; its output is a dict of all stages by name."""
    with torch.no_grad():
        return torch.export.export(graph.module_to_convert().eval(), graph.example_inputs())
