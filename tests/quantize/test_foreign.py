"""int8 of estimators of the user's own: what the networks of the package do not have."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import openvino
import pytest
import torch
from onnx import TensorProto, helper
from openvino import opset13 as ops
from torch import nn

from elir_edge import load_restorer
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, ModuleSpec, SimVaeSpec
from elir_edge.lowering.lower import lower
from elir_edge.lowering.norm import NormForm, set_norm_form
from elir_edge.lowering.trace import trace
from elir_edge.lowering.transposed import absorb_output_padding
from elir_edge.quantize.nncf_ir import _set_kernels
from elir_edge.quantize.onnx_picture import picture_ranges
from elir_edge.quantize.openvino_bias import convolution_means, correct_biases
from elir_edge.quantize.preparation import as_tensors
from elir_edge.quantize.simulation import Simulation
from tests.quantized import convert, lower_for, noisy_feeds, psnr_db

SIDE = 32
AUTOENCODER = SimVaeSpec(4, widths=(8,), encoder_blocks=1, decoder_blocks=1, mid_blocks=0, patch=2)
SPEC = LatentPmrfSpec(name="own", size=SIDE, steps=0, estimator=None, field=None, autoencoder=AUTOENCODER)


class Foreign(nn.Module):
    """Centres the picture; a choice by a mask, attention by a Conv1d, and three kinds of transposed convolution."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.act = nn.ReLU(inplace=True)
        self.attention = nn.Conv1d(1, 1, 3, padding=1, bias=False)
        self.grouped = nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=4)
        self.padded = nn.ConvTranspose2d(8, 8, 3, 2, 1, output_padding=1)
        self.longer = nn.ConvTranspose2d(8, 8, 4, 2, 1, output_padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, image):
        centred = image * 2 - 1
        rows = torch.arange(image.shape[2]) * 2 + 1  # of whole numbers
        inner = self.act(self.first(centred))
        gate = self.attention(inner.mean((2, 3)).unsqueeze(1)).transpose(1, 2).unsqueeze(-1)
        inner = inner * gate.sigmoid()
        wide = self.act(self.grouped(inner)) + self.act(self.padded(inner)) + self.longer(inner)[:, :, 1:, 1:]
        shade = (rows.float() / (2 * image.shape[2])).reshape(1, 1, -1, 1)
        better = centred + 0.1 * self.last(wide * shade)
        return torch.where(image.mean(1, keepdim=True) > 0.1, better, centred).clamp(-2.5, 3) * 0.5 + 0.5


@pytest.fixture(scope="module")
def restorer():
    return load_restorer(
        dataclasses.replace(SPEC, estimator=ModuleSpec(path=f"{__name__}:Foreign", stride=2)), "random:0"
    )


@pytest.mark.slow
@pytest.mark.parametrize("io", ["float", "uint8"])
def test_int8_onnx_keeps_the_picture(restorer, io, tmp_path):
    graph = lower_for(restorer, "onnx", io)
    feeds = noisy_feeds(SIDE, io)
    path = convert(graph, "onnx", tmp_path, "int8", calibration=feeds)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    unit = 255.0 if io == "uint8" else 1.0
    for feed in feeds:
        (given,) = session.run(["restored"], feed)
        wanted = graph.values(*as_tensors(feed))[1].numpy() / graph.pixel_gain
        wanted = wanted.transpose(0, 2, 3, 1) if io == "uint8" else wanted
        assert psnr_db(given / unit, wanted.clip(0, 1)) > 28  # with a wrong range at one end: 11 to 12


def chain(kind, *nodes):
    """A graph from ``image`` to ``restored``, both of type ``kind``, of nodes (operator, constants or type)."""
    made, stored, name = [], [], "image"
    for i, (operator, *facts) in enumerate(nodes):
        target = "restored" if i == len(nodes) - 1 else f"t{i}"
        inputs, attributes = [name], {}
        if operator == "Cast":
            attributes["to"] = facts[0]
        elif facts:
            stored.append(helper.make_tensor(f"c{i}", TensorProto.FLOAT, facts[0].shape, facts[0].ravel()))
            inputs.append(f"c{i}")
        made.append(helper.make_node(operator, inputs, [target], f"n{i}", **attributes))
        name = target
    ends = [[helper.make_tensor_value_info(end, kind, [1, 3, 4, 4])] for end in ("image", "restored")]
    return helper.make_model(helper.make_graph(made, "chain", *ends, stored))


def number(value):
    return np.array(value, np.float32)


KERNEL = np.ones((3, 3, 1, 1), np.float32)


def test_the_ends_have_the_range_of_the_picture():
    model = chain(TensorProto.FLOAT, ("Conv", KERNEL), ("Relu",), ("Conv", KERNEL), ("Clip",))
    assert picture_ranges(model) == {"image": (0, 1), "t2": (0, 1), "restored": (0, 1)}


def test_bytes_that_are_divided_first_have_another_range_inside():
    ends = ("Cast", TensorProto.FLOAT), ("Div", number(255))
    back = ("Clip",), ("Mul", number(255)), ("Round",), ("Cast", TensorProto.UINT8)
    model = chain(TensorProto.UINT8, *ends, ("Conv", KERNEL), *back)
    assert picture_ranges(model) == {
        "t0": (0, 255),
        "t1": (0, pytest.approx(1)),
        "t2": (0, pytest.approx(1)),
        "t3": (0, pytest.approx(1)),
        "t4": (0, 255),
        "t5": (0, 255),
    }


def test_what_an_estimator_makes_of_the_picture_is_measured():
    model = chain(
        TensorProto.FLOAT, ("Mul", number(2)), ("Sub", number(1)), ("Conv", KERNEL), ("Add", number([1, 2, 3]))
    )
    assert picture_ranges(model) == {"image": (0, 1), "t0": (0, 2), "restored": (0, 1)}
    assert onnx.checker.check_model(model) is None


def test_output_padding_is_absorbed_by_the_kernel():
    """Kernels that are shared stay shared, and a second time changes nothing."""
    torch.manual_seed(0)
    module = nn.ModuleList([nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=(1, 0)) for _ in range(2)]).double()
    module[1].weight = module[0].weight
    x = torch.randn(1, 4, 5, 6, dtype=torch.float64)
    with torch.no_grad():
        wanted = [part(x) for part in module]
        for _ in range(2):
            absorb_output_padding(module)
            for part, before in zip(module, wanted, strict=True):
                assert part.output_padding == (0, 0) and part.kernel_size == (4, 3)
                assert torch.allclose(part(x), before, atol=1e-12)
    assert module[0].weight is module[1].weight


def test_group_norms_without_weights_have_a_pointwise_form():
    torch.manual_seed(0)
    made = [nn.GroupNorm(2, 8, affine=False), nn.GroupNorm(4, 8, affine=False), nn.GroupNorm(4, 8)]
    module = nn.Sequential(*made)
    x = torch.randn(1, 8, 5, 6)
    with torch.no_grad():
        wanted = module(x)
        set_norm_form(module, NormForm.POINTWISE)
        assert not any(isinstance(part, nn.GroupNorm) for part in module)
        assert torch.allclose(module(x), wanted, atol=1e-5)


def test_tensors_are_rounded_after_a_rectifier_in_place(restorer):
    """Whole numbers are not rounded at all."""
    plain = load_restorer(
        dataclasses.replace(SPEC, estimator=ModuleSpec(path=f"{__name__}:Foreign", stride=2)), "random:0"
    )
    plain.estimator.act.inplace = False
    found = []
    for model in (plain, restorer):
        graph = lower(model)
        simulation = Simulation.observe(graph, [as_tensors(feed) for feed in noisy_feeds(SIDE)])
        found.append((simulation.rectified, simulation.ranges))
    assert found[0] == found[1] and len(found[0][0]) == 3


def test_matrices_have_63_steps_in_openvino():
    """As kernels: 127 overflow on processors without VNNI."""
    weights = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)

    def model_of(matrix):
        rows = ops.parameter([2, 6], np.float32)
        product = ops.matmul(rows, matrix, False, True)
        product.set_friendly_name("linear")
        return openvino.Model([product], [rows])

    scale = np.abs(weights).max(1, keepdims=True) / 127
    integers = ops.constant(np.rint(weights / scale).astype(np.int8))
    quantized = model_of(ops.multiply(ops.convert(integers, "f32"), ops.constant(scale)))
    _set_kernels(model_of(ops.constant(weights)), quantized)
    (linear,) = [node for node in quantized.get_ops() if node.get_type_name() == "MatMul"]
    stored = linear.input_value(1).get_node().input_value(0).get_node().input_value(0).get_node().data
    assert (np.abs(stored).max(1) == 63).all()


def test_biases_of_a_conv1d_are_corrected_in_openvino():
    def model_of(bias):
        row = ops.parameter([1, 2, 6], np.float32, name="row")
        row.output(0).set_names({"row"})
        kernel = ops.constant(np.ones((3, 2, 3), np.float32))
        made = ops.add(ops.convolution(row, kernel, [1], [1], [1], [1]), ops.constant(bias.reshape(1, 3, 1)))
        made.set_friendly_name("biased")
        return openvino.Model([made], [row])

    wanted, wrong = np.array([0.5, 0, -1], np.float32), np.array([0.25, 1, 0], np.float32)
    feeds = [{"row": np.random.default_rng(i).random((1, 2, 6), np.float32)} for i in range(3)]
    means = convolution_means(model_of(wanted), feeds, lambda share: None)
    assert means["biased"].shape == (3, 3)
    corrected = model_of(wrong)
    correct_biases(corrected, feeds, means, lambda share: None)
    (made,) = [node for node in corrected.get_ops() if node.get_friendly_name() == "biased"]
    assert made.input_value(1).get_node().data.ravel() == pytest.approx(wanted, abs=1e-5)


def test_bounds_of_a_clip_have_one_type(restorer):
    """The ONNX exporter takes no float beside a whole number."""
    nodes = [node for node in trace(lower(restorer)).graph.nodes if node.target is torch.ops.aten.clamp.default]
    bounds = [node.args[1:] for node in nodes]
    assert (-2.5, 3) in bounds and all(isinstance(bound, float) for pair in bounds for bound in pair)
