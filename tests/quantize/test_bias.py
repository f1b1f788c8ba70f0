"""Bias correction is made where it holds for samples left out, and only there."""

import numpy as np
import pytest

from elir_edge.quantize.bias import numbers_of_samples, shift_that_holds


def test_what_all_samples_have_in_common_is_corrected_and_what_differs_is_not():
    common = np.array([0.5, 0.5, 0.4, 0.6, 0.5, 0.5])
    differing = np.array([3.0, -3.0, 2.0, -2.0, 1.0, -0.9])
    one_outlier = np.array([6.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    shift = shift_that_holds(np.stack([common, differing, one_outlier], 1))
    assert shift[0] == pytest.approx(0.5) and shift[1] == shift[2] == 0


def test_one_sample_leaves_nothing_to_hold_against():
    assert shift_that_holds(np.array([[0.25, -1.0]])).tolist() == [0.25, -1.0]


@pytest.mark.parametrize("count", [1, 4, 8, 20, 1000])
def test_few_samples_are_spread_over_all(count):
    numbers = numbers_of_samples(count)
    assert len(numbers) == min(count, 8) and numbers[0] == 0 and numbers[-1] == count - 1
