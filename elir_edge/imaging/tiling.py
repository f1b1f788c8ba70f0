"""Tiling: pictures of any size through a graph of one size, in overlapping tiles that are blended linearly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from elir_edge.core.progress import Advance

DEFAULT_OVERLAP = 32


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Starts of tiles of ``tile`` pixels that cover ``length`` >= ``tile``; neighbours share at least ``overlap``."""
    count = 1 + max(0, -(-(length - tile) // (tile - overlap)))
    return [round(i * (length - tile) / max(1, count - 1)) for i in range(count)]


def run_tiled(
    pixels: np.ndarray,
    tile: tuple[int, int],
    run: Callable[[np.ndarray], np.ndarray],
    overlap: int = DEFAULT_OVERLAP,
    advance: Advance | None = None,
) -> np.ndarray:
    """Apply ``run`` to every tile of ``pixels`` and blend the results; float32 H x W x 3 -> the same shape.

    ``run`` maps float32 th x tw x 3 to the same shape, ``tile`` is (th, tw), ``advance`` is called with 1 after each
    tile. Smaller pictures are padded by reflection. If ``run`` is the identity, so is the whole, exactly.
    """
    height, width = pixels.shape[:2]
    padded = _pad(pixels, tile)
    overlap = min(overlap, min(tile) // 2)
    columns = tile_starts(padded.shape[1], tile[1], overlap)
    result = np.empty_like(padded)
    bottom = 0
    for top in tile_starts(padded.shape[0], tile[0], overlap):
        strip = np.empty((tile[0], *padded.shape[1:]), padded.dtype)
        right = 0
        for left in columns:
            done = run(np.ascontiguousarray(padded[top : top + tile[0], left : left + tile[1]]))
            right = _blend(strip.swapaxes(0, 1), done.swapaxes(0, 1), left, right)
            if advance is not None:
                advance(1)
        bottom = _blend(result, strip, top, bottom)
    return result[:height, :width]


def tile_count(height: int, width: int, tile: tuple[int, int], overlap: int = DEFAULT_OVERLAP) -> int:
    """Number of tiles that ``run_tiled`` runs for a picture of ``height`` x ``width`` pixels."""
    overlap = min(overlap, min(tile) // 2)
    rows, columns = (
        len(tile_starts(max(side, part), part, overlap)) for side, part in zip((height, width), tile, strict=True)
    )
    return rows * columns


def _blend(result: np.ndarray, part: np.ndarray, start: int, filled: int) -> int:
    """Write ``part`` into rows ``start`` .. of ``result``, blended linearly up to row ``filled``; returns its end."""
    shared = max(0, filled - start)
    if shared:
        ramp = ((np.arange(shared, dtype=np.float32) + 0.5) / shared).reshape(-1, 1, 1)
        seen = result[start:filled]
        seen += ramp * (part[:shared] - seen)
    result[start + shared : start + len(part)] = part[shared:]
    return start + len(part)


def _pad(pixels: np.ndarray, tile: tuple[int, int]) -> np.ndarray:
    """Pad by reflection at the bottom and right to at least the size of ``tile``."""
    missing = [max(0, part - side) for part, side in zip(tile, pixels.shape[:2], strict=True)]
    return np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="reflect")
