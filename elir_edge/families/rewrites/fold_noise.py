"""Fold sigma_s into the noise constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elir_edge.families.rewrites.sharing import SharedUpdate

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_noise(graph: StaticRestorer) -> None:
    """Multiply a baked noise constant by sigma_s. Requires: nothing. Noise that is an input keeps its factor."""
    if graph.noise is not None:
        SharedUpdate()(graph, "noise", lambda noise: noise * graph.noise_gain)
        graph.noise_gain = 1.0
