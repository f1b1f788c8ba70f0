"""What is done to a static graph before any format's quantizer sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from elir_edge.lowering.static import StaticRestorer
from elir_edge.progress import Progress
from elir_edge.quantize.equalize import equalize
from elir_edge.quantize.rounding import round_weights

Feeds = Sequence[Mapping[str, np.ndarray]]


def prepare(graph: StaticRestorer, feeds: Feeds, progress: Progress) -> None:
    """Equalize channels, then round weights to values that int8 holds, in place.

    ``feeds`` are the graph's inputs, one mapping for each calibration sample. The weights afterwards lie on the grid
    that every format's own quantizer makes of them.
    """
    with progress.stage("equalizing channels"):
        equalize(graph, feeds)
    round_weights(graph, [as_tensors(feed) for feed in feeds], progress)


def as_tensors(feed: Mapping[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    """A graph's inputs in their order."""
    return tuple(torch.from_numpy(array) for array in feed.values())
