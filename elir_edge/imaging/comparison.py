"""Comparison of two pictures: shape, type and finiteness first, then the size of the difference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

IDENTICAL_DB = 200.0


@dataclass(frozen=True)
class Comparison:
    """Difference of ``actual`` from ``expected``, values on the scale of 0..1.

    ``problem`` says why the two cannot be compared; the figures are then infinite and the PSNR is 0. ``p99_abs`` is the
    99th percentile of the absolute difference, ``mean_shift`` the mean difference of each colour channel.
    """

    max_abs: float
    p99_abs: float
    psnr_db: float
    mean_shift: tuple[float, float, float]
    problem: str | None = None


def compare(actual: np.ndarray, expected: np.ndarray) -> Comparison:
    """Compare two pictures H x W x 3 of the same type: uint8 in 0..255 or float in 0..1."""
    problem = _problem(actual, expected)
    if problem:
        return incomparable(problem)
    scale = 255.0 if actual.dtype == np.uint8 else 1.0
    difference = (actual.astype(np.float64) - expected.astype(np.float64)) / scale
    magnitude = np.abs(difference)
    red, green, blue = (float(shift) for shift in difference.reshape(-1, 3).mean(0))
    return Comparison(
        float(magnitude.max()), float(np.quantile(magnitude, 0.99)), psnr_of(difference), (red, green, blue)
    )


def incomparable(problem: str) -> Comparison:
    """The comparison of two pictures that cannot be compared, because of ``problem``."""
    return Comparison(math.inf, math.inf, 0.0, (math.inf,) * 3, problem)


def not_finite(whose: str, values: np.ndarray) -> str | None:
    """What is wrong with ``values``, the result of ``whose``; None where all are finite."""
    count = int((~np.isfinite(values)).sum())
    return f"{whose} result holds {count} values that are NaN or infinite" if count else None


def psnr_of(difference: np.ndarray) -> float:
    """PSNR in dB, -10 log10(mean(difference^2)), of a difference of values in 0..1.

    At most 200 dB, the value for equal pictures. NaN in, NaN out.
    """
    mean_square = float(np.mean(np.square(difference)))
    return IDENTICAL_DB if mean_square == 0 else min(-10 * math.log10(mean_square), IDENTICAL_DB)


def picture_psnr(picture: np.ndarray, original: np.ndarray) -> float:
    """PSNR in dB of ``picture`` against its uint8 ``original``, both H x W x 3.

    ``picture`` is uint8 in 0..255 or float in 0..1; floats are not rounded.
    """
    levels = picture.astype(np.float64) * (1 if picture.dtype == np.uint8 else 255)
    return psnr_of((levels - original) / 255)


def _problem(actual: np.ndarray, expected: np.ndarray) -> str | None:
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, expected {expected.shape}"
    if actual.dtype != expected.dtype:
        return f"type {actual.dtype}, expected {expected.dtype}"
    return not_finite("the artifact's", actual) or not_finite("the model's", expected)
