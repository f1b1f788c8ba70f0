"""Sessions that apply a function in the place of a model: what they give back is known exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from elir_edge.artifacts.signature import IMAGE, RESTORED, TensorSpec
from elir_edge.runtime.base import Session


class IdentitySession(Session):
    """Gives its input back, or ``function`` of it."""

    backend = "identity"

    def __init__(
        self,
        dtype: str = "float32",
        function: Callable[[np.ndarray], np.ndarray] = lambda image: image,
        side: int = 32,
    ) -> None:
        facts = ((1, 3, side, side), dtype, "NCHW", "RGB")
        super().__init__([TensorSpec(IMAGE, *facts)], [TensorSpec(RESTORED, *facts)])
        self.function = function

    def _run(self, feeds):
        return {RESTORED: self.function(feeds[IMAGE])}

    def _close(self) -> None:
        pass
