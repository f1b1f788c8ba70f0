"""Rules of the ONNX quantizer: each operator of its list becomes integer, also where no convolution is beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from elir_edge.core.progress import Silent
from elir_edge.formats.onnx.session import open_model
from elir_edge.quantize.onnx_observe import QUANTIZED
from elir_edge.quantize.ort_static import quantize_onnx
from tests.quantized import optimize, psnr_db

pytestmark = pytest.mark.slow
SIDE, CHANNELS = 16, 4


@dataclass(frozen=True)
class Case:
    """How the operator is written: its inputs, where ``before`` is 1 x 4 x 16 x 16; ``channels`` after it ran twice."""

    inputs: tuple[str, ...] = ("before",)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    channels: int = CHANNELS


def kernel(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape) + shape[0]).normal(0, 0.3, shape).astype(np.float32)


DOUBLING = {"kernel_shape": [4, 4], "strides": [2, 2], "pads": [1, 1, 1, 1], "group": 1}
# One line for each operator of QUANTIZED.
CASES = {
    "Conv": Case(("before", "w"), {"w": kernel(4, 4, 3, 3)}, {"pads": [1, 1, 1, 1]}),
    "ConvTranspose": Case(("before", "w"), {"w": kernel(4, 4, 4, 4)}, DOUBLING),
    "Add": Case(("before", "before")),
    "Mul": Case(("before", "before")),
    "Sigmoid": Case(),
    "Relu": Case(),
    "Concat": Case(("before", "before"), {}, {"axis": 1}, 4 * CHANNELS),
    "Resize": Case(("before", "", "scales"), {"scales": np.array([1, 1, 2, 2], np.float32)}, {"mode": "nearest"}),
    "AveragePool": Case(attributes={"kernel_shape": [2, 2], "strides": [2, 2]}),
    "Reshape": Case(("before", "shape"), {"shape": np.array([1, 4, 8, 32])}),
    "Transpose": Case(attributes={"perm": [0, 1, 3, 2]}),
}


def model_of(op: str, case: Case) -> onnx.ModelProto:
    """image -> convolution -> operator -> the same operator -> convolution -> clip -> restored."""
    again = tuple("middle" if name == "before" else name for name in case.inputs)
    nodes = [
        helper.make_node("Conv", ["image", "first"], ["before"], "first", pads=[1, 1, 1, 1]),
        helper.make_node(op, case.inputs, ["middle"], "once", **case.attributes),
        helper.make_node(op, again, ["after"], "twice", **case.attributes),
        helper.make_node("Conv", ["after", "last", "bias"], ["picture"], "last", pads=[1, 1, 1, 1]),
        helper.make_node("Clip", ["picture", "zero", "one"], ["restored"], "clip"),
    ]
    constants = case.constants | {
        "first": kernel(CHANNELS, 3, 3, 3),
        "last": kernel(3, case.channels, 3, 3) / 4,
        **{"bias": np.full(3, 0.5, np.float32), "zero": np.float32(0), "one": np.float32(1)},
    }
    graph = helper.make_graph(
        nodes,
        "rule",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("restored", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def feeds(count: int = 4) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{"image": rng.random((1, 3, SIDE, SIDE), dtype=np.float32)} for _ in range(count)]


def tensors_made_float(model: onnx.ModelProto) -> int:
    """How often ONNX Runtime turns integers into floats; once, for the picture, where all operators are integer."""
    return sum(node.op_type == "DequantizeLinear" for node in optimize(model).graph.node)


@pytest.mark.parametrize("op", QUANTIZED)
def test_the_operator_is_integer_and_keeps_the_picture(op):
    plain = model_of(op, CASES[op])
    quantized = quantize_onnx(plain, feeds(), Silent())
    assert tensors_made_float(quantized) == 1
    [actual], [expected] = (open_model(model).run(None, dict(feeds()[0])) for model in (quantized, plain))
    assert psnr_db(actual, expected) > 30


def test_an_operator_without_a_rule_stays_float():
    assert tensors_made_float(quantize_onnx(model_of("Tanh", Case()), feeds(), Silent())) > 1
