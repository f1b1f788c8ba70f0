"""Whether two picture files show the same picture, although one is a copy in JPEG or of another size."""

from __future__ import annotations

import numpy as np

SIDE = 16
SAME_LEVELS = 3.0  # JPEG of quality 30 moves a thumbnail by less than 1, another photograph by 30 and more


def thumbnail_of(pixels: np.ndarray) -> np.ndarray:
    """``pixels``, uint8 H x W x 3, averaged to 16 x 16 x 3; float32 of 0..255."""
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(pixels)).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32)


def shows_the_same(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two results of ``thumbnail_of`` are at most 3 levels apart on average."""
    return float(np.abs(first - second).mean()) <= SAME_LEVELS
