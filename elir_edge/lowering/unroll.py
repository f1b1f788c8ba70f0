"""Unroll the Euler steps: K copies of the field's structure over ONE copy of its weights."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from elir_edge.lowering.static import StaticRestorer
from elir_edge.model.restorer import Restorer
from elir_edge.signature import GraphForm

M = TypeVar("M", bound=nn.Module)


def unroll(restorer: Restorer, form: GraphForm) -> StaticRestorer:
    """The static graph of ``restorer``, whose modules it copies and whose Parameters it shares.

    Needs nothing. Guarantees the same function; rewrites may replace parameters without touching ``restorer``.
    """
    count = restorer.spec.steps if restorer.fmir is not None else 0
    return StaticRestorer(
        restorer.spec,
        form,
        _copy_structure(restorer.enc),
        _copy_structure(restorer.mmse) if restorer.mmse is not None else None,
        [_copy_structure(restorer.fmir) for _ in range(count) if restorer.fmir is not None],
        _copy_structure(restorer.dec),
    )


def _copy_structure(module: M) -> M:
    shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    return copy.deepcopy(module, memo=shared)
