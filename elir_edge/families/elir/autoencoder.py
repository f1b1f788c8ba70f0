"""The tiny autoencoder: image <-> latent, convolutions only."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from elir_edge.families.elir.spec import AutoencoderSpec
from elir_edge.families.networks.layers import conv3x3, conv_at
from elir_edge.families.streams import Stream

POOL_CHANNELS = 256
POOL_GROUPS = 4
POOLED_BLOCKS = 3
LATENT_BOUND = 3.0


class ResidualBlock(nn.Module):
    """N x C x H x W -> same shape: ReLU(convolutions(x) + x), three convolutions with ReLU between.

    ``pooled`` adds the normalized 1x1 bottleneck to x first.
    """

    def __init__(self, width: int, *, pooled: bool = False) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv3x3(width, width), nn.ReLU(), conv3x3(width, width), nn.ReLU(), conv3x3(width, width)
        )
        self.fuse = nn.ReLU()
        self.pool = _pool(width) if pooled else None

    def forward(self, x: Tensor) -> Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return self.fuse(self.conv(x) + x)

    def streams(self) -> Iterator[Stream]:
        """The streams between its convolutions."""
        for first in (0, 2):
            yield Stream([conv_at(self.conv, first)], [conv_at(self.conv, first + 2)], [self.conv[first + 1]])

    def pass_through(self, stream: Stream) -> None:
        """Add its first convolutions to the readers of ``stream`` and its last ones to the writers."""
        for branch in (self.conv, self.pool):
            if branch is not None:
                stream.readers.append(conv_at(branch, 0))
                stream.writers.append(conv_at(branch, -1))
                stream.seen.append(conv_at(branch, -1))
        stream.seen.append(self)


class ConvStack(nn.Module):
    """A sequence of layers that begins and ends with a convolution."""

    layers: nn.Sequential

    @property
    def first_conv(self) -> nn.Conv2d:
        """The convolution that reads the input."""
        return conv_at(self.layers, 0)

    @property
    def last_conv(self) -> nn.Conv2d:
        """The convolution that writes the output."""
        return conv_at(self.layers, -1)

    def streams(self) -> Iterator[Stream]:
        """The streams between its own convolutions and inside its residual blocks."""
        current = Stream()
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                current.readers.append(layer)
                if current.writers:
                    yield current
                current = Stream(writers=[layer], seen=[layer])
            elif isinstance(layer, ResidualBlock):
                yield from layer.streams()
                layer.pass_through(current)
            else:
                current.seen.append(layer)


class Encoder(ConvStack):
    """Image N x 3 x H x W in [0, 1] -> latent N x C x H/2^levels x W/2^levels."""

    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv3x3(3, spec.width), ResidualBlock(spec.width)]
        for level in range(spec.levels):
            layers.append(conv3x3(spec.width, spec.width, stride=2, bias=False))
            deepest = level == spec.levels - 1
            layers += [ResidualBlock(spec.width, pooled=deepest and p) for p in _pooling(spec)]
        layers.append(conv3x3(spec.width, spec.latent_channels))
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class SoftClamp(nn.Module):
    """``gain * tanh(x / gain)``, the soft bound of the latent; ``gain`` is 3 in the published models."""

    def __init__(self, gain: float = LATENT_BOUND) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, latent: Tensor) -> Tensor:
        if self.gain == 1.0:
            return torch.tanh(latent)
        return torch.tanh(latent / self.gain) * self.gain


class Decoder(ConvStack):
    """Latent N x C x h x w -> image N x 3 x H x W, not clipped to [0, 1]."""

    def __init__(self, spec: AutoencoderSpec) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv3x3(spec.latent_channels, spec.width), nn.ReLU()]
        for level in range(spec.levels):
            layers += [ResidualBlock(spec.width, pooled=level == 0 and p) for p in reversed(_pooling(spec))]
            layers += [nn.Upsample(scale_factor=2, mode="nearest"), conv3x3(spec.width, spec.width, bias=False)]
        layers += [ResidualBlock(spec.width), conv3x3(spec.width, 3)]
        self.bound = SoftClamp()
        self.layers = nn.Sequential(*layers)

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(self.bound(latent))


def _pooling(spec: AutoencoderSpec) -> list[bool]:
    """For each encoder block of the deepest level, whether it is pooled: the last three are."""
    return [spec.midblock_pooling and spec.blocks - i <= POOLED_BLOCKS for i in range(spec.blocks)]


def _pool(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, POOL_CHANNELS, 1, bias=False),
        nn.GroupNorm(POOL_GROUPS, POOL_CHANNELS),
        nn.ReLU(),
        nn.Conv2d(POOL_CHANNELS, width, 1, bias=False),
    )
