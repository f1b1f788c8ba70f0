"""Tiling: pictures of any size through a graph of one size, in overlapping tiles that are blended linearly.

``cut`` reads a picture row of tiles by row of tiles, ``Mosaic`` gives finished rows back: neither holds more than one
row of tiles, whatever the picture's height.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

DEFAULT_OVERLAP = 32
MAX_ALIGNMENT = 32
ReadRows = Callable[[int, int], np.ndarray]


def alignment(tile: tuple[int, int]) -> int:
    """Tiles start at multiples of this: the largest power of two that divides both sides of ``tile``, <= 32.

    It is at most a quarter of a side. A network that downsamples by 2^n answers a shifted picture with the shifted
    answer only if the shift is a multiple of 2^n: tiles that start elsewhere would disagree where they overlap.
    """
    step = MAX_ALIGNMENT
    while step > 1 and (tile[0] % step or tile[1] % step or 4 * step > min(tile)):
        step //= 2
    return step


def tile_starts(length: int, tile: int, overlap: int, step: int = 1) -> list[int]:
    """Starts of tiles of ``tile`` pixels that cover ``length``, multiples of ``step``.

    ``length`` is ``tile`` plus a multiple of ``step``. Neighbours share at least ``overlap`` pixels, where
    ``tile - overlap >= step``.
    """
    units, most = (length - tile) // step, max(1, (tile - overlap) // step)
    gaps = -(-units // most)
    return [step * (i * units // max(1, gaps)) for i in range(gaps + 1)]


class Tile(NamedTuple):
    """A tile's first row and column in the picture, and its pixels, th x tw x channels."""

    top: int
    left: int
    pixels: np.ndarray


@dataclass(frozen=True)
class Grid:
    """Where the tiles of a picture of ``height`` x ``width`` pixels lie; ``tile`` is (height, width)."""

    height: int
    width: int
    tile: tuple[int, int]
    overlap: int = DEFAULT_OVERLAP

    @cached_property
    def tops(self) -> list[int]:
        """First rows of the rows of tiles."""
        return self._starts(0, self.height)

    @cached_property
    def lefts(self) -> list[int]:
        """First columns of the columns of tiles."""
        return self._starts(1, self.width)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self.tops) * len(self.lefts)

    @property
    def padded_width(self) -> int:
        """Width that the tiles cover."""
        return self.lefts[-1] + self.tile[1]

    def _starts(self, axis: int, length: int) -> list[int]:
        tile, step = self.tile[axis], alignment(self.tile)
        padded = tile + -(-max(0, length - tile) // step) * step
        return tile_starts(padded, tile, min(self.overlap, min(self.tile) // 2), step)


def cut(grid: Grid, read: ReadRows) -> Iterator[Tile]:
    """The tiles of a picture, row by row. What lies beyond its bottom and right edge is its reflection.

    ``read(top, count)`` gives rows of the picture, count x W x channels; each row is read once, from top to bottom.
    """
    height, width = grid.tile
    band: np.ndarray | None = None
    above = 0
    for top in grid.tops:
        bottom = min(top + height, grid.height)
        if band is None:
            band = read(top, bottom - top)
        else:
            kept = band[top - above :]
            band = np.concatenate([kept, read(top + len(kept), bottom - top - len(kept))])
        above = top
        missing = (top + height - bottom, grid.padded_width - grid.width)
        padded = np.pad(band, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect") if any(missing) else band
        for left in grid.lefts:
            yield Tile(top, left, np.ascontiguousarray(padded[:, left : left + width]))


class Mosaic:
    """Joins tiles, given in the order of ``cut``, into finished rows. Each fades in over what its neighbours cover."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._added = 0
        self._right = 0
        self._strip = np.empty((0, 0, 0), np.float32)
        self._above: np.ndarray | None = None  # rows of the strip above that this one overlaps

    def add(self, part: np.ndarray) -> np.ndarray | None:
        """The next tile, float32 th x tw x channels. Returns rows, n x W x channels, where that completes some."""
        row, column = divmod(self._added, len(self._grid.lefts))
        self._added += 1
        if column == 0:
            self._right = 0
            self._strip = np.empty((len(part), self._grid.padded_width, part.shape[2]), part.dtype)
        left = self._grid.lefts[column]
        shared = max(0, self._right - left)
        _place(self._strip.swapaxes(0, 1), part.swapaxes(0, 1), left, shared)
        self._right = left + part.shape[1]
        return self._end_row(row) if column + 1 == len(self._grid.lefts) else None

    def _end_row(self, row: int) -> np.ndarray:
        grid, strip = self._grid, self._strip
        if self._above is not None:
            incoming = strip[: len(self._above)].copy()
            strip[: len(self._above)] = self._above
            _place(strip, incoming, 0, len(incoming))
        ready = (grid.tops[row + 1] if row + 1 < len(grid.tops) else grid.height) - grid.tops[row]
        self._above = strip[ready:].copy()  # a view would keep all of the strip
        return strip[:ready, : grid.width]


def tile_count(height: int, width: int, tile: tuple[int, int], overlap: int = DEFAULT_OVERLAP) -> int:
    """Number of tiles that ``cut`` makes of a picture of ``height`` x ``width`` pixels."""
    return Grid(height, width, tile, overlap).count


def _place(result: np.ndarray, part: np.ndarray, start: int, shared: int) -> None:
    """Write ``part`` into rows ``start`` .. of ``result``; over the first ``shared`` rows it fades in linearly."""
    if shared:
        ramp = ((np.arange(shared, dtype=np.float32) + 0.5) / shared).reshape(-1, 1, 1)
        seen = result[start : start + shared]
        seen += ramp * (part[:shared] - seen)
    result[start + shared : start + len(part)] = part[shared:]
