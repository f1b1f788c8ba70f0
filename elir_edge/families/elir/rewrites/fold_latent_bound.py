"""Fold the decoder's ``3 tanh(z / 3)`` into its neighbours: the latent stream becomes z / 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from elir_edge.families.elir.estimator import Estimator
from elir_edge.families.rewrites.sharing import SharedUpdate

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_latent_bound(graph: StaticRestorer) -> None:
    """Divide the weights that write the latent stream by the bound, and multiply those that read it.

    Requires: step size and projection are folded. Guarantees: the same function, tanh without factors before the
    decoder, and latents that are ``latent_gain`` times the reference model's.
    """
    bound = graph.dec.bound.gain
    update = SharedUpdate()
    _scale_output(update, graph.enc.last_conv, 1 / bound)
    if graph.mmse is not None:
        _rescale_estimator(update, graph.mmse, graph.spec.latent_channels, 1 / bound)
    for step in graph.fields():
        update(step.first_proj, "weight", lambda weight: weight * bound)
        _scale_output(update, step.final_block.conv, 1 / bound)
    update(graph.dec.first_conv, "weight", lambda weight: weight * bound)
    graph.dec.bound.gain = 1.0
    graph.noise_gain /= bound
    graph.latent_gain /= bound


def _scale_output(update: SharedUpdate, conv: nn.Module, gain: float) -> None:
    for name in ("weight", "bias"):
        update(conv, name, lambda tensor: tensor * gain)


def _rescale_estimator(update: SharedUpdate, estimator: Estimator, channels: int, gain: float) -> None:
    """Scale the stream only: it is the first ``channels`` inputs of every layer; hidden features keep their scale."""
    for rrdb in estimator.rrdbs():
        for block in rrdb.blocks():
            *inner, last = (layer.conv for layer in block.layers())
            for conv in inner:
                update(conv, "weight", lambda weight: _scale_inputs(weight, channels, 1 / gain))
            update(last, "weight", lambda weight: _scale_inputs(weight, channels, 1 / gain) * gain)
            update(last, "bias", lambda bias: bias * gain)


def _scale_inputs(weight: Tensor, channels: int, gain: float) -> Tensor:
    scaled = weight.clone()
    scaled[:, :channels] *= gain
    return scaled
