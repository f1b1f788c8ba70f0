"""Residual networks without normalisation: 3x3 convolutions and ReLU, all at the latent's resolution or below.

Blocks as in EDSR (Lim et al., arXiv 1707.02921) without a scale; several widths make a U-Net whose skips are sums, so
that no concatenation is needed. The estimator and the field are both this network with the latent's own values added.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from torch import Tensor, nn

from elir_edge.families.networks.layers import conv3x3, linear_block
from elir_edge.families.networks.specs import ResidualSpec
from elir_edge.families.networks.unet import TIME_EXPANSION, TimeEmbedding
from elir_edge.families.rewrites.sharing import SharedUpdate, scale_output
from elir_edge.families.streams import Stream


class Block(nn.Module):
    """N x C x h x w -> the same: ``x + conv2(ReLU(conv1(x) + mlp(time)))``; without ``embedding`` no time is taken."""

    def __init__(self, width: int, embedding: int | None, *, expanded: bool) -> None:
        super().__init__()
        self.mlp: nn.Sequential | None = nn.Sequential(nn.SiLU(), nn.Linear(embedding, width)) if embedding else None
        self.conv1 = nn.Sequential(*linear_block(width, width, expanded=expanded))
        self.act = nn.ReLU()
        self.conv2 = nn.Sequential(*linear_block(width, width, expanded=expanded))

    @property
    def timed_conv(self) -> nn.Module:
        """The convolution whose bias the time moves, of a collapsed block."""
        return self.conv1[0]

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        h = self.conv1(x)
        if self.mlp is not None:
            h = h + self.mlp(embedding)[:, :, None, None]
        return x + self.conv2(self.act(h))


class ResidualNetwork(nn.Module):
    """N x C x h x w -> N x C x h x w: ``first``, blocks at each width on the way down and up again, ``last``.

    ``shrink`` halves and ``grow`` doubles the resolution.
    """

    def __init__(self, spec: ResidualSpec, channels: int, embedding: int | None = None, *, expanded: bool) -> None:
        super().__init__()
        widths, levels = spec.widths, len(spec.widths)

        def blocks(width: int, count: int) -> nn.ModuleList:
            return nn.ModuleList([Block(width, embedding, expanded=expanded) for _ in range(count)])

        self.first = conv3x3(channels, widths[0])
        self.down = nn.ModuleList([blocks(widths[i], spec.blocks[i]) for i in range(levels - 1)])
        self.shrink = nn.ModuleList([nn.Conv2d(widths[i], widths[i + 1], 2, 2) for i in range(levels - 1)])
        self.middle = blocks(widths[-1], spec.blocks[levels - 1])
        self.grow = nn.ModuleList([nn.ConvTranspose2d(widths[i + 1], widths[i], 2, 2) for i in range(levels - 1)])
        self.up = nn.ModuleList([blocks(widths[i], spec.blocks[-1 - i]) for i in range(levels - 1)])
        self.last = conv3x3(widths[0], channels)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        x = self.first(x)
        skips = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            x = _through(blocks, x, embedding)
            skips.append(x)
            x = shrink(x)
        x = _through(self.middle, x, embedding)
        for blocks, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            x = _through(blocks, skips.pop() + grow(x), embedding)
        return self.last(x)

    def streams(self) -> Iterator[Stream]:
        """The sum at each width, which all blocks of the width read and write, and the inside of every block."""
        last = len(self.shrink)
        for i in range(last + 1):
            blocks = _blocks(self.middle) if i == last else [*_blocks(self.down[i]), *_blocks(self.up[i])]
            writers = [self.first if i == 0 else self.shrink[i - 1], *(block.conv2[0] for block in blocks)]
            readers = [*(block.conv1[0] for block in blocks), self.last if i == 0 else self.grow[i - 1]]
            if i < last:
                writers.append(self.grow[i])
                readers.append(self.shrink[i])
            yield Stream(writers, readers, [*writers, *blocks])
            yield from (Stream([block.conv1[0]], [block.conv2[0]], [block.act]) for block in blocks)

    def rescale_stream(self, update: SharedUpdate, gain: float) -> None:
        """Let it read and write ``gain`` times the latent; what lies between stays."""
        update(self.first, "weight", lambda weight: weight / gain)
        scale_output(update, self.last, gain)


class ResidualEstimator(nn.Module):
    """Latent N x C x h x w -> coarse estimate of the clean latent: the latent plus a correction."""

    def __init__(self, spec: ResidualSpec, channels: int, *, expanded: bool = False) -> None:
        super().__init__()
        self.network = ResidualNetwork(spec, channels, expanded=expanded)

    def streams(self) -> Iterator[Stream]:
        """The streams of the network."""
        return self.network.streams()

    def rescale_stream(self, update: SharedUpdate, gain: float) -> None:
        """Let it read and write ``gain`` times the latent."""
        self.network.rescale_stream(update, gain)

    def forward(self, latent: Tensor) -> Tensor:
        return latent + self.network(latent)


class ResidualField(nn.Module):
    """Velocity of the latent: z N x C x h x w, t N in [0, 1] -> N x C x h x w; the time moves the blocks' biases.

    ``time_mlp`` and the blocks' ``mlp`` are None, and ``t`` unused, once the times are folded.
    """

    def __init__(self, spec: ResidualSpec, channels: int, *, expanded: bool = False) -> None:
        super().__init__()
        self.time_mlp: TimeEmbedding | None = TimeEmbedding(spec.time_features)
        self.network = ResidualNetwork(spec, channels, TIME_EXPANSION * spec.time_features, expanded=expanded)

    @property
    def takes_time(self) -> bool:
        """False once the times are folded."""
        return self.time_mlp is not None

    def output_conv(self) -> nn.Conv2d:
        """A copy of the convolution that writes the velocity."""
        return copy.deepcopy(self.network.last)

    def set_output_conv(self, conv: nn.Conv2d) -> None:
        """Put ``conv`` into its place."""
        self.network.last = conv

    def streams(self) -> Iterator[Stream]:
        """The streams of the network."""
        return self.network.streams()

    def rescale_stream(self, update: SharedUpdate, gain: float) -> None:
        """Let it read and write ``gain`` times the latent."""
        self.network.rescale_stream(update, gain)

    def residual_blocks(self) -> list[Block]:
        """All blocks, in the order in which they run."""
        return [module for module in self.modules() if isinstance(module, Block)]

    def forward(self, z: Tensor, t: Tensor | None = None) -> Tensor:
        embedding = self.time_mlp(t) if self.time_mlp is not None else None
        return self.network(z, embedding)


def _through(blocks: nn.Module, x: Tensor, embedding: Tensor | None) -> Tensor:
    for block in _blocks(blocks):
        x = block(x, embedding)
    return x


def _blocks(level: nn.Module) -> list[Block]:
    assert isinstance(level, nn.ModuleList)
    return [block for block in level if isinstance(block, Block)]
