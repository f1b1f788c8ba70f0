"""The grids of integer precisions: steps per side of int8 weights, type and ranges of activations.

Some runtimes multiply uint8 activations by int8 weights. x86-64 processors without VNNI add two such products in 16
bits and saturate: 2 x 255 x 127 does not fit there, 2 x 255 x 63 does. Artifacts for those runtimes have 63 steps, so
that they give the same picture on every processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elir_edge.quantize.ranges import RANGE_METHOD

LEVELS = 127
LEVELS_WITHOUT_VNNI = 63
W8A16 = "w8a16"  # the precision


@dataclass(frozen=True)
class Grid:
    """The grid of an ONNX graph. ``kernel_levels``: steps per side of the weights. ``activations``: their type, UInt8
    or UInt16. ``ranges``: how their ranges are estimated, see ``Ranges.estimate``.
    """

    kernel_levels: int
    activations: str
    ranges: str

    @property
    def activation_steps(self) -> int:
        """Steps from one end of an activation's range to the other."""
        return int(np.iinfo(self.activations.lower()).max)


BYTES = Grid(LEVELS_WITHOUT_VNNI, "UInt8", RANGE_METHOD)
# With 65536 steps, clipping only loses: nano has 60.1 dB to PyTorch on the worst picture, 51.3 with RANGE_METHOD.
WORDS = Grid(LEVELS, "UInt16", "minmax")


def grid_of(precision: str) -> Grid:
    """The grid of ONNX graphs at an integer precision."""
    return WORDS if precision == W8A16 else BYTES
