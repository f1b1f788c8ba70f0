"""Edits of TFLite graphs, on a file of one ADD."""

from elir_edge.formats.tflite.edit import add_op, add_tensor, drop_clip
from elir_edge.formats.tflite.file import pack_model, read_file, read_model
from elir_edge.formats.tflite.flatmodel import FLOAT32, op_names
from tests.robustness.faults import write_tflite

RELU = 19


def test_a_chain_of_clips_leaves_no_name_twice(tmp_path):
    """Both ops go; the sum takes the name that quantizers know the clipped tensor by, and every name stays unique."""
    model = read_file(write_tflite(tmp_path / "a.tflite"))
    total = int(model.subgraphs[0].operators[0].outputs[0])
    once, twice = (add_tensor(model, total, name, FLOAT32, 0) for name in ("once", "pixels"))
    add_op(model, 1, RELU, 1, total, once)
    add_op(model, 2, RELU, 1, once, twice)
    drop_clip(model, "pixels", ("RELU",))
    assert op_names(model) == ["ADD"]
    names = [tensor.name for tensor in read_model(pack_model(model), "here").subgraphs[0].tensors]
    assert len(names) == len(set(names))
    assert model.subgraphs[0].tensors[total].name == b"pixels"
