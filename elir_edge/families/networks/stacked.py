"""Residual networks one after another over squares of pixels: an image-to-image network."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from elir_edge.families.networks.residual import ResidualEstimator
from elir_edge.families.networks.shuffle import COLOURS, FACTOR, shuffle, unshuffle
from elir_edge.families.networks.specs import StackedSpec
from elir_edge.families.rewrites.sharing import SharedUpdate
from elir_edge.families.streams import Stream


class StackedEstimator(nn.Module):
    """Image N x 3 x H x W -> estimate of the same shape: ``networks`` between ``unshuffle`` and ``shuffle``."""

    def __init__(self, spec: StackedSpec, *, expanded: bool = False) -> None:
        super().__init__()
        channels = COLOURS * FACTOR ** (2 * spec.levels)
        self.fold, self.unfold = unshuffle(spec.levels), shuffle(spec.levels)
        self.networks = nn.Sequential(
            *(ResidualEstimator(network, channels, expanded=expanded) for network in spec.networks)
        )

    def stages(self) -> list[ResidualEstimator]:
        """The networks in order."""
        return [network for network in self.networks if isinstance(network, ResidualEstimator)]

    def streams(self) -> Iterator[Stream]:
        """The streams of all networks."""
        for network in self.stages():
            yield from network.streams()

    def rescale_stream(self, update: SharedUpdate, gain: float) -> None:
        """Let it read and write ``gain`` times the pixels."""
        for network in self.stages():
            network.rescale_stream(update, gain)

    def forward(self, image: Tensor) -> Tensor:
        return self.unfold(self.networks(self.fold(image)))
