"""The autoencoder without weights: squares of pixels become channels and channels squares again."""

from __future__ import annotations

from torch import Tensor, nn

from elir_edge.families.elir.spec import ShuffleSpec
from elir_edge.families.networks.shuffle import shuffle, unshuffle


class ShuffleEncoder(nn.Module):
    """Image N x 3 x H x W in [0, 1] -> latent N x 3 * 4^levels x H / 2^levels x W / 2^levels, of the same values."""

    def __init__(self, spec: ShuffleSpec) -> None:
        super().__init__()
        self.layers = unshuffle(spec.levels)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class ShuffleDecoder(nn.Module):
    """The inverse: latent -> image."""

    def __init__(self, spec: ShuffleSpec) -> None:
        super().__init__()
        self.layers = shuffle(spec.levels)

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(latent)
