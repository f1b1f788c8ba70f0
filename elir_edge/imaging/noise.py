"""The standard normal noise at the start of the flow: its values, and where a graph takes it from. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from elir_edge.errors import UsageError

MAX_SEED = 2**63 - 1


def draw_noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float32 values of ``shape`` from NumPy's PCG64 generator seeded with ``seed``."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@dataclass(frozen=True)
class NoiseContract:
    """Where a static graph takes its noise from.

    ``baked``: a constant in the graph, drawn from ``seed``. ``input``: an input, standard normal. ``zero``: no noise.
    """

    mode: str
    seed: int | None = None

    @classmethod
    def parse(cls, text: str) -> NoiseContract:
        """Parse ``baked:SEED``, ``input`` or ``zero``. Raises UsageError for any other text."""
        mode, _, seed = text.partition(":")
        if mode == "baked" and (seed or "0").isdecimal() and int(seed or "0") <= MAX_SEED:
            return cls("baked", int(seed or "0"))
        if mode in ("input", "zero") and not seed:
            return cls(mode)
        raise UsageError(
            f"noise '{text}' is not one of baked:SEED (a whole number), input, zero", hint="write --noise baked:0"
        )

    def __str__(self) -> str:
        return self.mode if self.seed is None else f"{self.mode}:{self.seed}"
