"""Channel equalization: exact rewrites after which the channels of a tensor have more alike ranges.

An 8-bit tensor has one step for all channels, so that a channel of a tenth of the largest's range gets a tenth of its
levels. Between convolutions with nothing but ReLU, sums and copies, a factor for each channel can move from one
convolution's outputs to the next one's inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import torch

from elir_edge.families.rewrites.sharing import SharedUpdate
from elir_edge.families.streams import HasStreams, Stream
from elir_edge.lowering.static import StaticRestorer

STRENGTH = 0.5
LARGEST_FACTOR = 8.0


def equalize(graph: StaticRestorer, feeds: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Rewrite the weights of the parts that know their streams, in place.

    ``feeds`` are the graph's inputs, one mapping for each sample.

    Needs collapsed linear blocks. Guarantees the same function; stages keep their values. Of what lies between the
    largest channel's range and a channel's own, the square root is made up for: the rest would cost the weights that
    read it as much as it gives.
    """
    modules = [graph.get_submodule(stage.module) for stage in graph.stage_list() if stage.module is not None]
    streams = [stream for module in modules if isinstance(module, HasStreams) for stream in module.streams()]
    with ExitStack() as stack, torch.no_grad():
        for stream in streams:
            for module in stream.seen:
                stack.callback(module.register_forward_hook(stream.watch).remove)
        for sample in feeds:
            graph(*(torch.from_numpy(array) for array in sample.values()))
    for stream in streams:
        _rescale(stream)


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
