"""Upsampling as ExecuTorch's XNNPACK takes it."""

import torch
from torch import nn

from exporters.executorch import upsample_by_convolution


class Network(nn.Module):
    """Upsamplings of all kinds; ``shared`` sees two numbers of channels."""

    def __init__(self):
        super().__init__()
        self.copies = nn.Upsample(scale_factor=(2.0, 3.0))
        self.smooth = nn.Upsample(scale_factor=2, mode="bilinear")
        self.broken = nn.Upsample(scale_factor=1.5)
        self.sized = nn.Upsample(size=(7, 9))
        self.shared = nn.Upsample(scale_factor=2)

    def forward(self, x):
        two = self.shared(x), self.shared(x[:, :1])
        return [self.copies(x), self.smooth(x), self.broken(x), self.sized(x), *two]

    def example_inputs(self):
        return (torch.zeros(1, 2, 4, 6),)


def test_only_what_repeats_pixels_becomes_a_convolution():
    network = Network()
    x = torch.rand(1, 2, 4, 6)
    wanted = network(x)
    upsample_by_convolution(network)
    assert all(torch.equal(given, before) for given, before in zip(network(x), wanted, strict=True))
    assert [name for name, module in network.named_modules() if isinstance(module, nn.ConvTranspose2d)] == ["copies"]
