"""First weights of a small Sim-VAE over squares of pixels: a cosine transform, before anything is learnt.

The residual blocks add to a stream that begins as the pixels of a square; the last convolution of the encoder keeps the
cosines that photographs have most of, and the decoder's first one gives them back. An autoencoder that begins so loses
little from the first step on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elir_edge.families.latent_pmrf.sim_vae import Decoder, Encoder, ResidualBlock
from elir_edge.families.networks.shuffle import COLOURS, FACTOR

OPPONENT = ((1.0, 1.0, 1.0), (1.0, 0.0, -1.0), (1.0, -2.0, 1.0))  # grey, and two differences of colours
COLOUR_SHARE = 0.3  # how much less photographs vary in the differences
FALL = 1.25  # the deviation of a cosine falls with frequency^-FALL
MEAN_FREQUENCY = 0.2  # with which the mean of a square fits into this law
AMPLITUDE = 0.11  # makes the mean square of latents 1
WHITENING = 0.5  # each cosine is divided by its deviation to this power


@torch.no_grad()
def begin_transform(part: Encoder | Decoder) -> None:
    """Make ``part`` a cosine transform, or its inverse, whose residual blocks add nothing yet.

    Does nothing for an autoencoder of several levels, without squares, or too narrow to hold a square's pixels.
    """
    pixels = part.conv_in.in_channels if isinstance(part, Encoder) else part.conv_out.out_channels
    side = round((pixels / COLOURS) ** 0.5)
    width, channels = part.conv_in.out_channels, _latent_channels(part)
    levels = part.down_blocks if isinstance(part, Encoder) else part.up_blocks
    if len(levels) > 1 or side == 1 or width < pixels or channels > pixels:
        return
    for block in part.modules():
        if isinstance(block, ResidualBlock):
            for value in block.conv2.parameters():
                value.zero_()
    rows, gains = cosine_rows(side)
    rows, gains = rows[:channels], gains[:channels, None]
    if isinstance(part, Encoder):
        _set_taps(part.conv_in, torch.eye(pixels))
        _set_taps(part.conv_out, rows * gains)
    else:
        _set_taps(part.conv_in, (rows / gains).T)
        _set_taps(part.conv_out, torch.eye(pixels))


def cosine_rows(side: int) -> tuple[Tensor, Tensor]:
    """(Orthonormal rows over the channels of ``unshuffle``, their gains), the row of the largest deviation first.

    With these gains, latents of photographs, whose pixels are in [-1, 1], have a mean square near 1.
    """
    index = torch.arange(side)
    cosines = torch.cos(torch.pi * (2 * index + 1) * index[:, None] / (2 * side))
    cosines /= cosines.norm(dim=1, keepdim=True)
    colours = torch.tensor(OPPONENT)
    colours /= colours.norm(dim=1, keepdim=True)
    rows = torch.einsum("ca,iu,jv->cijauv", colours, cosines, cosines).reshape(COLOURS * side**2, COLOURS, side, side)
    frequency = torch.hypot(index[:, None].float(), index[None].float()).clamp_min(MEAN_FREQUENCY)
    deviation = AMPLITUDE * frequency**-FALL * torch.tensor([1.0, COLOUR_SHARE, COLOUR_SHARE])[:, None, None]
    order = deviation.flatten().argsort(descending=True, stable=True)
    return _in_order_of_unshuffle(rows)[order], deviation.flatten()[order] ** -WHITENING


def _in_order_of_unshuffle(squares: Tensor) -> Tensor:
    """N x 3 x side x side -> N x 3 side^2, in the order of the channels that ``unshuffle`` makes."""
    x = squares
    while x.shape[-1] > 1:
        x = nn.functional.pixel_unshuffle(x, FACTOR)
    return x.flatten(1)


def _set_taps(conv: nn.Conv2d, matrix: Tensor) -> None:
    """Make the middle of the kernel ``matrix`` for the first channels, and all else zero."""
    out, into = matrix.shape
    conv.weight.zero_()
    conv.weight[:out, :into, 1, 1] = matrix
    if conv.bias is not None:
        conv.bias.zero_()


def _latent_channels(part: Encoder | Decoder) -> int:
    return part.channels if isinstance(part, Encoder) else part.conv_in.in_channels
