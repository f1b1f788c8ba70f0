"""The coarse estimator: residual-in-residual dense blocks over the latent, trained for minimum MSE."""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from elir_edge.families.elir.spec import EstimatorSpec
from elir_edge.families.networks.layers import conv_at, linear_block
from elir_edge.families.rewrites.sharing import SharedUpdate

RESIDUAL_SCALE = 0.2


class DenseLayer(nn.Module):
    """3x3 convolution over the concatenation so far; SiLU unless it is the last of its block."""

    def __init__(self, cin: int, cout: int, *, activated: bool, expanded: bool) -> None:
        super().__init__()
        layers = linear_block(cin, cout, expanded=expanded)
        self.block = nn.Sequential(*layers, nn.SiLU()) if activated else nn.Sequential(*layers)

    @property
    def conv(self) -> nn.Conv2d:
        """The convolution of a collapsed layer."""
        return conv_at(self.block, 0)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class DenseBlock(nn.Module):
    """Five layers over a growing concatenation: ``skip_scale * x + scale * last_layer``."""

    def __init__(self, channels: int, hidden: int, *, expanded: bool) -> None:
        super().__init__()
        self.scale = RESIDUAL_SCALE
        self.skip_scale = 1.0
        for i in range(5):
            layer = DenseLayer(channels + i * hidden, hidden if i < 4 else channels, activated=i < 4, expanded=expanded)
            setattr(self, f"conv{i + 1}", layer)

    def layers(self) -> list[DenseLayer]:
        """The five layers in order."""
        return [getattr(self, f"conv{i + 1}") for i in range(5)]

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.layers()
        features = [x]
        for layer in inner:
            features.append(layer(torch.cat(features, 1)))
        out = last(torch.cat(features, 1))
        return _scale(out, self.scale) + _scale(x, self.skip_scale)


class RRDB(nn.Module):
    """Residual-in-residual dense block: ``x + scale * blocks(x)``, three dense blocks."""

    def __init__(self, channels: int, hidden: int, *, expanded: bool) -> None:
        super().__init__()
        self.scale = RESIDUAL_SCALE
        self.RDB1 = DenseBlock(channels, hidden, expanded=expanded)
        self.RDB2 = DenseBlock(channels, hidden, expanded=expanded)
        self.RDB3 = DenseBlock(channels, hidden, expanded=expanded)

    def blocks(self) -> list[DenseBlock]:
        """The three dense blocks in order."""
        return [self.RDB1, self.RDB2, self.RDB3]

    def forward(self, x: Tensor) -> Tensor:
        return _scale(self.RDB3(self.RDB2(self.RDB1(x))), self.scale) + x


class Estimator(nn.Module):
    """Latent N x C x h x w -> coarse estimate of the clean latent, same shape."""

    def __init__(self, spec: EstimatorSpec, channels: int, *, expanded: bool = False) -> None:
        super().__init__()
        self.lrm = nn.Sequential(*(RRDB(channels, spec.hidden, expanded=expanded) for _ in range(spec.blocks)))

    def rrdbs(self) -> list[RRDB]:
        """The RRDBs in order."""
        return [cast(RRDB, module) for module in self.lrm]

    def rescale_stream(self, update: SharedUpdate, gain: float) -> None:
        """Let it read and write ``gain`` times the latent. Needs collapsed linear blocks.

        Hidden features stay as they are; the first inputs of every layer are the stream itself.
        """
        for block in (block for rrdb in self.rrdbs() for block in rrdb.blocks()):
            *inner, last = (layer.conv for layer in block.layers())
            scaled = partial(_scale_inputs, channels=last.out_channels, gain=1 / gain)
            for conv in inner:
                update(conv, "weight", scaled)
            update(last, "weight", lambda weight: scaled(weight) * gain)  # noqa: B023  (called at once)
            update(last, "bias", lambda bias: bias * gain)

    def forward(self, latent: Tensor) -> Tensor:
        return latent + self.lrm(latent)


def _scale_inputs(weight: Tensor, channels: int, gain: float) -> Tensor:
    scaled = weight.clone()
    scaled[:, :channels] *= gain
    return scaled


def _scale(x: Tensor, scale: float) -> Tensor:
    return x if scale == 1.0 else x * scale
