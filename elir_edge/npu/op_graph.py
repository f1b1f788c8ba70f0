"""The ops and tensors that a lowered model will have in TFLite or ONNX, without converting it."""

from __future__ import annotations

import math
from typing import Any

from torch.fx import Node

from elir_edge.artifacts.precision import INTEGER_BYTES, WEIGHT_BYTES
from elir_edge.errors import ElirEdgeError
from elir_edge.formats.graphs import FLOAT_BYTES, Graph, Op
from elir_edge.lowering.static import StaticRestorer
from elir_edge.lowering.trace import trace

TYPES = {"fp32": "float32", "fp16": "float16", "int8": "int8", "w8a16": "uint16"}
TFLITE_OPS = {
    "conv2d": "CONV_2D",
    "conv_transpose2d": "TRANSPOSE_CONV",
    "mul": "MUL",
    "add": "ADD",
    "sub": "SUB",
    "mean": "MEAN",
    "rsqrt": "RSQRT",
    "cat": "CONCATENATION",
    "upsample_nearest2d": "RESIZE_NEAREST_NEIGHBOR",
    "clamp": "RELU_0_TO_1",
    "sigmoid": "LOGISTIC",
    "tanh": "TANH",
    "pad": "PAD",
}
ONNX_OPS = {
    "conv2d": "Conv",
    "conv_transpose2d": "ConvTranspose",
    "mul": "Mul",
    "add": "Add",
    "sub": "Sub",
    "cat": "Concat",
    "upsample_nearest2d": "Resize",
    "group_norm": "GroupNormalization",
    "layer_norm": "LayerNormalization",
    "clamp": "Clip",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "pad": "Pad",
}
OPS = {".tflite": TFLITE_OPS, ".onnx": ONNX_OPS}
SILU = "silu"  # two ops in both formats
FREE = ("permute", "to", "relu", "round", "detach", "alias", "_assert_tensor_metadata", "contiguous")


def graph_of(graph: StaticRestorer, precision: str, suffix: str = ".tflite") -> Graph:
    """The ops in order, the bytes of each activation at ``precision``, and the bytes of the weights.

    ``suffix``: of the format whose names the ops get. Without ops that the converters fold into the one before (ReLU,
    of integers the clips too) and changes of layout, which cost nothing. Raises ElirEdgeError for an op whose form is
    not known.
    """
    program = trace(graph)
    names: dict[str, str] = {}
    sizes: dict[str, int] = {}
    ops: list[Op] = []
    user_inputs = program.graph_signature.user_inputs
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in user_inputs:
            names[node.name] = node.name
            sizes[node.name] = _numbers(node) * (1 if graph.form.io == "uint8" else _value_bytes(precision, suffix))
        elif node.op == "call_function":
            _add(node, names, sizes, ops, precision, suffix)
    (output,) = (node for node in program.graph.nodes if node.op == "output")
    restored = output.args[0][-1]
    inputs = tuple(str(name) for name in user_inputs)
    return Graph(tuple(ops), sizes, inputs, (names[restored.name],), graph.parameter_count() * WEIGHT_BYTES[precision])


def _add(node: Node, names: dict[str, str], sizes: dict[str, int], ops: list[Op], precision: str, suffix: str) -> None:
    known = OPS[suffix]
    kind = str(node.target).partition(".")[2].partition(".")[0]  # aten.mul.Tensor; a Python function has no dot
    read = tuple(dict.fromkeys(names[item.name] for item in node.all_input_nodes if item.name in names))
    if not read:  # made from constants: folded
        return
    if kind in FREE or (kind == "clamp" and precision in INTEGER_BYTES):
        names[node.name] = read[0]
        return
    if kind not in known and kind != SILU:
        raise ElirEdgeError(
            f"the lowered graph has the op '{node.target}', of which the name in the device's format is not known",
            hint="export it to that format, and give the file to elir-edge fit",
        )
    names[node.name] = node.name
    sizes[node.name] = _numbers(node) * _value_bytes(precision, suffix)
    types = (TYPES[precision],)
    shapes = tuple(_shape(item) for item in (*node.all_input_nodes, node) if item.name in names)
    if kind == SILU:
        sigmoid = f"{node.name}.sigmoid"
        sizes[sigmoid] = sizes[node.name]
        ops.append(Op(known["sigmoid"], read, (sigmoid,), types, shapes))
        ops.append(Op(known["mul"], (*read, sigmoid), (node.name,), types, shapes))
        return
    ops.append(Op(known[kind], read, (node.name,), types, shapes))


def _value_bytes(precision: str, suffix: str) -> int:
    """Bytes of one value of an activation."""
    return INTEGER_BYTES.get(precision, FLOAT_BYTES[suffix])


def _shape(node: Node) -> tuple[int, ...]:
    """Shape in the order N, H, W, C."""
    shape = tuple(int(side) for side in node.meta["val"].shape)
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else shape


def _numbers(node: Node) -> int:
    value: Any = node.meta["val"]
    return math.prod(int(side) for side in value.shape)
