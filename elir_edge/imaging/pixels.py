"""Operations of degradations on uint8 H x W x 3; every result is rounded and clipped to 8 bits."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from numpy.random import Generator

Filter = Literal["nearest", "box", "bilinear", "bicubic"]


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Round to the nearest integer (ties to even) and clip to 0..255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def add_noise(image: np.ndarray, sigma: float, rng: Generator) -> np.ndarray:
    """Add independent Gaussian noise of standard deviation ``sigma`` on the 8-bit scale."""
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(sigma)
    return to_uint8(image.astype(np.float32) + noise)


def blur(image: np.ndarray, sigma: float, taps: int | None = None) -> np.ndarray:
    """Gaussian blur of standard deviation ``sigma`` pixels; borders are mirrored.

    The kernel has ``taps`` pixels a side, or reaches 4 sigma to each side where that is None.
    """
    from scipy.ndimage import gaussian_filter

    values = image.astype(np.float32)
    if taps is None:
        return to_uint8(gaussian_filter(values, (sigma, sigma, 0.0), mode="mirror"))
    return to_uint8(gaussian_filter(values, (sigma, sigma, 0.0), mode="mirror", radius=(taps // 2, taps // 2, 0)))


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode as JPEG of ``quality`` 1 to 100 with 4:2:0 chroma subsampling, and decode."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(file) as picture:
        return np.asarray(picture)


def resize(image: np.ndarray, height: int, width: int, method: Filter) -> np.ndarray:
    """Resize to ``height`` x ``width`` with Pillow; when shrinking, all but ``nearest`` average over pixels."""
    from PIL import Image

    if image.shape[:2] == (height, width):
        return image
    filters = {
        "nearest": Image.Resampling.NEAREST,
        "box": Image.Resampling.BOX,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
    }
    return np.asarray(Image.fromarray(image).resize((width, height), filters[method]))
