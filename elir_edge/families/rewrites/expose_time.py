"""Make the time an input: what it adds to the bias of each block comes from outside, for steps chosen at run time."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from elir_edge.lowering.static import StaticRestorer


class Columns(nn.Module):
    """N x B -> N x (last - first): what belongs to one block."""

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self.first, self.last = first, last

    def forward(self, shifts: Tensor) -> Tensor:
        return shifts[:, self.first : self.last]


def expose_time(graph: StaticRestorer) -> None:
    """Let each field take the shifts of ``time_shifts``, 1 x B, in place of the time.

    Requires: collapsed linear blocks; the time is not folded. Guarantees: the same function.
    """
    for field in graph.fields():
        first = 0
        for block in field.residual_blocks():
            last = first + block.timed_conv.out_channels
            block.mlp, first = Columns(first, last), last
        field.time_mlp = nn.Identity()


def time_shifts(field: Any, times: Sequence[float]) -> Tensor:
    """What each of ``times`` in [0, 1] adds to the biases of ``field``'s blocks, len(times) x B, float32.

    Computed in float64, block after block in the order of execution. Requires: the time is neither folded nor exposed.
    """
    with torch.no_grad():
        embedding = copy.deepcopy(field.time_mlp).double()(torch.tensor(times, dtype=torch.float64))
        blocks = field.residual_blocks()
        return torch.cat([copy.deepcopy(block.mlp).double()(embedding) for block in blocks], 1).float()
