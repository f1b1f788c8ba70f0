"""Unroll the Euler steps: K copies of the field's structure over ONE copy of its weights."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

from elir_edge.artifacts.signature import GraphForm
from elir_edge.families.elir.restorer import Restorer
from elir_edge.lowering.static import StaticRestorer

M = TypeVar("M", bound=nn.Module)


def unroll(restorer: Restorer, form: GraphForm) -> StaticRestorer:
    """The static graph of ``restorer``, whose modules it copies and whose numbers it shares.

    Needs nothing. Guarantees the same function; rewrites may replace parameters without touching ``restorer``.
    """
    count = restorer.spec.steps if restorer.fmir is not None else 0
    frozen = {id(tensor): nn.Parameter(tensor.detach(), requires_grad=False) for tensor in restorer.parameters()}

    def structure(module: M) -> M:
        return copy.deepcopy(module, memo=dict(frozen))

    return StaticRestorer(
        restorer.spec,
        form,
        structure(restorer.enc),
        structure(restorer.mmse) if restorer.mmse is not None else None,
        [structure(restorer.fmir) for _ in range(count) if restorer.fmir is not None],
        structure(restorer.dec),
    )
