"""Squares of pixels that become channels, and channels that become squares again."""

from __future__ import annotations

from torch import nn

FACTOR = 2
COLOURS = 3


class Unshuffle(nn.PixelUnshuffle):
    """N x C x H x W -> N x 4C x H/2 x W/2, of the same values; ``channels`` is C."""

    def __init__(self, channels: int) -> None:
        super().__init__(FACTOR)
        self.channels = channels


class Shuffle(nn.PixelShuffle):
    """The inverse: N x 4C x H/2 x W/2 -> N x C x H x W; ``channels`` is C."""

    def __init__(self, channels: int) -> None:
        super().__init__(FACTOR)
        self.channels = channels


def unshuffle(levels: int) -> nn.Sequential:
    """Image N x 3 x H x W -> N x 3 * 4^levels x H / 2^levels x W / 2^levels."""
    return nn.Sequential(*(Unshuffle(COLOURS * FACTOR ** (2 * level)) for level in range(levels)))


def shuffle(levels: int) -> nn.Sequential:
    """The inverse of ``unshuffle``."""
    return nn.Sequential(*(Shuffle(COLOURS * FACTOR ** (2 * level)) for level in reversed(range(levels))))
