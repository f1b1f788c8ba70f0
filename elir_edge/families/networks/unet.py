"""The vector field: a time-conditioned U-Net over the latent, GroupNorm + SiLU + convolution blocks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from elir_edge.families.networks.layers import conv3x3, conv_at, linear_block
from elir_edge.families.networks.specs import NORM_GROUPS, FieldSpec
from elir_edge.families.rewrites.collapse import merge
from elir_edge.families.rewrites.sharing import SharedUpdate, scale_output

TIME_SCALE = 1000.0
MAX_PERIOD = 10000.0
TIME_EXPANSION = 4


def time_features(t: Tensor, count: int) -> Tensor:
    """Times N in [0, 1] -> N x ``count``: cosines, then sines, of 1000 t f for geometrically spaced f in [1e-4, 1]."""
    half = count // 2
    index = torch.arange(half, dtype=t.dtype, device=t.device)
    frequencies = torch.exp(-index * (math.log(MAX_PERIOD) / (half - 1)))
    angles = TIME_SCALE * t[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


class TimeEmbedding(nn.Module):
    """Times N -> embedding N x 4F."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.linear1 = nn.Linear(features, TIME_EXPANSION * features)
        self.act = nn.SiLU()
        self.linear2 = nn.Linear(TIME_EXPANSION * features, TIME_EXPANSION * features)

    def forward(self, t: Tensor) -> Tensor:
        return self.linear2(self.act(self.linear1(time_features(t, self.features))))


class GroupNorm(nn.GroupNorm):
    """The same; takes one value a group too, which becomes the bias: the coarsest level may have one pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class Block(nn.Module):
    """GroupNorm, SiLU, 3x3 convolution."""

    def __init__(self, cin: int, cout: int, *, expanded: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(GroupNorm(NORM_GROUPS, cin), nn.SiLU(), *linear_block(cin, cout, expanded=expanded))

    @property
    def conv(self) -> nn.Conv2d:
        """The convolution of a collapsed block."""
        return conv_at(self.block, -1)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class ResidualBlock(nn.Module):
    """x N x cin x h x w and the time embedding -> N x cout x h x w."""

    def __init__(self, cin: int, cout: int, embedding: int, *, expanded: bool) -> None:
        super().__init__()
        self.mlp: nn.Sequential | None = nn.Sequential(nn.SiLU(), nn.Linear(embedding, cout))
        self.block1 = Block(cin, cout, expanded=expanded)
        self.block2 = Block(cout, cout, expanded=expanded)
        self.conv2d = nn.Conv2d(cin, cout, 1)

    @property
    def timed_conv(self) -> nn.Conv2d:
        """The convolution whose bias the time moves, of a collapsed block."""
        return self.block1.conv

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        h = self.block1(x)
        if self.mlp is not None:
            h = h + self.mlp(embedding)[:, :, None, None]
        return self.block2(h) + self.conv2d(x)


class Downsample(nn.Module):
    """N x cin x h x w -> N x cout x h/2 x w/2."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = conv3x3(cin, cout, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """N x cin x h x w -> N x cout x 2h x 2w."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.convtr = nn.ConvTranspose2d(cin, cout, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.convtr(x)


class Field(nn.Module):
    """Velocity of the latent: z N x C x h x w, t N in [0, 1] -> N x C x h x w.

    After ``fold_time``, ``time_mlp`` and the blocks' ``mlp`` are None and ``t`` is unused. After ``fold_projection``,
    ``final_proj`` is an identity.
    """

    def __init__(self, spec: FieldSpec, channels: int, *, expanded: bool = False) -> None:
        super().__init__()
        embedding = TIME_EXPANSION * spec.time_features
        self.time_mlp: TimeEmbedding | None = TimeEmbedding(spec.time_features)

        def residual(cin: int, cout: int) -> ResidualBlock:
            return ResidualBlock(cin, cout, embedding, expanded=expanded)

        width = spec.hidden
        downs, ups = [], []
        for m in spec.multipliers:
            change = Downsample(width, m * width) if m != 1 else nn.Identity()
            back = Upsample(m * width, width) if m != 1 else nn.Identity()
            downs.append(nn.ModuleList([residual(width, width), change]))
            ups.append(nn.ModuleList([back, residual(2 * width, width)]))
            width *= m
        self.first_proj = nn.Conv2d(channels, spec.hidden, 1)
        self.down_blocks = nn.ModuleList(downs)
        self.mid_blocks = nn.ModuleList([residual(width, width) for _ in range(spec.mid_blocks)])
        self.up_blocks = nn.ModuleList(reversed(ups))
        self.final_block = Block(spec.hidden, spec.hidden, expanded=expanded)
        self.final_proj: nn.Module = nn.Conv2d(spec.hidden, channels, 1)

    @property
    def takes_time(self) -> bool:
        """Whether ``forward`` needs ``t``: False after ``fold_time``."""
        return self.time_mlp is not None

    def rescale_stream(self, update: SharedUpdate, gain: float) -> None:
        """Let it read and write ``gain`` times the latent. Needs the projection folded."""
        update(self.first_proj, "weight", lambda weight: weight / gain)
        scale_output(update, self.final_block.conv, gain)

    def residual_blocks(self) -> list[ResidualBlock]:
        """All residual blocks in the order of execution."""
        return [module for module in self.modules() if isinstance(module, ResidualBlock)]

    def output_conv(self) -> nn.Conv2d:
        """The one convolution, of collapsed blocks, that ``final_block``'s and ``final_proj`` are together."""
        return merge(self.final_block.conv, self.final_proj)

    def set_output_conv(self, conv: nn.Conv2d) -> None:
        """Put ``conv`` into the place of both."""
        self.final_block.block[-1] = conv
        self.final_proj = nn.Identity()

    def forward(self, z: Tensor, t: Tensor | None = None) -> Tensor:
        embedding = self.time_mlp(t) if self.time_mlp is not None else None
        x = self.first_proj(z)
        skips = []
        for residual, down in map(_pair, self.down_blocks):
            x = residual(x, embedding)
            skips.append(x)
            x = down(x)
        for residual in self.mid_blocks:
            x = residual(x, embedding)
        for up, residual in map(_pair, self.up_blocks):
            x = residual(torch.cat([up(x), skips.pop()], 1), embedding)
        return self.final_proj(self.final_block(x))


def _pair(level: nn.Module) -> Iterable[nn.Module]:
    return cast(nn.ModuleList, level)
