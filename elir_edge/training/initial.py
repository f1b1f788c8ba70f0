"""Initial weights for training from scratch."""

from __future__ import annotations

import torch
from torch import nn

from elir_edge.families.elir.autoencoder import Decoder, Encoder, ResidualBlock
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import ModelSpec

BRANCH_SCALE = 0.2


def new_restorer(spec: ModelSpec, seed: int) -> Restorer:
    """A Restorer with collapsible linear blocks and initial weights of ``seed``; torch's random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        restorer = Restorer(spec, expanded=True)
        condition(restorer.enc)
        condition(restorer.dec)
    return restorer


@torch.no_grad()
def condition(part: Encoder | Decoder) -> None:
    """Orthogonal weights for the convolutions between residual blocks, residual branches times 0.2; in place.

    The autoencoder has no normalization: with PyTorch's default weights each plain convolution removes most of the
    signal's variance, and training recovers it slowly.
    """
    for module in part.layers:
        if isinstance(module, nn.Conv2d):
            nn.init.orthogonal_(module.weight)
    for module in part.modules():
        if isinstance(module, ResidualBlock):
            last = module.conv[-1]
            for value in last.parameters():
                value.mul_(BRANCH_SCALE)
