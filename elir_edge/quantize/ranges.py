"""Ranges of activations over all calibration samples: exact extremes, percentiles, or the least squared error.

One pass over the samples. Imports NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from elir_edge.errors import DataError, UsageError

BINS = 4096
SMALLEST_EXPONENT = -100
CANDIDATES = 128
ENOUGH = 2**17
METHODS = ("minmax", "percentile:99.99", "mse")


@dataclass
class Histogram:
    """What was seen of one tensor: ``counts`` of values in ``BINS`` equal bins over [-2^exponent, 2^exponent).

    The span doubles, and bins merge in pairs, when a larger value comes: the result does not depend on the order of
    the samples. ``low`` and ``high`` are the extremes, ``zeros`` how many values were exactly zero.
    """

    exponent: int = SMALLEST_EXPONENT
    low: float = math.inf
    high: float = -math.inf
    zeros: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))

    def add(self, values: np.ndarray) -> None:
        """Count ``values``, of any shape and at least one. Raises ValueError for NaN and infinity.

        The extremes are those of all values; of large arrays, an even selection goes into the bins.
        """
        low, high = float(values.min()), float(values.max())
        if not math.isfinite(high - low):
            raise ValueError("NaN or infinite values")
        self._widen(math.frexp(max(-low, high))[1])
        self.low, self.high = min(self.low, low), max(self.high, high)
        some = values.ravel()[:: values.size // ENOUGH | 1]
        bins = np.floor(some * self._exactly(some, BINS / 2.0 / 2.0**self.exponent)).astype(np.int64)
        self.counts += np.bincount(bins + BINS // 2, minlength=BINS)
        self.zeros += int(some.size - np.count_nonzero(some))

    @property
    def edges(self) -> np.ndarray:
        """The ``BINS + 1`` edges of the bins."""
        return np.linspace(-1.0, 1.0, BINS + 1) * 2.0**self.exponent

    @staticmethod
    def _exactly(values: np.ndarray, factor: float) -> np.floating:
        """A power of two as the array's own type, in which multiplying by it loses nothing."""
        return values.dtype.type(factor)

    def _widen(self, exponent: int) -> None:
        if exponent <= self.exponent:
            return
        shift = min(exponent - self.exponent, BINS.bit_length())
        bins = (np.arange(BINS) - BINS // 2) >> shift
        self.counts = np.bincount(bins + BINS // 2, self.counts, BINS).astype(np.int64)
        self.exponent = exponent


class Ranges:
    """Activation ranges, gathered sample by sample, each tensor by itself."""

    def __init__(self) -> None:
        self._seen: dict[str, Histogram] = {}

    def add(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Count one sample's tensors, floating point of any shape. Raises DataError for NaN and infinity."""
        for name, values in tensors.items():
            exact = values.astype(np.float32, copy=False) if values.dtype != np.float64 else values
            try:
                self._seen.setdefault(name, Histogram()).add(exact)
            except ValueError as error:
                raise DataError(f"tensor '{name}' holds {error} for a calibration sample") from error

    def estimate(self, method: str = "minmax", levels: int = 256) -> dict[str, tuple[float, float]]:
        """(lowest, highest) value to represent, by tensor name, zero always within.

        Args:
            method: ``minmax``, the extremes of all samples; ``percentile:P`` (50 < P <= 100), what leaves 100 - P
                percent of the values beyond each end; ``mse``, what makes clipping and rounding together least.
            levels: of the quantizer, for ``mse``.

        Raises UsageError for another method.
        """
        percent = _percent(method)
        if percent is not None:
            return {name: _percentile(seen, percent) for name, seen in self._seen.items()}
        if method == "mse":
            return {name: _least_squares(seen, levels) for name, seen in self._seen.items()}
        return {name: _extremes(seen) for name, seen in self._seen.items()}


def _percent(method: str) -> float | None:
    if method in ("minmax", "mse"):
        return None
    kind, _, number = method.partition(":")
    try:
        percent = float(number)
    except ValueError:
        percent = math.nan
    if kind != "percentile" or not 50 < percent <= 100:
        raise UsageError(f"range method '{method}' is none of {', '.join(METHODS)}")
    return percent


def _extremes(seen: Histogram) -> tuple[float, float]:
    return min(seen.low, 0.0), max(seen.high, 0.0)


def _percentile(seen: Histogram, percent: float) -> tuple[float, float]:
    """Positions inside a bin by linear interpolation, never beyond the extremes."""
    below = np.concatenate([[0], np.cumsum(seen.counts)]) / seen.counts.sum()
    low, high = _extremes(seen)
    at_low = np.interp(1 - percent / 100, below, seen.edges)
    at_high = -np.interp(1 - percent / 100, 1 - below[::-1], -seen.edges[::-1])
    return min(max(low, float(at_low)), 0.0), max(min(high, float(at_high)), 0.0)


def _least_squares(seen: Histogram, levels: int) -> tuple[float, float]:
    """Over a grid of both ends at once: clipped values by how far they are beyond, others by step^2 / 12.

    Exact zeros cost nothing wherever the ends are, since zero is one of the levels.
    """
    low, high = _extremes(seen)
    share = np.linspace(1 / CANDIDATES, 1, CANDIDATES)
    lows = low * share if low else np.zeros(1)
    highs = high * share if high else np.zeros(1)
    above, above_count = _beyond(seen, highs)
    below, below_count = _beyond(Histogram(seen.exponent, counts=seen.counts[::-1]), -lows)
    inside = seen.counts.sum() - seen.zeros - above_count[None] - below_count[:, None]
    step = (highs[None] - lows[:, None]) / (levels - 1)
    error = above[None] + below[:, None] + np.maximum(inside, 0) * step**2 / 12
    i, j = np.unravel_index(np.argmin(error), error.shape)
    return float(lows[i]), float(highs[j])


def _beyond(seen: Histogram, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of squared distances of the values above each of ``limits`` (0 or more), and their number."""
    centres = (seen.edges[:-1] + seen.edges[1:]) / 2
    moments = [np.concatenate([np.cumsum((seen.counts * centres**p)[::-1])[::-1], [0.0]]) for p in range(3)]
    count, first, second = (np.interp(limits, seen.edges, moment) for moment in moments)
    return np.maximum(second - 2 * limits * first + limits**2 * count, 0), count
