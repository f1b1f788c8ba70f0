"""Fold sigma_s into the noise constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elir_edge.families.rewrites.sharing import SharedUpdate

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_noise(graph: StaticRestorer) -> None:
    """A baked noise constant is stored scaled. Needs nothing; where the noise is an input its factor stays."""
    if graph.noise is not None:
        SharedUpdate()(graph, "noise", lambda noise: noise * graph.noise_gain)
        graph.noise_gain = 1.0
