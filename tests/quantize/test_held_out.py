"""How far held-out samples leave the ranges of the others."""

import numpy as np
import pytest

from elir_edge.quantize.held_out import HeldOut, sentence_of


def facts_of(scales):
    rng, held_out = np.random.default_rng(0), HeldOut()
    for number, scale in enumerate(scales):
        held_out.watch(number, 0, rng.uniform(-scale, scale, (1, 8, 32, 32)).astype(np.float32))
        held_out.watch(number, 1, rng.uniform(0, 1, (1, 8, 32, 32)).astype(np.float32))
    return held_out.facts()


def test_samples_of_one_kind_stay_inside():
    facts = facts_of([1.0] * 6)
    assert facts["worst_outside"] < 0.001 and facts["furthest"] < 0.01


def test_samples_of_another_kind_leave_the_ranges_by_what_they_are_larger():
    facts = facts_of([1.0, 2.0] * 3)
    assert facts["worst_outside"] == pytest.approx(0.5, abs=0.02)  # of the larger half
    assert facts["furthest"] == pytest.approx(0.5, abs=0.02)  # from 2 to the end of -1 .. 1
    assert facts["outside"] == pytest.approx(0.125, abs=0.01)  # mean over two tensors and two halves
    assert "50" in sentence_of(facts)


def test_one_sample_has_nothing_to_be_held_against():
    assert facts_of([1.0]) == {"outside": 0.0, "worst_outside": 0.0, "furthest": 0.0}
