"""Magnitudes beyond half precision are found on pictures, named, and refused before anything is converted."""

from __future__ import annotations

import copy

import pytest
import torch

from elir_edge import export
from elir_edge.errors import GateError
from elir_edge.families.restorer import Restorer
from elir_edge.lowering.lower import lower
from elir_edge.quantize.overflow import HALF_LARGEST, half_range_facts, stage_peaks
from tests.helpers import refusal


@pytest.fixture
def overflowing(tiny_restorer) -> Restorer:
    """The tiny model with a first convolution a million times too large."""
    restorer = copy.deepcopy(tiny_restorer)
    first = next(module for module in restorer.enc.modules() if isinstance(module, torch.nn.Conv2d))
    with torch.no_grad():
        first.weight.mul_(1e6)
    return restorer


def samples_for(graph) -> list[tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    return [(torch.rand(graph.inputs()[0].shape),) for _ in range(2)]


def test_each_stage_has_the_largest_magnitude_of_its_tensors(tiny_restorer):
    """At least that of its result, which is computed here in another way."""
    graph = lower(tiny_restorer)
    samples = samples_for(graph)
    peaks = stage_peaks(graph, samples)
    assert [*peaks] == graph.output_names()
    for sample in samples:
        values, decoded = graph.values(*sample)
        for name, value in (*values.items(), ("restored", decoded)):
            if name in peaks:
                assert peaks[name].value >= float(value.detach().abs().max()) > 0


def test_facts_name_the_largest(tiny_restorer):
    graph = lower(tiny_restorer)
    facts = half_range_facts(graph, samples_for(graph), ["a", "b"])
    assert facts["largest"] == max(facts["stages"].values()) == facts["stages"][facts["stage"]] < HALF_LARGEST
    assert facts["operator"] and facts["limit"] == HALF_LARGEST


def test_infinity_is_an_overflow(overflowing):
    graph = lower(overflowing)
    with torch.no_grad():
        next(graph.enc.parameters()).fill_(float("nan"))
    refusal(GateError, lambda: half_range_facts(graph, samples_for(graph), []), "inf", "encoded")


def test_fp16_is_refused_and_nothing_is_written(overflowing, tmp_path):
    refusal(
        GateError, lambda: export(overflowing, "onnx", "fp16", out=tmp_path / "a.onnx"),
        "half precision overflows", "encoded", "65504", "--precision fp32",
    )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_artifact_states_its_magnitudes(tiny_artifact):
    facts = tiny_artifact("onnx", "fp16").manifest.activations
    assert 0 < facts["largest"] < facts["limit"] == HALF_LARGEST
    assert any("astronaut" in name for name in facts["pictures"])
    assert tiny_artifact("onnx").manifest.activations is None
