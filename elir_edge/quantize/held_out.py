"""How far pictures leave the ranges that were fitted without them: each half of the calibration judges the other."""

from __future__ import annotations

import numpy as np

from elir_edge.quantize.ranges import RANGE_METHOD, Histogram, Ranges

VALUES = 2**13


class HeldOut:
    """Collects some values of every rounded tensor, apart for samples of even and of odd numbers.

    ``method``: how ranges are estimated, see ``Ranges.estimate``.
    """

    def __init__(self, method: str = RANGE_METHOD) -> None:
        self._method = method
        self._halves = Ranges(), Ranges()

    def watch(self, sample: int, index: int, values: np.ndarray) -> None:
        """Take values of the tensor with the number ``index`` in the sample with the number ``sample``."""
        some = values.ravel()[:: values.size // VALUES | 1]
        self._halves[sample % 2].add({str(index): some})

    def facts(self) -> dict[str, float]:
        """``outside``: share of the values of pictures that lie outside of ranges fitted on the other half, mean over
        all tensors; ``worst_outside``: the same for the worst tensor; ``furthest``: the largest distance of a value
        from the range of its tensor, in units of the range's width. 0 where there is one half only.
        """
        shares, distances = [0.0], [0.0]
        for fitted, judged in (self._halves, self._halves[::-1]):
            limits = fitted.estimate(self._method)
            for name, seen in judged.histograms().items():
                if name in limits:
                    share, distance = _beyond(seen, *limits[name])
                    shares.append(share)
                    distances.append(distance)
        mean = float(np.mean(shares[1:])) if shares[1:] else 0.0
        return {
            "outside": _two_digits(mean),
            "worst_outside": _two_digits(max(shares)),
            "furthest": _two_digits(max(distances)),
        }


def sentence_of(facts: dict[str, float]) -> str:
    """``HeldOut.facts`` for people."""
    return (
        f"pictures that were held out leave the ranges with {facts['outside']:.3%} of their values, "
        f"{facts['worst_outside']:.2%} in the worst tensor, by at most {facts['furthest']:.2g} of its range"
    )


def _beyond(seen: Histogram, low: float, high: float) -> tuple[float, float]:
    """Share of the values outside of [low, high], and the largest distance from it in units of its width."""
    below = np.concatenate([[0], np.cumsum(seen.counts)]) / seen.counts.sum()
    inside = np.interp(high, seen.edges, below) - np.interp(low, seen.edges, below)
    width = high - low
    distance = max(low - seen.low, seen.high - high, 0.0)
    return max(0.0, float(1 - inside)) if distance > 0 else 0.0, distance / width if width else 0.0


def _two_digits(value: float) -> float:
    return float(f"{value:.1e}")
