"""Fold the ranges of pixels, [-1, 1] inside Sim-VAE and 0..255 of bytes, into the first and last convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elir_edge.families.base import BYTE_RANGE
from elir_edge.families.networks.residual import ResidualEstimator
from elir_edge.families.networks.stacked import StackedEstimator
from elir_edge.families.rewrites.sharing import SharedUpdate, scale_output

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_pixel_range(graph: StaticRestorer) -> None:
    """Let encoder and decoder work on [0, 1], and for io ``uint8`` them and the estimator on 0..255.

    Requires: nothing. Guarantees: the same function, and ``pixel_gain`` 255 for ``uint8``, unless the estimator is a
    module of the user's, which reads [0, 1]. One subtraction before the encoder stays: its zero padding stands for
    pixels of middle grey.
    """
    own = graph.estimator is None or isinstance(graph.estimator, ResidualEstimator | StackedEstimator)
    gain = BYTE_RANGE if graph.form.io == "uint8" and own else 1.0
    encoder, decoder, update = graph.encoder, graph.decoder, SharedUpdate()
    update(encoder.conv_in, "weight", lambda weight: weight * (encoder.gain / gain))
    SharedUpdate()(decoder.conv_out, "bias", lambda bias: bias + decoder.centre / decoder.gain)
    scale_output(update, decoder.conv_out, decoder.gain * gain)
    encoder.centre, encoder.gain = encoder.centre * gain, 1.0
    decoder.centre, decoder.gain = 0.0, 1.0
    if gain != 1.0 and graph.estimator is not None:
        graph.estimator.rescale_stream(SharedUpdate(), gain)
    graph.pixel_gain = gain
