"""Channel equalization: exact rewrites after which the channels of a tensor have more alike ranges.

An 8-bit tensor has one step for all channels, so that a channel of a tenth of the largest's range gets a tenth of its
levels. Between convolutions with nothing but ReLU, sums and copies, a factor for each channel can move from one
convolution's outputs to the next one's inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from elir_edge.families.elir.autoencoder import ConvStack, ResidualBlock
from elir_edge.lowering.sharing import SharedUpdate
from elir_edge.lowering.static import StaticRestorer

STRENGTH = 0.5
LARGEST_FACTOR = 8.0


@dataclass
class Stream:
    """Tensors of the same channels that are added to each other: who writes them, who reads them.

    ``ranges`` is the largest magnitude seen in each channel.
    """

    writers: list[nn.Conv2d] = field(default_factory=list)
    readers: list[nn.Conv2d] = field(default_factory=list)
    seen: list[nn.Module] = field(default_factory=list)
    ranges: Tensor | None = None

    def watch(self, module: nn.Module, given: object, output: Tensor) -> None:
        """A forward hook."""
        largest = output.abs().amax((0, 2, 3))
        self.ranges = largest if self.ranges is None else torch.maximum(self.ranges, largest)


def equalize(graph: StaticRestorer, feeds: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Rewrite the autoencoder's weights in place; ``feeds`` are the graph's inputs, one mapping for each sample.

    Needs collapsed linear blocks. Guarantees the same function; stages keep their values. Of what lies between the
    largest channel's range and a channel's own, the square root is made up for: the rest would cost the weights that
    read it as much as it gives.
    """
    streams = [stream for stack in (graph.enc, graph.dec) for stream in _streams(stack)]
    with ExitStack() as stack, torch.no_grad():
        for stream in streams:
            for module in stream.seen:
                stack.callback(module.register_forward_hook(stream.watch).remove)
        for sample in feeds:
            graph(*(torch.from_numpy(array) for array in sample.values()))
    for stream in streams:
        _rescale(stream)


def _streams(stack: ConvStack) -> Iterator[Stream]:
    """Of the stack itself between its convolutions, and of each residual block inside."""
    current = Stream()
    for layer in stack.layers:
        if isinstance(layer, nn.Conv2d):
            current.readers.append(layer)
            if current.writers:
                yield current
            current = Stream(writers=[layer], seen=[layer])
        elif isinstance(layer, ResidualBlock):
            yield from _inside(layer)
            _pass_through(current, layer)
        else:
            current.seen.append(layer)


def _inside(block: ResidualBlock) -> Iterator[Stream]:
    first, relu_1, second, relu_2, third = block.conv
    for writer, relu, reader in ((first, relu_1, second), (second, relu_2, third)):
        assert isinstance(writer, nn.Conv2d) and isinstance(reader, nn.Conv2d)
        yield Stream([writer], [reader], [relu])


def _pass_through(stream: Stream, block: ResidualBlock) -> None:
    pairs = [(block.conv[0], block.conv[-1])] + ([(block.pool[0], block.pool[-1])] if block.pool is not None else [])
    for reader, writer in pairs:
        assert isinstance(writer, nn.Conv2d) and isinstance(reader, nn.Conv2d)
        stream.readers.append(reader)
        stream.writers.append(writer)
        stream.seen.append(writer)
    stream.seen.append(block)


def _rescale(stream: Stream) -> None:
    assert stream.ranges is not None
    ranges = stream.ranges.double().clamp_min(1e-12)
    factor = ((ranges.max() / ranges) ** STRENGTH).clamp_max(LARGEST_FACTOR)
    writes, reads = SharedUpdate(), SharedUpdate()
    for conv in stream.writers:
        writes(conv, "weight", lambda weight: weight * factor[:, None, None, None])
        writes(conv, "bias", lambda bias: bias * factor)
    for conv in stream.readers:
        reads(conv, "weight", lambda weight: weight / factor[:, None, None])
