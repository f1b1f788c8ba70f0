"""Fold the range 0..255 of bytes into the first and the last convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elir_edge.families.base import BYTE_RANGE
from elir_edge.families.rewrites.sharing import SharedUpdate

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_pixel_range(graph: StaticRestorer) -> None:
    """Let the encoder read 0..255 and the decoder write 0..255, without a multiplication at either end.

    Float graphs are not changed. Requires: nothing. Guarantees: the same function, and ``pixel_gain`` 255; there is no
    offset, so that zero padding stays exact.
    """
    if graph.form.io != "uint8":
        return
    update = SharedUpdate()
    update(graph.enc.first_conv, "weight", lambda weight: weight / BYTE_RANGE)
    for name in ("weight", "bias"):
        update(graph.dec.last_conv, name, lambda tensor: tensor * BYTE_RANGE)
    graph.pixel_gain = BYTE_RANGE
