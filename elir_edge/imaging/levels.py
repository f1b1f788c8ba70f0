"""Pixel values of 8 and 16 bits <-> levels: float32 on the 8-bit scale 0..255, which graphs are fed from."""

from __future__ import annotations

import numpy as np

from elir_edge.errors import UsageError
from elir_edge.imaging.pixels import to_uint8

STEP_16 = 257  # 65535 / 255


def to_levels(pixels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 -> float32 0..255."""
    return pixels.astype(np.float32) / np.float32(STEP_16 if pixels.dtype == np.uint16 else 1)


def from_levels(levels: np.ndarray, dtype: np.dtype | type) -> np.ndarray:
    """float32 0..255 -> uint8 or uint16, rounded to the nearest value and clipped; the inverse of ``to_levels``."""
    if np.dtype(dtype) == np.uint16:
        return np.rint(levels * np.float32(STEP_16)).clip(0, 65535).astype(np.uint16)
    return to_uint8(levels)


def over_white(levels: np.ndarray) -> np.ndarray:
    """Levels with alpha as the last channel -> without, blended onto white."""
    colour, alpha = levels[..., :-1], levels[..., -1:] / np.float32(255)
    return colour * alpha + np.float32(255) * (1 - alpha)


def as_channels(pixels: np.ndarray) -> np.ndarray:
    """An array as H x W x channels. Raises UsageError unless it is uint8 or uint16 with 1 to 4 channels."""
    given = np.asarray(pixels)
    shaped = given[..., None] if given.ndim == 2 else given
    if (
        shaped.ndim != 3
        or not 1 <= shaped.shape[2] <= 4
        or shaped.dtype not in (np.uint8, np.uint16)
        or not shaped.size
    ):
        raise UsageError(
            f"a picture is {given.dtype} {given.shape}; allowed is uint8 or uint16, H x W x 1 to 4 channels",
            hint="convert it to uint8, values 0..255",
        )
    return shaped
