"""Channel equalization: an exact rewrite that makes the ranges of a tensor's channels more equal.

An 8-bit tensor has one step size for all channels: a channel with a tenth of the largest range has a tenth of the
levels. Where only ReLU, sums and copies are between two convolutions, a factor per channel can move from the outputs of
the first to the inputs of the second (Nagel et al., "Data-free quantization through weight equalization and bias
correction", ICCV 2019, section 4.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from elir_edge.core.progress import Advance
from elir_edge.families.rewrites.sharing import SharedUpdate
from elir_edge.families.streams import HasStreams, Stream
from elir_edge.lowering.static import StaticRestorer

STRENGTH = 0.5
LARGEST_FACTOR = 8.0


def equalize(
    graph: StaticRestorer, feeds: Sequence[Mapping[str, np.ndarray]], advance: Advance = lambda amount: None
) -> None:
    """Rescale the weights of the parts that have streams, in place.

    ``feeds`` are the graph's inputs, one mapping for each sample; ``advance`` is called with 1 after each. Each channel
    is scaled by sqrt(max_range / range), at most 8: full equalization would cost the weights that read it as much
    precision as it gains.

    Requires: collapsed linear blocks. Guarantees: the same function, and stages with the same values.
    """
    streams = _streams(graph)
    with ExitStack() as stack, torch.no_grad():
        for stream in streams:
            for module in stream.seen:
                stack.callback(module.register_forward_hook(stream.watch).remove)
        for sample in feeds:
            graph(*(torch.from_numpy(array) for array in sample.values()))
            advance(1)
    for stream in streams:
        _rescale(stream)


def _rescale(stream: Stream) -> None:
    assert stream.ranges is not None
    ranges = stream.ranges.double().clamp_min(1e-12)
    factor = ((ranges.max() / ranges) ** STRENGTH).clamp_max(LARGEST_FACTOR)
    writes, reads = SharedUpdate(), SharedUpdate()
    for conv in stream.writers:
        writes(conv, "weight", partial(_scale_channels, factor=factor, axis=1 if _is_transposed(conv) else 0))
        writes(conv, "bias", lambda bias: bias * factor)
    for conv in stream.readers:
        reads(conv, "weight", partial(_scale_channels, factor=1 / factor, axis=0 if _is_transposed(conv) else 1))


def _streams(graph: StaticRestorer) -> list[Stream]:
    """The streams of all parts; those of steps that share their weights are one, as they share their factors."""
    merged: dict[int, Stream] = {}
    for stage in graph.stage_list():
        module = None if stage.module is None else graph.get_submodule(stage.module)
        if isinstance(module, HasStreams):
            for stream in module.streams():
                merged.setdefault(id(stream.writers[0].weight), Stream()).add(stream)
    return list(merged.values())


def _is_transposed(conv: nn.Module) -> bool:
    return isinstance(conv, nn.ConvTranspose2d)


def _scale_channels(weight: Tensor, factor: Tensor, axis: int) -> Tensor:
    return weight * factor.reshape([-1 if i == axis else 1 for i in range(4)])
