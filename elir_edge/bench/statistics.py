"""From raw samples to figures. Pure functions over seconds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

STABLE = 0.05
NOISY = 0.10


@dataclass(frozen=True)
class Latency:
    """Seconds a picture: median, 90th and 99th percentile, least; ``spread`` is the quartile range over the median."""

    p50: float
    p90: float
    p99: float
    least: float
    spread: float

    @property
    def fps(self) -> float:
        """Pictures a second at the median."""
        return 1 / self.p50

    @property
    def noisy(self) -> bool:
        """Whether the middle half of the samples spreads over more than a tenth of the median."""
        return self.spread > NOISY


def latency_of(samples: Sequence[float]) -> Latency:
    """Figures of one or more samples. Raises ValueError for none."""
    if not samples:
        raise ValueError("no samples")
    cuts = statistics.quantiles(samples, n=100, method="inclusive") if len(samples) > 1 else [samples[0]] * 99
    return Latency(cuts[49], cuts[89], cuts[98], min(samples), (cuts[74] - cuts[24]) / cuts[49])


def medians_of(rounds: Sequence[Sequence[float]]) -> list[float]:
    """The median of each round."""
    return [statistics.median(samples) for samples in rounds]


def is_stable(medians: Sequence[float]) -> bool:
    """Whether warm-up may end: the last two rounds' medians differ by less than 5 %."""
    return len(medians) > 1 and abs(medians[-1] - medians[-2]) < STABLE * medians[-2]


def relative_spread(values: Sequence[float]) -> float:
    """The quartile range over the median; 0 for a single value. Raises ValueError for none."""
    return latency_of(values).spread


def median_error(values: Sequence[float]) -> float:
    """How far, relative to it, the median of ``values`` may be off by chance: twice its standard error.

    Taken from the quartile range, so that a few slow values do not count. Raises ValueError for none.
    """
    return 2 * 0.93 * relative_spread(values) / len(values) ** 0.5


def ratio_of(base: Sequence[float], other: Sequence[float]) -> tuple[float, float, float]:
    """How many times as fast as ``base`` the ``other`` is: quartiles of the ratio of their medians, round by round.

    Rounds are taken in turn, so that a slow moment of the machine meets both. Raises ValueError for unequal counts.
    """
    ratios = [b / o for b, o in zip(base, other, strict=True)]
    if len(ratios) == 1:
        return ratios[0], ratios[0], ratios[0]
    low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, median, high
