"""w8a16 in ONNX: 8-bit weights, 16-bit activations, nothing in float, a gate of 50 dB."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from elir_edge import export, open_session
from elir_edge.core.progress import Silent
from elir_edge.errors import UnavailableError, UsageError
from elir_edge.formats.onnx.for_htp import keep_sums_before_tanh, own_transposed_kernels
from elir_edge.formats.onnx.session import open_model
from elir_edge.quantize.levels import LEVELS, WORDS
from elir_edge.quantize.ort_static import quantize_onnx
from elir_edge.quantize.plan import Quantization
from elir_edge.quantize.tune import TuneBudget
from elir_edge.validation.gates import gate_for
from tests.helpers import refusal
from tests.quantize.test_rules import CASES, Case, feeds, model_of
from tests.quantized import convert, lower_for, noisy_feeds, psnr_db
from tests.tiny import QUICK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def words(light_artifact):
    return light_artifact("onnx", "w8a16")


@pytest.fixture(scope="module")
def graph(words):
    return onnx.load(words.path)


def tensors_of(model, kind):
    return [tensor for tensor in model.graph.initializer if tensor.data_type == kind]


def test_no_activation_is_float_and_all_have_16_bits(graph):
    constants = {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
    quantizers = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    assert {constants[node.input[2]] for node in quantizers} == {TensorProto.UINT16}
    floats = {name for node in quantizers for name in node.input[:1]} | {output.name for output in graph.graph.output}
    for node in graph.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear", "Relu"):
            assert set(node.output) <= floats, node.name


def test_kernels_use_all_8_bits_and_biases_have_32(graph):
    largest = [np.abs(numpy_helper.to_array(tensor).astype(int)).max() for tensor in tensors_of(graph, TensorProto.INT8)
               if len(tensor.dims) == 4]  # fmt: skip
    assert largest and set(largest) == {LEVELS}
    assert tensors_of(graph, TensorProto.INT32)


def test_the_gate_asks_for_50_db_beside_what_int8_promises(words):
    gate, int8 = words.manifest.parity["gate"], gate_for("int8")
    assert gate["psnr_db"] == 50
    assert (gate["mean_drop_db"], gate["worst_drop_db"], gate["mean_shift"]) == (
        *(int8.mean_drop_db, int8.worst_drop_db, int8.mean_shift),
    )
    assert words.manifest.parity["psnr_db"] >= 50
    assert words.manifest.quantization["degraded"] is False


def test_bytes_are_rounded_not_cut_off(light_restorer, tmp_path):
    calibration = noisy_feeds(64, "uint8")
    lowered = lower_for(light_restorer, "onnx", "uint8")
    paths = [convert(lowered, "onnx", tmp_path, name, calibration=calibration) for name in ("fp32", "w8a16")]
    expected, actual = ([open_model(onnx.load(path)).run(None, dict(sample))[0] for sample in calibration]
                        for path in paths)  # fmt: skip
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == np.uint8
        assert abs(np.mean(one.astype(float) - other)) < 0.1  # cut off, all values would lie half a level lower


def test_a_bias_far_above_its_weights_is_kept():
    """int32 ends at 2^31 steps of the weight's times the activation's: here the weight's step has to grow."""
    model = model_of("Relu", CASES["Relu"])
    for tensor in model.graph.initializer:
        if tensor.name == "last":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * np.float32(1e-7), "last"))
    quantized = quantize_onnx(model, feeds(), Silent(), grid=WORDS)
    actual, expected = (open_model(item).run(None, dict(feeds()[0]))[0] for item in (quantized, model))
    assert psnr_db(actual, expected) > 60


def test_openvino_does_not_open_it(words):
    refusal(UnavailableError, lambda: open_session(words.path, "openvino"), words.path.name, "16-bit", "onnxruntime")


def test_what_is_not_offered_is_refused_with_a_way_out(light_restorer, tmp_path):
    for target in ("tflite", "web", "openvino"):
        refusal(
            UsageError,
            lambda: export(light_restorer, target, "w8a16", out=tmp_path),  # noqa: B023
            target,
            "w8a16 is offered by --target onnx",
        )
    tuned = Quantization(QUICK.calibration, TuneBudget(steps=1))
    refusal(UsageError, lambda: export(light_restorer, "onnx", "w8a16", out=tmp_path, quantization=tuned), "--tune")


def test_a_kernel_that_two_kinds_of_convolution_share_is_stored_twice_for_the_htp():
    model = model_of("Relu", CASES["Relu"])
    shared = np.random.default_rng(0).normal(0, 0.3, (4, 4, 2, 2)).astype(np.float32)
    nodes = [
        onnx.helper.make_node("Conv", ["after", "shared"], ["half"], "down", strides=[2, 2]),
        onnx.helper.make_node("ConvTranspose", ["half", "shared"], ["whole"], "up", strides=[2, 2]),
    ]
    last = next(i for i, node in enumerate(model.graph.node) if node.name == "last")
    model.graph.node[last].input[0] = "whole"
    ordered = [*model.graph.node[:last], *nodes, *model.graph.node[last:]]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    model.graph.initializer.append(numpy_helper.from_array(shared, "shared"))
    quantized = quantize_onnx(model, feeds(), Silent(), grid=WORDS)
    for before in (model, quantized):
        after = onnx.ModelProto.FromString(before.SerializeToString())
        own_transposed_kernels(after)
        made = {name: node for node in after.graph.node for name in node.output}
        kernels = [node.input[1] for node in after.graph.node if node.name in ("down", "up")]
        sources = [made[name].input[0] if name in made else name for name in kernels]
        assert len(set(sources)) == 2
        one, other = (open_model(item).run(None, dict(feeds()[0]))[0] for item in (before, after))
        assert np.array_equal(one, other)


def test_a_float_sum_before_tanh_gets_16_bits_for_the_htp():
    model = model_of("Add", Case(("before", "before")))
    model.graph.node.insert(3, onnx.helper.make_node("Tanh", ["after"], ["bounded"], "bound"))
    model.graph.node[4].input[0] = "bounded"
    after = onnx.ModelProto.FromString(model.SerializeToString())
    keep_sums_before_tanh(after)
    assert [node.op_type for node in after.graph.node].count("QuantizeLinear") == 1
    one, other = (open_model(item).run(None, dict(feeds()[0]))[0] for item in (model, after))
    assert 70 < psnr_db(one, other) < 200  # it is rounded, and not to 8 bits
    again = onnx.ModelProto.FromString(after.SerializeToString())
    keep_sums_before_tanh(again)
    assert again == after
