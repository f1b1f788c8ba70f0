"""Tracing a static graph for converters."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from elir_edge.lowering.static import StagedRestorer, StaticRestorer


def trace(graph: StaticRestorer) -> ExportedProgram:
    """The exported program of ``graph``, its outputs a dict of all stages."""
    with torch.no_grad():
        return torch.export.export(StagedRestorer(graph).eval(), graph.example_inputs())
