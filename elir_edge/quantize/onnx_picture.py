"""Ranges of the tensors at both ends of an ONNX graph, which are known without measuring."""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from elir_edge.artifacts.signature import IMAGE, RESTORED
from elir_edge.formats.onnx.graph import initializers, producers

MOVES = ("Cast", "Transpose", "Reshape", "DepthToSpace", "SpaceToDepth", "Identity")
SATURATES = ("Clip", "Round")
BYTES, UNIT = (0.0, 255.0), (0.0, 1.0)

Range = tuple[float, float]


def picture_ranges(model: ModelProto) -> dict[str, Range]:
    """Ranges of the image and of the restored image, 0 to 255 for bytes, else 0 to 1, by tensor name.

    Also of the float tensors that an image leads to, and a restored image comes from, by moving, clipping, rounding or
    multiplying by one number. Calibration pictures need not hold the extremes, and clipping these shows.
    """
    return _from_image(model) | _to_restored(model)


def _from_image(model: ModelProto) -> dict[str, Range]:
    factors = _factors(model)
    known = {value.name: _range_of(value) for value in model.graph.input if value.name == IMAGE}
    bytes_in = {value.name for value in model.graph.input if _range_of(value) == BYTES}
    for node in model.graph.node:
        source = next((name for name in node.input if name in known), None)
        if source is not None and (node.op_type in MOVES or node.name in factors):
            known[node.output[0]] = _times(known[source], factors.get(node.name, 1.0))
            if source in bytes_in and node.op_type != "Cast":
                bytes_in.add(node.output[0])
    return {name: ends for name, ends in known.items() if name not in bytes_in}


def _to_restored(model: ModelProto) -> dict[str, Range]:
    factors, made = _factors(model), producers(model)
    (output,) = (value for value in model.graph.output if value.name == RESTORED)
    name, ends = RESTORED, _range_of(output)
    known = {} if ends == BYTES else {name: ends}
    while (node := made.get(name)) is not None and (node.op_type in (*MOVES, *SATURATES) or node.name in factors):
        (name,) = (source for source in node.input if source in made or source == IMAGE)
        ends = _times(ends, 1 / factors.get(node.name, 1.0))
        if known or node.op_type == "Cast":
            known[name] = ends
    return known


def _factors(model: ModelProto) -> dict[str, float]:
    """The number by which a node multiplies, by name: of those that multiply or divide by one positive constant."""
    stored = initializers(model)
    found = {node.name: _factor(node, stored) for node in model.graph.node if node.op_type in ("Mul", "Div")}
    return {name: factor for name, factor in found.items() if factor is not None and factor > 0}


def _factor(node: NodeProto, stored: Mapping[str, TensorProto]) -> float | None:
    numbers = [numpy_helper.to_array(stored[name]) for name in node.input if name in stored]
    if len(numbers) != 1 or numbers[0].size != 1 or (node.op_type == "Div" and node.input[1] not in stored):
        return None
    number = float(numbers[0].reshape(()))
    return number if node.op_type == "Mul" or not number else 1 / number


def _times(ends: Range, factor: float) -> Range:
    return ends[0] * factor, ends[1] * factor


def _range_of(value: ValueInfoProto) -> Range:
    return BYTES if value.type.tensor_type.elem_type == TensorProto.UINT8 else UNIT
