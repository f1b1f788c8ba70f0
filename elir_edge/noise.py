"""The standard normal noise that starts the flow, the same on every machine and without torch."""

from __future__ import annotations

import numpy as np


def draw_noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float32 values of ``shape`` from NumPy's PCG64 generator seeded with ``seed``."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
