"""Fold what is done to the latent at both ends of the flow into Sim-VAE's convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elir_edge.families.rewrites.sharing import SharedUpdate, scale_output

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def drop_log_variance(graph: StaticRestorer) -> None:
    """Keep those outputs of the encoder's last convolution that are the mean.

    Requires: nothing. Guarantees: the same function, without the weights of the log-variance.
    """
    conv, channels = graph.encoder.conv_out, graph.encoder.channels
    update = SharedUpdate()
    for name in ("weight", "bias"):
        update(conv, name, lambda tensor: tensor[:channels].clone())
    conv.out_channels = channels


def fold_latent_scale(graph: StaticRestorer) -> None:
    """Let the encoder's last convolution write (mean - shift) * scale, and the decoder's first read it.

    Requires: the log-variance is dropped. Guarantees: the same function; a shift other than 0 stays as an addition
    before the decoder's first convolution, whose zero padding stands for latents of 0 after the shift.
    """
    encoder, decoder, update = graph.encoder, graph.decoder, SharedUpdate()
    shift, scale = encoder.shift, encoder.scale
    SharedUpdate()(encoder.conv_out, "bias", lambda bias: bias - shift)
    scale_output(update, encoder.conv_out, scale)
    update(decoder.conv_in, "weight", lambda weight: weight / scale)
    encoder.shift, encoder.scale = 0.0, 1.0
    decoder.shift, decoder.scale = shift * scale, 1.0
