"""Sim-VAE: image <-> latent, convolutions and LayerNorm over channels, with the tensor names of the published file."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from elir_edge.families.latent_pmrf.spec import SimVaeSpec
from elir_edge.families.networks.channel_norm import ChannelNorm
from elir_edge.families.networks.layers import conv3x3
from elir_edge.families.networks.shuffle import COLOURS, shuffle, unshuffle

CENTRE, HALF_RANGE = 0.5, 0.5  # pixels in [0, 1]; the convolutions work on [-1, 1]


class ResidualBlock(nn.Module):
    """N x C x H x W -> the same: x + conv2(SiLU(conv1(norm(x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.conv1, self.conv2 = conv3x3(width, width), conv3x3(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(functional.silu(self.conv1(self.norm(x))))


class Resample(nn.Module):
    """N x cin x H x W -> N x cout, half the resolution by a stride, or twice by nearest neighbours."""

    def __init__(self, cin: int, cout: int, *, up: bool) -> None:
        super().__init__()
        self.resize = nn.Upsample(scale_factor=2.0, mode="nearest") if up else nn.Identity()
        self.conv = conv3x3(cin, cout, stride=1 if up else 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.resize(x))


class Level(nn.Module):
    """Residual blocks at one resolution, then the change to the next width and resolution, if there is one."""

    def __init__(self, width: int, blocks: int, following: int | None = None, *, up: bool = False) -> None:
        super().__init__()
        self.resnets = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        if following is not None:
            self.add_module("upsampler" if up else "downsampler", Resample(width, following, up=up))

    def forward(self, x: Tensor) -> Tensor:
        for module in self.children():
            x = module(x)
        return x


class Encoder(nn.Module):
    """Image N x 3 x H x W in [0, 1] -> latent (mean - shift) * scale, N x C x H/stride x W/stride.

    Rewrites fold ``gain`` (of pixels), ``shift`` and ``scale`` into convolutions; ``centre`` stays, because of the zero
    padding after it.
    """

    def __init__(self, spec: SimVaeSpec) -> None:
        super().__init__()
        widths = spec.widths
        self.channels = spec.latent_channels
        self.centre, self.gain = CENTRE, 1 / HALF_RANGE
        self.shift, self.scale = spec.shift, spec.scale
        self.fold = unshuffle(spec.patch_levels)
        self.conv_in = conv3x3(COLOURS * spec.patch**2, widths[0])
        self.down_blocks = _levels(widths, spec.encoder_blocks, up=False)
        self.mid_block = Level(widths[-1], spec.mid_blocks)
        self.conv_out = conv3x3(widths[-1], 2 * spec.latent_channels)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv_in(_times(self.fold(image - self.centre), self.gain))
        moments = self.conv_out(self.mid_block(self.down_blocks(x)))
        mean = moments if self.conv_out.out_channels == self.channels else moments[:, : self.channels]
        return _times(_plus(mean, -self.shift), self.scale)


class Decoder(nn.Module):
    """Latent N x C x h x w -> image N x 3 x H x W, not clipped to [0, 1].

    Rewrites fold ``scale``, and ``gain`` and ``centre`` of the pixels; a ``shift`` other than 0 stays, because of the
    zero padding after it.
    """

    def __init__(self, spec: SimVaeSpec) -> None:
        super().__init__()
        widths = spec.widths[::-1]
        self.centre, self.gain = CENTRE, HALF_RANGE
        self.shift, self.scale = spec.shift, spec.scale
        self.conv_in = conv3x3(spec.latent_channels, widths[0])
        self.mid_block = Level(widths[0], spec.mid_blocks)
        self.up_blocks = _levels(widths, spec.decoder_blocks, up=True)
        self.conv_out = conv3x3(widths[-1], COLOURS * spec.patch**2)
        self.unfold = shuffle(spec.patch_levels)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.conv_in(_plus(_times(latent, 1 / self.scale), self.shift))
        x = self.conv_out(self.up_blocks(self.mid_block(x)))
        return self.unfold(_plus(_times(x, self.gain), self.centre))


def _levels(widths: tuple[int, ...], blocks: int, *, up: bool) -> nn.Sequential:
    following = (*widths[1:], None)
    return nn.Sequential(*(Level(width, blocks, after, up=up) for width, after in zip(widths, following, strict=True)))


def _times(x: Tensor, gain: float) -> Tensor:
    return x if gain == 1.0 else x * gain


def _plus(x: Tensor, offset: float) -> Tensor:
    return x if offset == 0.0 else x + offset
