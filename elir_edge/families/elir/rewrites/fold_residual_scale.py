"""Fold the estimator's residual factors (0.2) into the convolutions before them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from elir_edge.families.elir.estimator import RRDB, Estimator
from elir_edge.families.rewrites.sharing import SharedUpdate

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


def fold_residual_scale(graph: StaticRestorer) -> None:
    """Remove three of the four multiplications in each RRDB.

    Requires: collapsed linear blocks. Guarantees: the same function. The multiplication that stays scales the input of
    the last dense block: only an identity kernel could absorb it, and its large entries would cost int8 weights their
    resolution.
    """
    for rrdb in graph.mmse.rrdbs() if isinstance(graph.mmse, Estimator) else ():
        _fold(rrdb)


def _fold(rrdb: RRDB) -> None:
    update = SharedUpdate()
    for block in rrdb.blocks():
        last_block = block is rrdb.RDB3
        scale = block.scale * (rrdb.scale if last_block else 1.0)
        conv = block.layers()[-1].conv
        for name in ("weight", "bias"):
            update(conv, name, partial(torch.mul, scale))
        block.scale = 1.0
    rrdb.RDB3.skip_scale *= rrdb.scale
    rrdb.scale = 1.0
