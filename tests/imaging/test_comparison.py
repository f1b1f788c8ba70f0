"""Comparing numbers: what is no comparison at all, and what each figure is on hand-made differences."""

import numpy as np
import pytest

from elir_edge.imaging.comparison import IDENTICAL_DB, Comparison, compare, picture_psnr, psnr_of
from elir_edge.validation.gates import Gate, gate_for
from elir_edge.validation.result import Truth, Validation

GREY = np.full((8, 8, 3), 0.5, np.float32)


@pytest.mark.parametrize(
    ("actual", "expected", "problem"),
    [
        (GREY[:4], GREY, "shape"),
        (GREY.transpose(2, 0, 1), GREY, "shape"),
        (GREY.astype(np.float64), GREY, "type"),
        (GREY * np.nan, GREY, "NaN"),
        (GREY * np.nan, GREY * np.nan, "NaN"),
        (GREY, GREY * np.inf, "infinite"),
    ],
)
def test_what_cannot_be_compared_never_passes(actual, expected, problem):
    comparison = compare(actual, expected)
    assert problem in comparison.problem
    assert not Validation("x", Gate(max_abs=1e9), {"it": comparison}).passed


def test_figures_of_a_known_difference():
    other = GREY.copy()
    other[..., 1] += 0.1
    comparison = compare(other, GREY)
    assert comparison.max_abs == pytest.approx(0.1, rel=1e-5)
    assert comparison.mean_shift == (0, pytest.approx(0.1, rel=1e-5), 0)
    assert comparison.psnr_db == pytest.approx(10 * np.log10(3 / 0.01), rel=1e-5)
    assert compare(GREY, GREY).psnr_db == IDENTICAL_DB


def test_bytes_count_as_levels_of_255():
    first, second = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 1, np.uint8)
    assert compare(first, second).max_abs == pytest.approx(1 / 255)
    assert compare(second, first).mean_shift[0] == pytest.approx(1 / 255)


def test_bytes_cut_off_instead_of_rounded_do_not_pass():
    values = np.random.default_rng(0).uniform(0, 255, (64, 64, 3))
    cut, rounded = values.astype(np.uint8), np.rint(values).astype(np.uint8)
    assert compare(cut, rounded).max_abs <= 1 / 255 + 1e-9
    assert not Validation("x", gate_for("fp32", "uint8"), {"it": compare(cut, rounded)}).passed


def test_the_worst_picture_is_the_one_that_differs_most():
    items = {name: Comparison(value, 0, 60, (0, 0, 0)) for name, value in (("a", 1e-6), ("b", 1e-5), ("c", 1e-7))}
    validation = Validation("x", Gate(max_abs=1e-4), items)
    assert (validation.worst, validation.passed) == ("b", True)


def test_each_precision_has_its_gate():
    picture = np.full((8, 8, 3), 0.5, np.float32)
    sign = np.where(np.indices((8, 8)).sum(0) % 2, 1, -1).astype(np.float32)[..., None]
    near, far = picture + np.float32(2e-3) * sign, picture + np.float32(2e-2) * sign
    assert gate_for("fp32").passes(compare(picture, picture))
    assert not gate_for("fp32").passes(compare(near, picture))
    assert gate_for("fp16").passes(compare(near, picture))
    assert not gate_for("int8").passes(compare(far, picture))
    assert not gate_for("int8").passes(compare(picture * np.float32(np.nan), picture))
    bytes_ = np.full((8, 8, 3), 100, np.uint8)
    step = (sign > 0).astype(np.uint8) * np.uint8(1) - (sign < 0).astype(np.uint8) * np.uint8(1)
    assert gate_for("fp32", "uint8").passes(compare(bytes_ + step, bytes_))
    assert not gate_for("fp32", "uint8").passes(compare(bytes_ + 2 * step, bytes_))


def test_what_is_lost_against_the_originals_is_held_to_the_gate():
    items = {name: compare(GREY + np.float32(1e-4), GREY) for name in ("a", "b")}
    kept = Validation("x", gate_for("int8"), items, {"a": Truth(30.0, 29.9), "b": Truth(28.0, 27.8)})
    assert kept.passed and kept.mean_drop_db == pytest.approx(0.15) and kept.worst_drop_db == pytest.approx(0.2)
    one_bad = Validation("x", gate_for("int8"), items, {"a": Truth(30.0, 30.4), "b": Truth(28.0, 27.4)})
    assert [failure for failure in one_bad.failures if "worst" in failure] == list(one_bad.failures) != []
    all_bad = Validation("x", gate_for("int8"), items, {"a": Truth(30.0, 29.6), "b": Truth(28.0, 27.7)})
    assert any("on average" in failure for failure in all_bad.failures)


def test_a_colour_cast_fails_whatever_the_psnr():
    cast = GREY + np.float32([0.6 / 255, 0, 0])
    assert gate_for("int8").complaint(compare(cast, GREY)).startswith("colour shift of 0.60/255")
    assert gate_for("int8").complaint(compare(GREY + np.float32([0.4 / 255, 0, 0]), GREY)) is None


def test_psnr_of_pictures_by_hand():
    picture, original = np.full((4, 5, 3), 110, np.uint8), np.full((4, 5, 3), 100, np.uint8)
    ten_levels = pytest.approx(10 * np.log10(255**2 / 10**2))
    assert picture_psnr(picture, original) == ten_levels
    assert picture_psnr(picture / 255, original) == ten_levels
    assert picture_psnr(original * 0, original * 0 + 255) == pytest.approx(0.0)
    assert picture_psnr(original, original) == IDENTICAL_DB


def test_nan_is_not_identical():
    assert psnr_of(GREY - GREY) == 200.0 and np.isnan(psnr_of(GREY * np.nan))
