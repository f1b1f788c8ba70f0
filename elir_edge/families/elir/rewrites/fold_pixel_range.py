"""Fold the range 0..255 of bytes into the first and the last convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elir_edge.families.base import BYTE_RANGE
from elir_edge.families.elir.rewrites.fold_latent_bound import rescale_latent
from elir_edge.families.elir.shuffle import ShuffleEncoder
from elir_edge.families.rewrites.sharing import SharedUpdate

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_pixel_range(graph: StaticRestorer) -> None:
    """Let the encoder read 0..255 and the decoder write 0..255, without a multiplication at either end.

    Needs the noise folded; leaves float graphs alone. Guarantees the same function, ``pixel_gain`` 255: padding stays
    zero. An autoencoder that moves pixels only hands the bytes on: its whole latent stream carries 0..255.
    """
    if graph.form.io != "uint8":
        return
    update = SharedUpdate()
    graph.pixel_gain = BYTE_RANGE
    if isinstance(graph.enc, ShuffleEncoder):
        rescale_latent(graph, update, BYTE_RANGE)
        return
    update(graph.enc.first_conv, "weight", lambda weight: weight / BYTE_RANGE)
    for name in ("weight", "bias"):
        update(graph.dec.last_conv, name, lambda tensor: tensor * BYTE_RANGE)
