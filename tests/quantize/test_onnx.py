"""int8 and fp16 ONNX graphs: integer convolutions, one copy of the weights, pictures near the float ones."""

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from elir_edge import load_restorer
from elir_edge.core.progress import Silent
from elir_edge.formats.onnx.graph import convolutions, nodes_by_stage, with_outputs
from elir_edge.formats.onnx.session import open_model
from elir_edge.quantize.equalize import equalize
from elir_edge.quantize.levels import LEVELS_WITHOUT_VNNI
from elir_edge.quantize.moves import ends_of_autoencoder
from elir_edge.quantize.ort_static import quantize_onnx
from tests.quantized import convert, float_convolutions, lower_for, noisy_feeds, psnr_db

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("onnx")


@pytest.fixture(scope="module")
def plain(tiny_artifact):
    return onnx.load(tiny_artifact("onnx").path)


@pytest.fixture(scope="module")
def integer(tiny_restorer, folder):
    return onnx.load(convert(lower_for(tiny_restorer, "onnx"), "onnx", folder, "int8", calibration=noisy_feeds(64)))


@pytest.fixture(scope="module")
def quantized_alone(plain):
    """The quantizer's result on the written graph, without any preparation."""
    return quantize_onnx(plain, noisy_feeds(64), Silent())


def results(model, feeds):
    session = open_model(model)
    return [session.run(None, dict(sample))[0] for sample in feeds]


def kernels(model):
    return [tensor for tensor in model.graph.initializer if len(tensor.dims) == 4 and tensor.dims[0] > 1]


def test_every_convolution_is_integer(plain, integer):
    assert float_convolutions(integer) == []
    assert len(float_convolutions(plain)) == len(list(convolutions(plain)))


def test_steps_share_one_copy_of_the_weights(plain, integer):
    assert {tensor.data_type for tensor in kernels(integer)} == {TensorProto.INT8}
    stored = [sum(int(np.prod(tensor.dims)) for tensor in kernels(model)) for model in (plain, integer)]
    assert stored[0] == stored[1]


def test_graph_keeps_its_names_and_types(plain, integer):
    assert [list(map(str, ends)) for ends in (plain.graph.input, plain.graph.output)] == [
        list(map(str, ends)) for ends in (integer.graph.input, integer.graph.output)
    ]
    assert {"encoded", "coarse", "state_0", "state_2"} <= {name for node in integer.graph.node for name in node.output}


def test_result_is_near_the_float_one(plain, integer):
    feeds = noisy_feeds(64, first=2)
    for actual, expected in zip(results(integer, feeds), results(plain, feeds), strict=True):
        assert psnr_db(actual, expected) > 35


def test_mean_of_each_convolution_is_kept(plain, integer):
    """Bias correction keeps the means on the calibration samples, up to the rounding of later tensors."""
    feeds = noisy_feeds(64)
    means = {}
    for label, model in (("float", plain), ("integer", integer)):
        session = open_model(with_outputs(model, ["state_0", "state_1", "state_2"]))
        latents = [session.run(None, dict(sample)) for sample in feeds]
        means[label] = np.mean([[latent.mean((0, 2, 3)) for latent in sample] for sample in latents], 0)
        spread = np.std(latents[0][0])
    assert np.abs(means["float"] - means["integer"]).max() < 0.01 * spread


def test_weights_on_the_grid_stay_there(plain, quantized_alone):
    """A model tuned to int8 weights must not be rounded a second time."""
    rounded = onnx.ModelProto()
    rounded.CopyFrom(plain)
    for tensor in kernels(rounded):
        values = numpy_helper.to_array(tensor)
        others = (0, 2, 3) if "convtr" in tensor.name else (1, 2, 3)
        step = np.abs(values).max(others, keepdims=True) / LEVELS_WITHOUT_VNNI
        tensor.CopyFrom(numpy_helper.from_array((np.rint(values / step) * step).astype(np.float32), tensor.name))
    again = quantize_onnx(rounded, noisy_feeds(64), Silent())
    stored = [
        {tensor.name: numpy_helper.to_array(tensor) for tensor in kernels(model)} for model in (again, quantized_alone)
    ]
    assert stored[0].keys() == stored[1].keys()
    for name, values in stored[1].items():
        assert np.array_equal(stored[0][name], values), name
        assert np.abs(values.astype(int)).max() <= LEVELS_WITHOUT_VNNI, "two products with uint8 have to fit into int16"


def test_stages_stay_float_on_demand(plain, tiny_restorer, folder):
    path = convert(
        lower_for(tiny_restorer, "onnx"),
        "onnx",
        folder,
        "int8",
        calibration=noisy_feeds(64),
        float_stages=frozenset({"encoded", "state_2"}),
    )
    stages = ["encoded", "coarse", "state_0", "state_1", "state_2", "restored"]
    by_stage = nodes_by_stage(plain, stages)
    kept = {node.name for node in convolutions(plain) if node.name in by_stage["encoded"] | by_stage["state_2"]}
    model = onnx.load(path)
    dequantized = {node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    integer = {node.name for node in convolutions(model) if node.input[1] in dequantized}
    assert integer
    assert not integer & kept
    assert len(float_convolutions(model)) == len(kept)


def test_same_inputs_give_the_same_bytes(plain, quantized_alone):
    again = quantize_onnx(plain, noisy_feeds(64), Silent())
    assert again.SerializeToString(deterministic=True) == quantized_alone.SerializeToString(deterministic=True)


def test_bytes_in_bytes_out(tiny_restorer, folder):
    feeds = noisy_feeds(64, "uint8")
    graph = lower_for(tiny_restorer, "onnx", "uint8")
    expected = results(onnx.load(convert(graph, "onnx", folder, "fp32")), feeds)
    model = onnx.load(convert(graph, "onnx", folder, "int8", calibration=feeds))
    for actual, picture in zip(results(model, feeds), expected, strict=True):
        assert (actual.dtype, actual.shape) == (np.uint8, picture.shape)
        assert psnr_db(actual / 255, picture / 255) > 35


def test_half_weights(plain, tiny_restorer, folder):
    path = convert(lower_for(tiny_restorer, "onnx"), "onnx", folder, "fp16")
    model = onnx.load(path)
    assert {tensor.data_type for tensor in kernels(model)} == {TensorProto.FLOAT16}
    onnx.checker.check_model(model, full_check=True)
    feeds = noisy_feeds(64)
    for actual, expected in zip(results(model, feeds), results(plain, feeds), strict=True):
        assert psnr_db(actual, expected) > 60


def test_the_trained_model_keeps_its_picture(folder):
    graph = lower_for(load_restorer("nano"), "onnx")
    calibration, feeds = noisy_feeds(256), noisy_feeds(256, first=2)
    expected = results(onnx.load(convert(graph, "onnx", folder, "fp32")), feeds)
    equalize(graph, calibration)
    path = convert(graph, "onnx", folder, "int8", calibration=calibration)
    for actual, picture in zip(results(onnx.load(path), feeds), expected, strict=True):
        assert psnr_db(actual, picture) > 42
        assert np.abs((actual - picture).mean((0, 2, 3))).max() < 1 / 255


def test_the_finer_form_has_the_ends_of_the_autoencoder_in_float(tiny_restorer, folder):
    ends = {"enc.layers.0", "enc.layers.6", "dec.layers.0", "dec.layers.9"}
    graph = lower_for(tiny_restorer, "onnx")
    assert ends_of_autoencoder(graph) == ends
    rounded = copy.deepcopy(graph)
    with torch.no_grad():
        for name in ends:
            rounded.get_submodule(name).weight.zero_()
    options = {"calibration": noisy_feeds(64), "unrounded": graph}
    finer = onnx.load(convert(rounded, "onnx", folder / "finer", "int8", **options))
    assert len(float_convolutions(finer)) == len(ends)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in finer.graph.initializer}
    for name in ends:
        wanted = graph.get_submodule(name).weight.numpy()
        (kernel,) = (array for array in stored.values() if array.shape == wanted.shape and array.dtype != np.int8)
        assert np.allclose(kernel, wanted, rtol=1e-3, atol=1e-4), name
