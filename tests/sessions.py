"""Sessions that apply a function in the place of a model: what they give back is known exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from elir_edge.artifacts.signature import IMAGE, RESTORED, TensorSpec
from elir_edge.runtime.base import Session


class IdentitySession(Session):
    """Gives its input back, or ``function`` of it, and counts how often it was asked."""

    backend = "identity"

    def __init__(
        self,
        dtype: str = "float32",
        function: Callable[[np.ndarray], np.ndarray] = lambda image: image,
        side: int | tuple[int, int] = 32,
        layout: str = "NCHW",
    ) -> None:
        sides = (side, side) if isinstance(side, int) else side
        facts = ((1, 3, *sides) if layout == "NCHW" else (1, *sides, 3), dtype, layout, "RGB")
        super().__init__([TensorSpec(IMAGE, *facts)], [TensorSpec(RESTORED, *facts)])
        self.function, self.asked = function, 0

    def _run(self, feeds):
        self.asked += 1
        return {RESTORED: self.function(feeds[IMAGE])}

    def _close(self) -> None:
        pass
