"""Fold the camera's 0..255 into the first and last convolution, for graphs that take and give bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elir_edge.families.base import BYTE_RANGE
from elir_edge.families.rewrites.sharing import SharedUpdate

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_pixel_range(graph: StaticRestorer) -> None:
    """The encoder reads 0..255 and the decoder writes it, without a multiplication at either end.

    Needs nothing; leaves float graphs alone. Guarantees the same function, ``pixel_gain`` 255: padding stays zero.
    """
    if graph.form.io != "uint8":
        return
    update = SharedUpdate()
    update(graph.enc.first_conv, "weight", lambda weight: weight / BYTE_RANGE)
    for name in ("weight", "bias"):
        update(graph.dec.last_conv, name, lambda tensor: tensor * BYTE_RANGE)
    graph.pixel_gain = BYTE_RANGE
