"""Statistics of samples in seconds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

STABLE = 0.05
NOISY = 0.10
# Of the median of n normal values, in quartile ranges / sqrt(n): it is 1.2533 sigma / sqrt(n), the range 1.349 sigma.
STANDARD_ERROR = 0.93


@dataclass(frozen=True)
class Latency:
    """Seconds per picture: median, 90th and 99th percentile, minimum; ``spread`` = quartile range / median."""

    p50: float
    p90: float
    p99: float
    least: float
    spread: float

    @property
    def fps(self) -> float:
        """Pictures per second at the median."""
        return 1 / self.p50

    @property
    def noisy(self) -> bool:
        """Whether the quartile range is larger than 10 % of the median."""
        return self.spread > NOISY


def latency_of(samples: Sequence[float]) -> Latency:
    """Latency of one or more samples. Raises ValueError for none."""
    if not samples:
        raise ValueError("no samples")
    cuts = statistics.quantiles(samples, n=100, method="inclusive") if len(samples) > 1 else [samples[0]] * 99
    return Latency(cuts[49], cuts[89], cuts[98], min(samples), (cuts[74] - cuts[24]) / cuts[49])


def medians_of(rounds: Sequence[Sequence[float]]) -> list[float]:
    """The median of each round."""
    return [statistics.median(samples) for samples in rounds]


def is_stable(medians: Sequence[float]) -> bool:
    """Whether the warm-up may end: the medians of the last two rounds differ by less than 5 %."""
    return len(medians) > 1 and abs(medians[-1] - medians[-2]) < STABLE * medians[-2]


def relative_spread(values: Sequence[float]) -> float:
    """Quartile range / median; 0 for a single value. Raises ValueError for none."""
    return latency_of(values).spread


def median_error(values: Sequence[float]) -> float:
    """Relative uncertainty of the median: twice its standard error / median.

    The standard error is estimated from the quartile range, so that a few slow values do not count. Raises ValueError
    for no values.
    """
    return error_from_spread(relative_spread(values), len(values))


def error_from_spread(spread: float, count: int) -> float:
    """Twice the standard error of the median of ``count`` values / the median; ``spread`` = quartile range / median."""
    return 2 * STANDARD_ERROR * spread / count**0.5


def ratio_of(base: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """Speed of ``other`` relative to ``base``: quartiles of the ratio of their medians, round by round.

    Rounds are taken in turn, so that a slow moment of the machine affects both. Raises ValueError for unequal counts.
    """
    ratios = [b / o for b, o in zip(base, other, strict=True)]
    if len(ratios) == 1:
        return ratios[0], ratios[0], ratios[0]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, median, high
