"""Fold the decoder's ``3 tanh(z / 3)`` into its neighbours: the latent stream becomes z / 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elir_edge.families.elir.autoencoder import Decoder
from elir_edge.families.rewrites.sharing import SharedUpdate, scale_output

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_latent_bound(graph: StaticRestorer) -> None:
    """Divide the weights that write the latent stream by the bound, and multiply those that read it.

    Needs the step size and projection folded; leaves decoders without a bound alone. Guarantees the same function, a
    bare tanh before the decoder, and ``latent_gain`` telling what the stages are relative to the reference model's.
    """
    if not isinstance(graph.dec, Decoder):
        return
    bound = graph.dec.bound.gain
    update = SharedUpdate()
    scale_output(update, graph.enc.last_conv, 1 / bound)
    rescale_latent(graph, update, 1 / bound)
    update(graph.dec.first_conv, "weight", lambda weight: weight * bound)
    graph.dec.bound.gain = 1.0


def rescale_latent(graph: StaticRestorer, update: SharedUpdate, gain: float) -> None:
    """Let estimator, noise and field work on ``gain`` times the latent; encoder and decoder are the caller's."""
    if graph.mmse is not None:
        graph.mmse.rescale_stream(update, gain)
    for step in graph.fields():
        step.rescale_stream(update, gain)
    graph.noise_gain *= gain
    graph.latent_gain *= gain
