"""Runs that are repeated do not grow; ``python -m tests.robustness.soak`` does the same at length."""

from __future__ import annotations

import pytest

from tests.robustness.soak import Soak, soak, soak_restore, write_artifacts

pytestmark = pytest.mark.campaign


def of(*memory: float) -> Soak:
    return Soak("a run", [{"memory": value, "threads": 3, "descriptors": 5} for value in memory])


def test_growth_is_found():
    assert of(100, 100, 101, 101).faults == []
    assert of(100, 101, 102, 103).faults == ["a run: memory grew by 3.0 %"]
    leaking = Soak("a run", [{"memory": 1, "threads": n, "descriptors": n} for n in (1, 2, 3, 4)])
    assert leaking.faults == ["a run: threads grew from 1 to 4", "a run: descriptors grew from 1 to 4"]


@pytest.mark.parametrize(("kind", "count"), [("inferences", 200), ("opens", 40)])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino", "litert"])
def test_a_backend_does_not_grow(kind, count, backend, tmp_path):
    assert soak(kind, backend, write_artifacts(tmp_path)[backend], count).faults == []


def test_restore_does_not_grow(tmp_path):
    found = soak_restore(write_artifacts(tmp_path)["onnxruntime"], tmp_path, 100)
    assert len(found.samples) > 4
    assert [fault for fault in found.faults if "memory" not in fault] == []  # in so short a run, memory has not settled
