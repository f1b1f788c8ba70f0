"""Bias correction is made where it holds for samples left out, and only there. Biases have room beside any weights."""

import warnings

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from elir_edge.core.progress import Silent
from elir_edge.formats.tflite.edit import add_constant
from elir_edge.formats.tflite.file import load_schema
from elir_edge.formats.tflite.flatmodel import FLOAT32, INT32, constant, float_constant
from elir_edge.quantize.bias import least_scales, numbers_of_samples, shift_that_holds
from elir_edge.quantize.litert_bias import _add_to_bias
from elir_edge.quantize.litert_kernels import make_room
from elir_edge.quantize.ort_static import quantize_onnx

CONV_2D = 3
BIASES = np.array([0.3, 0.11, 0.4, -0.2], np.float32)


def test_what_all_samples_have_in_common_is_corrected_and_what_differs_is_not():
    common = np.array([0.5, 0.5, 0.4, 0.6, 0.5, 0.5])
    differing = np.array([3.0, -3.0, 2.0, -2.0, 1.0, -0.9])
    one_outlier = np.array([6.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    shift = shift_that_holds(np.stack([common, differing, one_outlier], 1))
    assert shift[0] == pytest.approx(0.5) and shift[1] == shift[2] == 0


def test_one_sample_leaves_nothing_to_hold_against():
    assert shift_that_holds(np.array([[0.25, -1.0]])).tolist() == [0.25, -1.0]


@pytest.mark.parametrize("count", [1, 4, 8, 20, 1000])
def test_few_samples_are_spread_over_all(count):
    numbers = numbers_of_samples(count)
    assert len(numbers) == min(count, 8) and numbers[0] == 0 and numbers[-1] == count - 1


def nearly_dead_kernel():
    """4 x 3 x 1 x 1: of the first channel all weights are zero, of the second and third they are tiny."""
    kernel = np.random.default_rng(0).normal(size=(4, 3, 1, 1)).astype(np.float32)
    kernel[0], kernel[1:3] = 0, kernel[1:3] * np.float32(1e-8)
    return kernel


def test_the_least_scale_leaves_half_of_int32_to_the_sums():
    scales = least_scales(BIASES, (-0.5, 0.5))
    assert np.abs(BIASES / (scales / 255)) == pytest.approx(2**30)
    assert least_scales(BIASES, (0.25, 1.0)) == pytest.approx(scales)  # a range has 0 inside
    assert np.isfinite(least_scales(BIASES, (0.0, 0.0))).all()


def test_biases_beside_tiny_weights_survive_in_onnx():
    stored = {"k": nearly_dead_kernel(), "b": BIASES, "l": np.eye(3, 4, dtype=np.float32)[..., None, None]}
    nodes = [
        helper.make_node("Conv", ["image", "k", "b"], ["t"], "first"),
        helper.make_node("Conv", ["t", "l"], ["restored"], "last"),
    ]
    ends = [[helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 3, 8, 8])] for end in ("image", "restored")]
    tensors = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "dead", *ends, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    feeds = [{"image": np.random.default_rng(i).random((1, 3, 8, 8), np.float32)} for i in range(3)]
    quantized = quantize_onnx(model, feeds, Silent())
    session = onnxruntime.InferenceSession(quantized.SerializeToString(), providers=["CPUExecutionProvider"])
    (given,) = session.run(None, feeds[0])
    assert np.abs(given[0, :3] - BIASES[:3, None, None]).max() < 0.005


def convolution_in_tflite():
    """The object tree of a convolution with float constants, and its operator."""
    schema = load_schema()
    model, graph, op = schema.ModelT(), schema.SubGraphT(), schema.OperatorT()
    model.buffers, model.subgraphs, model.operatorCodes = [schema.BufferT()], [graph], [schema.OperatorCodeT()]
    model.operatorCodes[0].builtinCode = CONV_2D
    graph.tensors, graph.operators = [], [op]
    for name in ("image", "restored"):
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer, tensor.shape = name.encode(), FLOAT32, 0, [1, 8, 8, 4]
        graph.tensors.append(tensor)
    places = []
    for values in (nearly_dead_kernel().transpose(0, 2, 3, 1), BIASES):
        places.append(add_constant(model, 0, np.ascontiguousarray(values)))
        graph.tensors[-1].name, graph.tensors[-1].shape = f"const_{places[-1]}".encode(), values.shape
    op.opcodeIndex, op.inputs, op.outputs = 0, np.array([0, *places], np.int32), [1]
    return model, op


def test_the_largest_weight_of_a_channel_makes_room_for_its_bias_in_tflite():
    model, op = convolution_in_tflite()
    before = float_constant(model, int(op.inputs[1]))
    make_room(model, {"image": (0.0, 1.0)}, frozenset({"restored"}))
    assert (float_constant(model, int(op.inputs[1])) == before).all()  # a float op is left alone
    make_room(model, {"image": (0.0, 1.0)}, frozenset())
    after = float_constant(model, int(op.inputs[1]))
    scales = np.abs(after).max((1, 2, 3)) / 127
    assert (np.abs(BIASES / (scales / 255)) < 1.001 * 2**30).all()
    assert np.abs(after[:3] - before[:3]).max() < 1e-4 * np.abs(BIASES).max() and (after[3] == before[3]).all()
    assert len({tensor.name for tensor in model.subgraphs[0].tensors}) == len(model.subgraphs[0].tensors)


def test_a_correction_beyond_int32_is_cut_off_in_tflite():
    model, op = convolution_in_tflite()
    bias = add_constant(model, 3, np.array([2**31 - 5, 0, -(2**31) + 5, 1], np.int32))
    tensor = model.subgraphs[0].tensors[bias]
    tensor.type, tensor.quantization = INT32, load_schema().QuantizationParametersT()
    tensor.quantization.scale = np.full(4, 0.5, np.float32)
    op.inputs = np.array([*op.inputs[:2], bias], np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _add_to_bias(model, op, np.array([100.0, 1.0, -100.0, 0.0]))
    assert constant(model, int(op.inputs[2]), np.int32)[0].tolist() == [2**31 - 1, 2, -(2**31), 1]
