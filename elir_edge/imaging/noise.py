"""The standard normal noise at the start of the flow: its values, and where a graph takes it from. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from elir_edge.core.plain import whole_number
from elir_edge.errors import UsageError

MAX_SEED = 2**63 - 1


def draw_noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal float32 values of ``shape`` from NumPy's PCG64 generator seeded with ``seed``."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


class NoiseField:
    """One field of standard normal noise for a picture of any size, of which tiles take windows.

    Tiles that overlap get equal noise where they do. The field is made of blocks of ``shape`` (C, h, w): the first is
    ``draw_noise(seed)``, so that a picture of one tile has the noise of the graph, the others have seeds of their own.
    Only blocks that were used lately are kept.
    """

    def __init__(self, seed: int, shape: tuple[int, int, int]) -> None:
        self._seed, self.shape = seed, shape
        self._block = lru_cache(maxsize=64)(self._draw)

    def window(self, top: int, left: int) -> np.ndarray:
        """float32 1 x C x h x w from row ``top`` and column ``left`` of the field on."""
        _, height, width = self.shape
        (row, y), (column, x) = divmod(top, height), divmod(left, width)
        rows = [
            np.concatenate([self._block(i, j) for j in (range(column, column + 2) if x else [column])], axis=2)
            for i in (range(row, row + 2) if y else [row])
        ]
        return np.ascontiguousarray(np.concatenate(rows, axis=1)[None, :, y : y + height, x : x + width])

    def _draw(self, row: int, column: int) -> np.ndarray:
        if row == column == 0:
            return draw_noise(self._seed, self.shape)
        return np.random.default_rng([self._seed, row, column]).standard_normal(self.shape, dtype=np.float32)


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
        number = whole_number(seed or "0")
        if mode == "baked" and number is not None and number <= MAX_SEED:
            return cls("baked", number)
        if mode in ("input", "zero") and not seed:
            return cls(mode)
        raise UsageError(
            f"noise '{text:.60}' is not one of baked:SEED (a whole number), input, zero", hint="write --noise baked:0"
        )

    def __str__(self) -> str:
        return self.mode if self.seed is None else f"{self.mode}:{self.seed}"
