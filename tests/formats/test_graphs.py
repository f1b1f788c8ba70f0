"""What is an activation and what is a constant in a .tflite graph."""

import numpy as np
import pytest

from elir_edge.formats.graphs import read_graph, tflite_graphs
from elir_edge.formats.tflite.file import load_schema, pack_model, read_file
from elir_edge.quantize.litert_half import halve_weights
from tests.robustness.faults import write_tflite


def test_weights_stored_as_halves_are_no_activations(tmp_path):
    path = write_tflite(tmp_path / "a.tflite")
    single = read_graph(path)
    model = read_file(path)
    halve_weights(model)
    path.write_bytes(pack_model(model))
    half = read_graph(path)
    assert [op.name for op in half.ops] == ["DEQUANTIZE", "ADD"]
    assert half.arena_bytes() == single.arena_bytes()
    assert half.weight_bytes < single.weight_bytes


@pytest.mark.slow
def test_peak_activations_lie_between_the_largest_op_and_all_values(tiny_artifact):
    graph = read_graph(tiny_artifact("tflite").path)
    largest = max(sum(graph.bytes[name] for name in {*op.inputs, *op.outputs}) for op in graph.ops)
    assert largest <= graph.arena_bytes() < sum(graph.bytes.values())


def test_peak_activations_of_a_small_graph():
    schema = load_schema()

    def tensor(values, buffer=0):
        item = schema.TensorT()
        item.shape, item.type, item.buffer = [1, values], schema.TensorType.FLOAT32, buffer
        return item

    def operation(inputs, outputs, code=0):
        item = schema.OperatorT()
        item.inputs, item.outputs, item.opcodeIndex = inputs, outputs, code
        return item

    def kind(number):
        item = schema.OperatorCodeT()
        item.builtinCode = number
        return item

    model, graph, weights = schema.ModelT(), schema.SubGraphT(), schema.BufferT()
    weights.data = np.zeros(4000, np.uint8)
    model.subgraphs, model.buffers = [graph], [schema.BufferT(), weights]
    model.operatorCodes = [kind(schema.BuiltinOperator.ADD), kind(schema.BuiltinOperator.DEQUANTIZE)]
    graph.tensors = [tensor(10), tensor(1000, buffer=1), tensor(20), tensor(5), tensor(5), tensor(7)]
    graph.inputs, graph.outputs = [0], [4]
    graph.operators = [
        operation([0, 1, -1], [2]),  # 10 + 20 values
        operation([2, 0], [3, 5]),  # 10 + 20 + 5 + 7, of which nobody reads the 7
        operation([3], [4]),  # 5 + 5
    ]
    assert _peak(model) == 42 * 4
    halves, floats = tensor(1000, buffer=1), tensor(500)  # weights of fp16, and the floats made of them
    graph.tensors += [halves, floats, tensor(7)]
    graph.operators = [operation([6], [7], code=1), *graph.operators, operation([4, 7], [8])]
    assert _peak(model) == 42 * 4


def _peak(model):
    (graph,) = tflite_graphs(model)
    return graph.arena_bytes()
