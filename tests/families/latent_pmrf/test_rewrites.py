"""Each rewrite of Latent-PMRF in float64: the same function to 1e-10 of the largest value."""

import dataclasses

import pytest
import torch
from torch import nn

from elir_edge import load_restorer
from elir_edge.artifacts.signature import GraphForm
from elir_edge.families.latent_pmrf.family import FAMILY
from elir_edge.families.latent_pmrf.spec import (
    FieldSpec,
    LatentPmrfSpec,
    ModuleSpec,
    ResidualSpec,
    SimVaeSpec,
    StackedSpec,
)
from elir_edge.families.networks.channel_norm import ChannelNorm
from elir_edge.imaging.noise import NoiseContract
from elir_edge.lowering.lower import lower
from elir_edge.lowering.norm import NormForm, set_norm_form
from elir_edge.lowering.unroll import unroll
from tests.lowering.test_rewrites import assert_exact, image_of, trajectory_of

SMALL = SimVaeSpec(4, widths=(8, 12), encoder_blocks=1, decoder_blocks=1, mid_blocks=1, shift=0.3, scale=1.7)
FULL = LatentPmrfSpec(
    size=32,
    steps=3,
    estimator=ResidualSpec(widths=(6, 8), blocks=(1, 1, 1)),
    autoencoder=SMALL,
    field=FieldSpec(hidden=32, multipliers=(1, 2), mid_blocks=1, time_features=16),
)
STACKED = StackedSpec(
    levels=1, networks=(ResidualSpec(widths=(6, 8), blocks=(1, 1, 1)), ResidualSpec(widths=(6,), blocks=(1,)))
)
SQUARES = dataclasses.replace(
    FULL, estimator=STACKED, autoencoder=dataclasses.replace(SMALL, widths=(12,), patch=4, encoder_blocks=2)
)
SPECS = {
    "U-Net field": FULL,
    "squares of pixels": SQUARES,
    "residual field": dataclasses.replace(FULL, field=ResidualSpec(widths=(8,), blocks=(2,), time_features=16)),
    "no estimator": dataclasses.replace(FULL, estimator=None),
    "no field": dataclasses.replace(FULL, steps=0, field=None),
    "autoencoder alone": dataclasses.replace(FULL, steps=0, field=None, estimator=None),
    "no shift": dataclasses.replace(FULL, autoencoder=dataclasses.replace(SMALL, shift=0.0)),
}
STAGES = ("posterior_mean", "encoded", "state_0", "state_1", "state_2", "state_3")


class Blur(nn.Module):
    """An estimator of a user's."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, image):
        return torch.sigmoid(self.mix(image))


def graph_of(spec, io="float"):
    restorer = load_restorer(spec, "random:1").double()
    return restorer, unroll(restorer, GraphForm(spec.size, spec.size, NoiseContract.parse("baked:5"), io))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_after_every_rewrite_the_function_is_the_same(spec):
    restorer, graph = graph_of(spec)
    image, applied = image_of(spec), []
    expected = trajectory_of(restorer, image)
    for rewrite in (lambda graph: None, *FAMILY.rewrites(), lambda graph: set_norm_form(graph, NormForm.POINTWISE)):
        rewrite(graph)
        applied.append(rewrite.__name__)
        stages = graph.stages(image)
        assert_exact(stages["restored"], expected.restored, applied)
        for name in [name for name in STAGES if name in expected.values]:
            assert_exact(stages[name], expected.values[name], (applied, name))


def test_what_is_folded_is_gone():
    graph = lower(load_restorer(FULL, "random:1"))
    assert graph.encoder.conv_out.out_channels == SMALL.latent_channels == graph.encoder.conv_out.weight.shape[0]
    assert (graph.encoder.gain, graph.encoder.shift, graph.encoder.scale) == (1.0, 0.0, 1.0)
    assert (graph.decoder.gain, graph.decoder.centre, graph.decoder.scale) == (1.0, 0.0, 1.0)
    assert graph.decoder.shift == pytest.approx(0.3 * 1.7)
    assert (graph.noise_gain, graph.step_divisor) == (1.0, 1.0)
    assert not any("mlp" in name for name, _ in graph.named_parameters())


@pytest.mark.parametrize("estimator", [FULL.estimator, STACKED, None, ModuleSpec(path=f"{__name__}:Blur")])
def test_bytes_in_bytes_out_is_the_float_graph_rounded(estimator):
    restorer = load_restorer(dataclasses.replace(FULL, estimator=estimator), "random:1").double()
    graph = lower(restorer, noise="baked:5", io="uint8", layout="NHWC")
    assert graph.pixel_gain == (1.0 if isinstance(estimator, ModuleSpec) else 255.0)
    image = (image_of(FULL) * 255).round()
    expected = (trajectory_of(restorer, image / 255).restored * 255).round().to(torch.uint8)
    assert torch.equal(graph(image.to(torch.uint8).permute(0, 2, 3, 1)).permute(0, 3, 1, 2), expected)


@pytest.mark.parametrize("form", [NormForm.MEANS, NormForm.POINTWISE])
def test_layer_norm_over_channels_in_every_form(form):
    torch.manual_seed(0)
    norm = ChannelNorm(12).double()
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    x = torch.randn(2, 12, 5, 7, dtype=torch.float64) * torch.logspace(-2, 2, 7, dtype=torch.float64) + 3
    mean = x.mean(1, keepdim=True)
    variance = x.var(1, correction=0, keepdim=True)
    affine = (norm.weight[:, None, None], norm.bias[:, None, None])
    expected = (x - mean) / torch.sqrt(variance + 1e-6) * affine[0] + affine[1]
    assert_exact(norm(x), expected)
    holder = nn.ModuleDict({"norm": norm})
    set_norm_form(holder, form)
    assert not isinstance(holder["norm"], ChannelNorm)
    assert_exact(holder["norm"](x), expected)
