"""Layers that several parts use."""

from __future__ import annotations

from torch import nn

EXPANSION = 4


def conv3x3(cin: int, cout: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    """A 3x3 convolution with padding 1."""
    return nn.Conv2d(cin, cout, 3, stride, padding=1, bias=bias)


def conv_at(layers: nn.Sequential, index: int) -> nn.Conv2d:
    """The convolution at ``index``. Raises TypeError where that layer is not a convolution."""
    layer = layers[index]
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"layer {index} is a {type(layer).__name__}, not a convolution")
    return layer


def linear_block(cin: int, cout: int, *, expanded: bool) -> list[nn.Module]:
    """A 3x3 convolution; ``expanded``: the form for training, 3x3 to 4 ``cout`` channels, then 1x1."""
    if not expanded:
        return [conv3x3(cin, cout)]
    return [conv3x3(cin, EXPANSION * cout), nn.Conv2d(EXPANSION * cout, cout, 1)]
