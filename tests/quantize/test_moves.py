"""Parts that only move values are found, and no others."""

import pytest
import torch

from elir_edge import load_restorer
from elir_edge.lowering.lower import lower
from elir_edge.quantize.moves import source_of_picture, stages_that_move
from tests.quantize.test_equalize import RESIDUAL
from tests.quantized import convert, lower_for, noisy_feeds
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sums")


@pytest.mark.slow
def test_only_sums_at_the_size_of_the_latent_stay_unrounded_in_onnx(folder):
    onnx = pytest.importorskip("onnx")
    path = _int8(folder, "onnx")
    graph = onnx.load(path).graph
    made = {name: node for node in graph.node for name in node.output}
    sums = [node for node in graph.node if node.op_type == "Add"]
    rounded = [node for node in sums if all(made[name].op_type == "DequantizeLinear" for name in node.input)]
    unrounded = {node.name for node in sums} - {node.name for node in rounded if _is_read_rounded(node, graph)}
    assert len(unrounded) == 2 * 1 + 1 + 1 + 2  # blocks down and up, the skip, the latent's own sums
    assert not [node for node in graph.node if node.op_type == "Conv" and _reads_floats(node, made)][1:]  # the encoder


@pytest.mark.slow
def test_only_sums_at_the_size_of_the_latent_stay_unrounded_in_openvino(folder):
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("nncf")
    model = openvino.Core().read_model(_int8(folder, "openvino"))
    sums = [node for node in model.get_ops() if node.get_type_name() == "Add"]
    sums = [
        n for n in sums if all(v.get_node().get_type_name() not in ("Constant", "Convert") for v in n.input_values())
    ]
    kinds = [{value.get_node().get_type_name() for value in node.input_values()} for node in sums]
    assert sum("FakeQuantize" not in kind for kind in kinds) >= 6


def _int8(folder, target):
    graph = lower_for(load_restorer(RESIDUAL, "random:0"), target)
    return convert(graph, target, folder / target, "int8", calibration=noisy_feeds(32))


def _is_read_rounded(node, graph):
    readers = [other for other in graph.node if node.output[0] in other.input]
    return bool(readers) and all(other.op_type == "QuantizeLinear" for other in readers)


def _reads_floats(node, made):
    return node.input[0] not in made or made[node.input[0]].op_type != "DequantizeLinear"
