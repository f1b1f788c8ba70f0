"""The autoencoder without weights: squares of pixels become channels and channels squares again."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from elir_edge.families.elir.spec import ShuffleSpec

FACTOR = 2


class ShuffleEncoder(nn.Module):
    """Image N x 3 x H x W in [0, 1] -> latent N x 3 * 4^levels x H / 2^levels x W / 2^levels, of the same values."""

    def __init__(self, spec: ShuffleSpec) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.PixelUnshuffle(FACTOR) for _ in range(spec.levels)))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class ShuffleDecoder(nn.Module):
    """The inverse: latent -> image."""

    def __init__(self, spec: ShuffleSpec) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.PixelShuffle(FACTOR) for _ in range(spec.levels)))

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(latent)


def unshuffle_kernel(channels: int) -> Tensor:
    """The 4 C x C x 2 x 2 kernel of ones and zeros with which a convolution of stride 2 is ``nn.PixelUnshuffle(2)``.

    A transposed convolution with it is ``nn.PixelShuffle(2)``.
    """
    kernel = torch.zeros(FACTOR**2 * channels, channels, FACTOR, FACTOR)
    for channel in range(channels):
        for row in range(FACTOR):
            for column in range(FACTOR):
                kernel[channel * FACTOR**2 + row * FACTOR + column, channel, row, column] = 1.0
    return kernel
