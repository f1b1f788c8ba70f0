"""Parts that only move values are found, and no others."""

import pytest
import torch

from elir_edge import load_restorer
from elir_edge.lowering.lower import lower
from elir_edge.quantize.moves import source_of_picture, stages_that_move
from tests.quantize.test_equalize import RESIDUAL
from tests.tiny import SPEC


@pytest.mark.parametrize("io", ["float", "uint8"])
def test_shuffled_pixels_are_moved(io):
    graph = lower(load_restorer(RESIDUAL, "random:0"), 32, io=io)
    assert stages_that_move(graph) == {"encoded", "restored"}
    assert source_of_picture(graph) == "state_2"
    with torch.no_grad():
        values, decoded = graph.values(*graph.example_inputs())
    assert torch.equal(values["state_2"].sort().values.unique(), decoded.unique())


def test_convolutions_that_compute_are_not_moves():
    graph = lower(load_restorer(SPEC, "random:0"), 64)
    assert stages_that_move(graph) == frozenset() and source_of_picture(graph) is None


def test_a_kernel_with_another_factor_is_not_a_move():
    graph = lower(load_restorer(RESIDUAL, "random:0"), 32)
    with torch.no_grad():
        next(graph.dec.parameters()).mul_(2)
    assert stages_that_move(graph) == {"encoded"}
