"""Laws of activation ranges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from elir_edge.errors import DataError, UsageError
from elir_edge.quantize.ranges import METHODS, RANGE_METHOD, Ranges, TailedRanges
from tests.helpers import refusal

FLOATS = st.floats(-1e6, 1e6, width=32)
SAMPLES = st.lists(arrays(np.float32, st.integers(1, 40), elements=FLOATS), min_size=1, max_size=5)


def gather(samples):
    ranges = Ranges()
    for sample in samples:
        ranges.add({"x": sample})
    return ranges


def quantize(values, low, high, levels=256):
    """``values`` after an 8-bit quantizer with a zero point."""
    scale = (high - low) / (levels - 1)
    if scale == 0:
        return np.zeros_like(values)
    zero = round(-low / scale)
    return (np.clip(np.rint(values / scale) + zero, 0, levels - 1) - zero) * scale


@given(SAMPLES, st.randoms(use_true_random=False), st.sampled_from(METHODS))
def test_the_order_of_the_samples_does_not_matter(samples, random, method):
    shuffled = list(samples)
    random.shuffle(shuffled)
    assert gather(samples).estimate(method) == gather(shuffled).estimate(method)


@given(SAMPLES, st.sampled_from(METHODS))
def test_samples_together_are_the_samples_one_by_one(samples, method):
    assert gather(samples).estimate(method) == gather([np.concatenate(samples)]).estimate(method)


@given(SAMPLES)
def test_minmax_is_exact_and_holds_zero(samples):
    together = np.concatenate(samples)
    expected = (min(float(together.min()), 0.0), max(float(together.max()), 0.0))
    assert gather(samples).estimate("minmax")["x"] == expected


@given(SAMPLES, st.sampled_from(METHODS))
def test_no_method_goes_beyond_the_extremes(samples, method):
    (low, high), (least, most) = (gather(samples).estimate(m)["x"] for m in (method, "minmax"))
    assert least <= low <= 0 <= high <= most


@given(SAMPLES, st.sampled_from(METHODS), st.integers(-20, 20))
def test_scaling_by_a_power_of_two_scales_the_range(samples, method, power):
    factor = np.float32(2.0**power)
    scaled = gather([sample * factor for sample in samples]).estimate(method)["x"]
    assert np.allclose(scaled, np.multiply(gather(samples).estimate(method)["x"], factor), rtol=1e-5, atol=1e-30)


@given(SAMPLES, st.sampled_from(METHODS))
def test_the_opposite_values_have_the_opposite_range(samples, method):
    low, high = gather(samples).estimate(method)["x"]
    mirrored = gather([-sample for sample in samples]).estimate(method)["x"]
    width = high - low
    assert np.allclose(mirrored, (-high, -low), atol=0.02 * width + 1e-30)


@pytest.mark.parametrize("kind", ["normal", "laplace", "outlier", "rectified"])
def test_least_squares_is_no_worse_than_either_of_the_others(kind):
    rng = np.random.default_rng(0)
    values = {
        "normal": rng.standard_normal(200_000),
        "laplace": rng.laplace(size=200_000),
        "outlier": np.append(rng.standard_normal(200_000), 60.0),
        "rectified": np.maximum(rng.laplace(size=200_000), 0),
    }[kind]
    ranges = gather([values.astype(np.float32)])
    error = {m: np.mean((quantize(values, *ranges.estimate(m)["x"]) - values) ** 2) for m in METHODS}
    assert error["mse"] <= 1.02 * min(error.values()), error


def test_percentile_leaves_the_stated_share_beyond_each_end():
    values = np.random.default_rng(1).standard_normal(100_000).astype(np.float32)
    low, high = gather([values]).estimate("percentile:99")["x"]
    assert np.isclose(np.mean(values > high), 0.01, atol=5e-4)
    assert np.isclose(np.mean(values < low), 0.01, atol=5e-4)


def test_what_is_not_finite_is_refused_by_name():
    refusal(DataError, lambda: Ranges().add({"features": np.array([1.0, np.nan], np.float32)}), "features")


@pytest.mark.parametrize("method", ["", "kl", "percentile", "percentile:x", "percentile:50", "percentile:101"])
def test_unknown_methods_are_refused(method):
    refusal(UsageError, lambda: Ranges().estimate(method), method, "percentile:99.99")


def range_with_tail(samples):
    ranges = TailedRanges()
    for sample in samples:
        ranges.add({"x": sample})
    return ranges.estimate()["x"]


@given(SAMPLES)
def test_a_tail_is_that_of_samples_or_there_is_none(samples):
    together = gather(samples).estimate(RANGE_METHOD)["x"]
    alone = [gather([sample]).estimate(RANGE_METHOD)["x"] for sample in samples]
    widest = min(ends[0] for ends in alone), max(ends[1] for ends in alone)
    assert range_with_tail(samples) in (together, widest)


def test_one_picture_of_another_kind_is_not_clipped():
    """One of 100 pictures has values ten times as large; together, they are 0.005 % of all."""
    rng = np.random.default_rng(0)
    samples = [rng.uniform(0, 1, 10_000).astype(np.float32) for _ in range(99)]
    bright = np.where(np.arange(10_000) < 50, 10.0, 1.0).astype(np.float32)
    assert gather([*samples, bright]).estimate(RANGE_METHOD)["x"][1] < 2.0
    assert range_with_tail([*samples, bright])[1] == pytest.approx(10.0, rel=0.01)
    assert range_with_tail(samples) == gather(samples).estimate(RANGE_METHOD)["x"]
