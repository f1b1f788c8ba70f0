"""Deterministic stand-in weights for a published layout: each tensor drawn from a generator seeded by its own name.

The same values as those with which the reference implementation made the golden outputs in ``tests/data``.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

DATA = Path(__file__).parent / "data"


def stand_in_tensor(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Float32 values of the tensor called ``name``."""
    draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if len(shape) > 1:
        return (draw / np.sqrt(int(np.prod(shape[1:])))).astype(np.float32)
    is_norm_scale = name.endswith(".norm.weight") or (name.startswith("fmir.") and name.endswith("block.0.weight"))
    return (1 + 0.1 * draw if is_norm_scale else 0.05 * draw).astype(np.float32)


def layout(name: str) -> dict[str, tuple[int, ...]]:
    """Tensor names and shapes of a published checkpoint, collapsed or (``*_uncollapsed``) as trained."""
    shapes = json.loads((DATA / "layouts" / f"{name}.json").read_text())
    return {tensor: tuple(shape) for tensor, shape in shapes.items()}


def stand_in_state(name: str) -> dict[str, np.ndarray]:
    """All tensors of a layout."""
    return {tensor: stand_in_tensor(tensor, shape) for tensor, shape in layout(name).items()}
