"""Statistics of samples made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elir_edge.bench.statistics import (
    error_from_spread,
    is_stable,
    latency_of,
    median_error,
    ratio_of,
    relative_spread,
)


def test_latency_of_known_samples():
    latency = latency_of([0.1] * 90 + [0.2] * 10)
    assert (latency.p50, latency.least, latency.fps) == (0.1, 0.1, 10)
    assert latency.p99 == pytest.approx(0.2)
    assert latency.spread == pytest.approx(0)
    assert not latency.noisy
    assert latency_of([0.1, 0.2] * 20).noisy


@given(st.lists(st.floats(1e-4, 10), min_size=1, max_size=60))
def test_percentiles_are_ordered_and_within_the_samples(samples):
    latency = latency_of(samples)
    assert min(samples) == latency.least
    assert latency.least <= latency.p50 * (1 + 1e-9)
    assert latency.p50 <= latency.p90 * (1 + 1e-9)
    assert latency.p90 <= latency.p99 * (1 + 1e-9)
    assert latency.p99 <= max(samples) * (1 + 1e-9)


def test_no_samples_is_an_error():
    with pytest.raises(ValueError, match="no samples"):
        latency_of([])


def test_warm_up_ends_when_two_rounds_agree():
    assert not is_stable([])
    assert not is_stable([1.0])
    assert not is_stable([2.0, 1.0])
    assert is_stable([2.0, 1.0, 1.04])


def test_a_drifting_machine_cancels_in_the_ratio():
    drift = np.linspace(1, 3, 10)
    low, median, high = ratio_of(list(2 * drift), list(drift))
    assert (low, median, high) == (pytest.approx(2), pytest.approx(2), pytest.approx(2))


def test_the_error_of_a_median_covers_the_truth_and_shrinks():
    rng = np.random.default_rng(0)
    missed = 0
    for _ in range(200):
        values = list(rng.normal(1, 0.1, 25))
        missed += abs(np.median(values) - 1) > median_error(values) * np.median(values)
    assert missed < 30
    assert median_error(list(rng.normal(1, 0.1, 2500))) < median_error(list(rng.normal(1, 0.1, 25)))
    assert relative_spread([2.0]) == 0


def test_the_error_of_a_ratio_is_that_of_its_median():
    """From the quartiles of the ratio alone, which is what a file of results has."""
    ratios = [1.0, 1.1, 1.2, 1.3, 1.6, 1.7, 1.9]
    low, median, high = ratio_of(ratios, [1.0] * len(ratios))
    assert error_from_spread((high - low) / median, len(ratios)) == pytest.approx(median_error(ratios))
