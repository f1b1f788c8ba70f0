"""Initial weights for training from scratch."""

from __future__ import annotations

import torch
from torch import nn

from elir_edge.families.elir.autoencoder import ConvStack, ResidualBlock
from elir_edge.families.latent_pmrf import sim_vae
from elir_edge.families.networks.residual import Block, ResidualNetwork
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import ModelSpec
from elir_edge.training.transform import begin_transform

BRANCH_SCALE = 0.2
QUIET = 0.1


def new_restorer(spec: ModelSpec, seed: int, *, expanded: bool = True) -> Restorer:
    """A Restorer with collapsible linear blocks and initial weights of ``seed``; torch's random state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        restorer = Restorer(spec, expanded=expanded)
        for part in restorer.modules():
            if isinstance(part, ConvStack):
                condition(part)
            elif isinstance(part, ResidualNetwork):
                quieten(part)
            elif isinstance(part, sim_vae.Encoder | sim_vae.Decoder):
                begin_transform(part)
    return restorer


@torch.no_grad()
def quieten(network: ResidualNetwork) -> None:
    """Begin near the identity: what is added to a stream, or to the latent, begins at a tenth of its usual size."""
    writers = [block.conv2[-1] for block in network.modules() if isinstance(block, Block)]
    for conv in (*writers, network.last):
        conv.weight.mul_(QUIET)  # type: ignore[operator]
        conv.bias.zero_()  # type: ignore[operator]


@torch.no_grad()
def condition(part: ConvStack) -> None:
    """Let the signal through: orthogonal convolutions between the residual blocks, and quiet residual branches.

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
