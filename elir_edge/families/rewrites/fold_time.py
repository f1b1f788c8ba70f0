"""Fold the time: for a known t, the time MLP only adds a constant to the bias of each block's first convolution."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from elir_edge.families.networks.unet import Field, ResidualBlock

if TYPE_CHECKING:
    from elir_edge.families.networks.residual import Block, ResidualField
    from elir_edge.lowering.static import StaticRestorer


def fold_time(graph: StaticRestorer) -> None:
    """Give each step biases of its own and remove the time MLPs.

    Requires: collapsed linear blocks. Guarantees: the same function; all other weights stay shared between steps.
    """
    for step, t in zip(graph.fields(), graph.times, strict=True):
        fold_field_time(step, t)


def fold_field_time(field: Field | ResidualField, t: float) -> None:
    """Move the biases of ``field`` by what time ``t`` adds, and remove its time MLPs, in place."""
    embedding = _embed(field, t)
    for block in field.residual_blocks():
        conv = block.timed_conv
        assert isinstance(conv, nn.Conv2d) and conv.bias is not None
        bias = conv.bias.detach().double() + _shift(block, embedding)
        conv.bias = nn.Parameter(bias.to(conv.bias.dtype), requires_grad=False)
        block.mlp = None
    field.time_mlp = None


def _embed(field: Field | ResidualField, t: float) -> Tensor:
    time_mlp = copy.deepcopy(field.time_mlp)
    assert time_mlp is not None
    with torch.no_grad():
        return time_mlp.double()(torch.tensor([t], dtype=torch.float64))


def _shift(block: ResidualBlock | Block, embedding: Tensor) -> Tensor:
    mlp = copy.deepcopy(block.mlp)
    assert mlp is not None
    with torch.no_grad():
        return mlp.double()(embedding)[0]
