"""int8 and fp16 OpenVINO models: one copy of the weights, pictures near the float ones, no output."""

import copy
from collections import Counter

import numpy as np
import openvino
import pytest
import torch

from elir_edge.formats.openvino import nodes_by_stage
from elir_edge.quantize.moves import ends_of_autoencoder
from elir_edge.quantize.openvino_bias import convolution_means, correct_biases
from tests.quantized import convert, lower_for, noisy_feeds, psnr_db

pytestmark = pytest.mark.slow
STAGES = ["encoded", "coarse", "state_0", "state_1", "state_2", "restored"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("openvino")


@pytest.fixture(scope="module")
def plain(tiny_artifact):
    return openvino.Core().read_model(tiny_artifact("openvino").path)


def quantize_tiny(restorer, folder, **more):
    graph = lower_for(restorer, "openvino")
    return convert(graph, "openvino", folder, "int8", calibration=noisy_feeds(64), **more)


@pytest.fixture(scope="module")
def integer_path(tiny_restorer, folder):
    return quantize_tiny(tiny_restorer, folder)


@pytest.fixture(scope="module")
def integer(integer_path):
    return openvino.Core().read_model(integer_path)


def results(model, feeds):
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [compiled(dict(sample))[0] for sample in feeds]


def convolutions(model):
    return [node for node in model.get_ops() if node.get_type_name().startswith("Convolution")]


def constants(model, kind):
    found = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    return [node for node in found if node.get_element_type().get_type_name() == kind]


def test_weights_are_integer_and_stored_once(plain, integer, integer_path):
    found = [node.input_value(1).get_node() for node in convolutions(plain)]
    kernels = {node.data.tobytes(): node for node in found}
    numbers = sum(node.data.size for node in kernels.values())
    stored = {node.data.tobytes(): node.data.size for node in constants(integer, "i8")}
    assert sum(stored.values()) == numbers
    assert integer_path.with_suffix(".bin").stat().st_size < 2 * numbers


def test_rounding_does_not_scale_kernels(plain, integer):
    """The largest weight of each output channel is 63 steps, as in the rounding before; another grid rounds again."""
    kernels = {node.get_friendly_name(): node.input_value(1).get_node() for node in convolutions(plain)}
    compared = 0
    for node in convolutions(integer):
        scaled, kernel = node.input_value(1).get_node(), kernels[node.get_friendly_name()].data
        if scaled.get_type_name() == "Multiply":
            integers = scaled.input_value(0).get_node().input_value(0).get_node().data
            axes = tuple(i for i, side in enumerate(scaled.input_value(1).get_shape()) if side == 1)
            assert (np.abs(integers).max(axes) == 63).all()
            step = np.abs(kernel).max(axes, keepdims=True) / 63
            assert (integers == np.rint(kernel / step)).all()
            compared += 1
    assert compared > 20


def test_result_is_near_the_float_one(plain, integer):
    feeds = noisy_feeds(64, first=2)
    for actual, expected in zip(results(integer, feeds), results(plain, feeds), strict=True):
        assert psnr_db(actual, expected) > 35


def test_graph_keeps_its_names_and_types(plain, integer):
    ends = [
        [(port.get_names(), port.shape, port.element_type) for port in model.inputs + model.outputs]
        for model in (plain, integer)
    ]
    assert ends[0] == ends[1]
    integer.clone().add_outputs(STAGES[:-1])


def test_stages_stay_float_on_demand(plain, tiny_restorer, folder):
    path = quantize_tiny(tiny_restorer, folder / "mixed", float_stages=frozenset({"encoded", "restored"}))
    model = openvino.Core().read_model(path)
    by_stage = nodes_by_stage(model, STAGES)
    kinds = Counter(
        (stage in ("encoded", "restored"), node.get_type_name())
        for node in model.get_ops()
        for stage in STAGES
        if node.get_friendly_name() in by_stage[stage]
    )
    assert kinds[True, "Convolution"] > 0
    assert kinds[True, "FakeQuantize"] == 0
    assert kinds[False, "FakeQuantize"] > 0


def test_same_inputs_give_the_same_bytes_and_nothing_is_said(tiny_restorer, folder, integer_path, capfd):
    again = quantize_tiny(tiny_restorer, folder / "again")
    assert capfd.readouterr() == ("", "")
    for suffix in (".xml", ".bin"):
        assert again.with_suffix(suffix).read_bytes() == integer_path.with_suffix(suffix).read_bytes()


def test_biases_are_corrected_one_after_the_other(plain):
    feeds, ignore = noisy_feeds(64), lambda share: None
    means = convolution_means(plain, feeds, ignore)
    moved = plain.clone()
    generator = np.random.default_rng(0)
    for node in moved.get_ops():
        if node.get_friendly_name() in means:
            (port,) = (p for p in node.inputs() if p.get_source_output().get_node().get_type_name() == "Constant")
            bias = port.get_source_output().get_node().data
            shift = generator.normal(0, 0.1, bias.shape).astype(np.float32)
            port.replace_source_output(openvino.opset13.constant(bias + shift).output(0))
    wrong = results(moved, feeds)
    correct_biases(moved, feeds, means, ignore)
    for before, after, expected in zip(wrong, results(moved, feeds), results(plain, feeds), strict=True):
        assert psnr_db(before, expected) < 30
        assert psnr_db(after, expected) > 80


def test_half_weights(plain, tiny_restorer, folder):
    model = openvino.Core().read_model(convert(lower_for(tiny_restorer, "openvino"), "openvino", folder, "fp16"))
    assert constants(model, "f16")
    feeds = noisy_feeds(64)
    for actual, expected in zip(results(model, feeds), results(plain, feeds), strict=True):
        assert actual.dtype == np.float32
        assert psnr_db(actual, expected) > 60


def test_the_finer_form_has_the_ends_of_the_autoencoder_in_float(tiny_restorer, folder):
    """Those of the float network, where the ends of the rounded one are zero."""
    graph = lower_for(tiny_restorer, "openvino")
    rounded, ends = copy.deepcopy(graph), ends_of_autoencoder(graph)
    with torch.no_grad():
        for name in ends:
            rounded.get_parameter(f"{name}.weight").zero_()
    options = {"calibration": noisy_feeds(64), "unrounded": graph}
    finer = openvino.Core().read_model(convert(rounded, "openvino", folder / "finer", "int8", **options))
    kernels = [node.input_value(1).get_node() for node in convolutions(finer)]
    floats = [kernel.input_value(0).get_node().data for kernel in kernels if kernel.get_type_name() == "Convert"]
    assert len(floats) == len(ends) == 4
    for name in ends:
        wanted = graph.get_parameter(f"{name}.weight").numpy().astype(np.float16)
        assert any(np.array_equal(kernel, wanted) for kernel in floats), name
