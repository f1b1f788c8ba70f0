"""What is an activation and what is a constant in a .tflite graph."""

from elir_edge.formats.graphs import read_graph
from elir_edge.formats.tflite.file import pack_model, read_file
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
