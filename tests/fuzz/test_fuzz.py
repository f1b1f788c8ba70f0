"""Damaged files end in the project's own errors, with what to do, in no more than 10 s, whoever reads them."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import run_campaign
from tests.fuzz.mutate import mutate, rng_of
from tests.fuzz.readers import READERS

RUNS = 300
NATIVE_RUNS = 100  # each process that dies has to be started again


def test_the_same_number_is_the_same_damage():
    whole = bytes(range(256)) * 8
    first, again, other = (mutate(whole, "pth", rng_of("pth", 0, number)) for number in (1, 1, 2))
    assert first == again != other and first != whole


@pytest.mark.campaign
@pytest.mark.parametrize("target", READERS)
def test_damaged_files_are_read_or_refused(target):
    runs = NATIVE_RUNS if READERS[target].native else RUNS
    found = run_campaign(target, runs)
    assert not found.faults, "\n".join(found.faults[:20])
    assert found.counts.total() == runs
    assert found.counts["refused"] + found.counts["crash"] > runs / 10, "the damage is no damage"
