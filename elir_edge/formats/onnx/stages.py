"""ONNX graphs with stages as further outputs, or with a stage as their input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import onnx_ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from elir_edge.artifacts.artifact import MANIFEST_KEY, Manifest
from elir_edge.errors import DataError

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")


def expose_stages(path: Path, stages: Sequence[str], entry: str | None) -> bytes:
    """The model at ``path`` with ``stages`` as further outputs, starting at the stage ``entry`` unless that is None.

    Raises DataError where the graph has no tensor of such a name.
    """
    proto = onnx.load_model(path, load_external_data=False)
    shapes = _stage_shapes(proto, path)
    model = onnx_ir.from_proto(proto)
    values = {value.name: value for node in model.graph for value in node.outputs}
    names = {*stages, *([] if entry is None else [entry])}
    if missing := names - values.keys():
        raise DataError(
            f"{path}: the graph has no tensor called {', '.join(sorted(missing))}",
            hint="elir-edge inspect names the stages inside; one exported by elir-edge has them",
        )
    for name in names:
        values[name].type = onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
        values[name].shape = onnx_ir.Shape(shapes[name]) if name in shapes else None
    outputs = model.graph.outputs
    outputs.extend(values[name] for name in stages if values[name] not in outputs)
    if entry is not None:
        _start_at(model, values[entry])
    return bytes(onnx_ir.to_proto(model).SerializeToString())


def _stage_shapes(proto: onnx.ModelProto, path: Path) -> dict[str, tuple[int, ...]]:
    """From the manifest: shape inference does not reach every stage of an integer graph."""
    text = next((entry.value for entry in proto.metadata_props if entry.key == MANIFEST_KEY), None)
    stages = Manifest.from_json(text, f"{path} (manifest inside)").stages if text else ()
    return {stage.name: stage.shape for stage in stages}


def _start_at(model: onnx_ir.Model, value: onnx_ir.Value) -> None:
    """Put an input of the same name in the place of ``value``, and remove what is then unused.

    If ``value`` is the output of a quantizer, the input takes the place of what the quantizer reads.
    """
    source = value
    while (node := source.producer()) is not None and node.op_type in QUANTIZERS and node.inputs[0] is not None:
        source = node.inputs[0]
    given = onnx_ir.Value(name=value.name, type=value.type, shape=value.shape)
    value.name = f"{value.name}.computed"
    onnx_ir.convenience.replace_all_uses_with(source, given)
    model.graph.inputs.insert(0, given)
    RemoveUnusedNodesPass()(model)
    for other in [other for other in model.graph.inputs if not other.uses() and not other.is_graph_output()]:
        model.graph.inputs.remove(other)
