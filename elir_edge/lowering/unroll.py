"""Unrolling of the Euler steps: K copies of the field's modules that share one copy of its weights."""

from __future__ import annotations

import copy

from torch import nn

from elir_edge.artifacts.signature import GraphForm
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.weight_norm import plain_copy
from elir_edge.lowering.static import StaticRestorer


def unroll(restorer: Restorer, form: GraphForm) -> StaticRestorer:
    """The static graph of ``restorer``: copies of its modules that share its tensors.

    Requires: nothing. Guarantees: the same function; replacing a parameter of the graph does not change ``restorer``.
    """
    restorer = plain_copy(restorer)
    frozen = {id(tensor): nn.Parameter(tensor.detach(), requires_grad=False) for tensor in restorer.parameters()}

    def structure(module: nn.Module) -> nn.Module:
        return copy.deepcopy(module, memo=dict(frozen))

    parts = restorer.parts
    field = parts.pop(restorer.spec.family.field or "", None)
    steps = [structure(field) for _ in range(restorer.spec.steps)] if field is not None else []
    copies = {name: None if part is None else structure(part) for name, part in parts.items()}
    return StaticRestorer(restorer.spec, form, copies, steps)
