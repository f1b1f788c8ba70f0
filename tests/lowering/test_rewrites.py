"""Each rewrite in float64: the same function to 1e-10 of the largest value, shared weights still shared."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from elir_edge import load_restorer
from elir_edge.artifacts.signature import GraphForm
from elir_edge.families.elir.family import FAMILY
from elir_edge.families.elir.spec import AutoencoderSpec, ElirSpec, EstimatorSpec, FieldSpec, ResidualSpec, ShuffleSpec
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.collapse import collapse
from elir_edge.families.rewrites.sharing import unique_tensors
from elir_edge.imaging.noise import NoiseContract, draw_noise
from elir_edge.lowering.lower import lower
from elir_edge.lowering.norm import NormForm, set_norm_form
from elir_edge.lowering.unroll import unroll

EXACT = 1e-10
REWRITES = FAMILY.rewrites()
SMALL = AutoencoderSpec(latent_channels=4, width=8, levels=2, blocks=1)
FIELD = FieldSpec(hidden=32, multipliers=(1, 2), mid_blocks=1, time_features=16)
FULL = ElirSpec(size=32, steps=3, autoencoder=SMALL, estimator=EstimatorSpec(hidden=6, blocks=2), field=FIELD)
SPECS = {
    "full": FULL,
    "no estimator": ElirSpec(size=32, steps=2, autoencoder=SMALL, estimator=None, field=FIELD),
    "no field": ElirSpec(size=32, steps=0, autoencoder=SMALL, estimator=EstimatorSpec(hidden=6, blocks=1), field=None),
    "autoencoder alone": ElirSpec(size=32, steps=0, autoencoder=SMALL, estimator=None, field=None),
    "one step": ElirSpec(size=32, steps=1, autoencoder=SMALL, estimator=EstimatorSpec(hidden=6, blocks=1), field=FIELD),
    "shuffle and residual networks": ElirSpec(
        size=32,
        steps=2,
        autoencoder=ShuffleSpec(),
        estimator=ResidualSpec(widths=(8, 12), blocks=(1, 2, 1)),
        field=ResidualSpec(widths=(8,), blocks=(2,), time_features=16),
    ),
    "shuffle and a U-Net": ElirSpec(
        size=32, steps=2, autoencoder=ShuffleSpec(), estimator=EstimatorSpec(hidden=6, blocks=1), field=FIELD
    ),
    "three levels, pooled": ElirSpec(
        size=64,
        steps=2,
        autoencoder=AutoencoderSpec(latent_channels=8, width=8, levels=3, blocks=3, midblock_pooling=True),
        estimator=EstimatorSpec(hidden=6, blocks=1),
        field=FIELD,
    ),
}


def image_of(spec, seed=0):
    return torch.rand(1, 3, spec.size, spec.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def graph_of(spec, noise="baked:5", io="float"):
    restorer = load_restorer(spec, "random:1").double()
    return restorer, unroll(restorer, GraphForm(spec.size, spec.size, NoiseContract.parse(noise), io))


def trajectory_of(restorer, image, seed=5):
    shape = restorer.spec.latent_shape(*image.shape[2:])
    return restorer.trajectory(image, torch.from_numpy(draw_noise(seed, shape)).double())


def assert_exact(actual, expected, what=""):
    assert actual.shape == expected.shape, what
    assert (actual - expected).abs().max() <= EXACT * expected.abs().max(), what


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_after_every_rewrite_the_function_is_the_same(spec):
    restorer, graph = graph_of(spec)
    image, applied = image_of(spec), []
    expected = trajectory_of(restorer, image)
    for rewrite in (lambda graph: None, *REWRITES):
        rewrite(graph)
        applied.append(rewrite.__name__)
        stages = graph.stages(image)
        assert_exact(stages["restored"], expected.restored, applied)
        assert_exact(stages["coarse"] / graph.latent_gain, expected.coarse, applied)
        for k, state in enumerate(expected.states if graph.steps else ()):
            assert_exact(stages[f"state_{k}"] / graph.latent_gain, state, (applied, k))


@pytest.mark.parametrize("rewrite", REWRITES, ids=lambda rewrite: rewrite.__name__)
def test_rewrites_leave_the_model_they_came_from_alone(rewrite):
    restorer, graph = graph_of(FULL)
    before = {name: tensor.clone() for name, tensor in restorer.state_dict().items()}
    for each in REWRITES[: REWRITES.index(rewrite) + 1]:
        each(graph)
    after = restorer.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("norm", NormForm)
def test_only_biases_differ_by_step(norm):
    graph = lower(load_restorer(FULL, "random:1"), norm=norm)
    for name, _ in graph.steps[0].named_parameters():
        tensors = [step.get_parameter(name) for step in graph.steps]
        shared = all(tensor is tensors[0] for tensor in tensors)
        assert shared or (name.endswith("bias") and ".block1." in name), name
    one_step = lower(load_restorer(SPECS["one step"], "random:1"), norm=norm)
    extra_estimator = sum(p.numel() for p in graph.mmse.lrm[1].parameters())
    biases = sum(block.block1.block[-1].bias.numel() for block in graph.steps[0].residual_blocks())
    assert graph.parameter_count() == one_step.parameter_count() + extra_estimator + 2 * biases


def test_unroll_copies_no_weight():
    restorer = load_restorer(FULL, "random:1")
    graph = unroll(restorer, GraphForm(32, 32, NoiseContract.parse("zero")))
    assert {t.data_ptr() for t in unique_tensors(graph)} == {t.data_ptr() for t in unique_tensors(restorer)}
    assert len(list(unique_tensors(graph))) == len(list(unique_tensors(restorer)))


def test_lowering_does_not_freeze_the_model_it_is_given():
    restorer = Restorer(FULL)
    lower(restorer)
    assert restorer.training
    assert all(parameter.requires_grad for parameter in restorer.parameters())


def test_fold_time_drops_the_time_network():
    graph = lower(load_restorer(FULL, "random:1"))
    assert not any("mlp" in name for name, _ in graph.named_parameters())


def test_fold_projection_leaves_one_convolution_to_the_latent():
    graph = lower(load_restorer(FULL, "random:1"))
    assert graph.step_divisor == 1.0
    assert isinstance(graph.steps[0].final_proj, nn.Identity)
    assert graph.steps[0].final_block.block[-1] is graph.steps[2].final_block.block[-1]


def test_latent_bound_is_a_bare_tanh_and_scales_are_gone():
    graph = lower(load_restorer(FULL, "random:1"))
    assert graph.dec.bound.gain == 1.0
    assert graph.noise_gain == 1.0
    assert all(block.scale == 1.0 for rrdb in graph.mmse.lrm for block in rrdb.blocks())
    assert all(rrdb.scale == 1.0 for rrdb in graph.mmse.lrm)


def test_bytes_in_bytes_out_is_the_float_graph_rounded():
    restorer = load_restorer(FULL, "random:1").double()
    graph = lower(restorer, noise="baked:5", io="uint8", layout="NHWC")
    image = (image_of(FULL) * 255).round()
    expected = (trajectory_of(restorer, image / 255).restored * 255).round().to(torch.uint8)
    actual = graph(image.to(torch.uint8).permute(0, 2, 3, 1))
    assert actual.dtype == torch.uint8
    assert torch.equal(actual.permute(0, 3, 1, 2), expected)


def test_noise_as_an_input_in_either_layout():
    restorer = load_restorer(FULL, "random:1").double()
    image = image_of(FULL)
    noise = torch.from_numpy(draw_noise(5, FULL.latent_shape(32, 32))).double()
    expected = trajectory_of(restorer, image).restored
    assert_exact(lower(restorer, noise="input")(image, noise), expected)
    other = lower(restorer, noise="input", layout="NHWC", latent_layout="NHWC")
    assert_exact(other(image.permute(0, 2, 3, 1), noise.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), expected)
    assert_exact(lower(restorer, noise="zero")(image), restorer(image, torch.zeros_like(noise)))


def test_pointwise_norm_is_group_norm():
    restorer, graph = graph_of(FULL)
    expected = trajectory_of(restorer, image_of(FULL)).restored
    set_norm_form(graph, NormForm.POINTWISE)
    assert not any(isinstance(module, nn.GroupNorm) for module in graph.modules())
    assert_exact(graph(image_of(FULL)), expected)


@pytest.mark.parametrize("shape", [(2, 8), (2, 8, 5), (2, 8, 3, 4, 5)])
def test_pointwise_norm_takes_tensors_of_other_ranks(shape):
    """As an estimator of the user's own may give."""
    norm = nn.Sequential(nn.GroupNorm(2, 8)).double()
    nn.init.normal_(norm[0].weight)
    x = torch.rand(shape, dtype=torch.float64)
    expected = norm(x)
    set_norm_form(norm, NormForm.POINTWISE)
    assert_exact(norm(x), expected)


def test_the_smallest_size_may_leave_one_value_a_group():
    spec = dataclasses.replace(
        FULL,
        size=8,
        autoencoder=AutoencoderSpec(latent_channels=4, width=8, levels=3, blocks=1),
        field=FieldSpec(hidden=32, multipliers=(1,), mid_blocks=1, time_features=16),
    )
    assert spec.size_multiple == 8
    restorer = load_restorer(spec, "random:0")
    image = torch.rand(1, 3, 8, 8)
    for norm in ("native", "pointwise"):
        assert torch.allclose(lower(restorer, 8, norm=norm)(image), restorer(image), atol=1e-6)


def test_an_expanded_model_is_collapsed_on_the_way():
    torch.manual_seed(0)
    restorer = Restorer(FULL, expanded=True).double().eval().requires_grad_(False)
    names = []
    graph = lower(restorer, noise="baked:5", on_rewrite=lambda name, graph: names.append(name))
    assert "collapse" in names
    assert_exact(graph(image_of(FULL)), trajectory_of(restorer, image_of(FULL)).restored)


@settings(max_examples=200, deadline=None)
@given(
    cin=st.integers(1, 6),
    middle=st.integers(1, 12),
    cout=st.integers(1, 6),
    stride=st.integers(1, 2),
    bias=st.booleans(),
    side=st.integers(3, 9),
    seed=st.integers(0, 2**31),
)
def test_collapse_equals_the_pair_and_is_idempotent(cin, middle, cout, stride, bias, side, seed):
    torch.manual_seed(seed)
    pair = nn.Sequential(nn.Conv2d(cin, middle, 3, stride, 1, bias=bias), nn.Conv2d(middle, cout, 1, bias=bias))
    holder = nn.ModuleDict({"block": pair.double()}).requires_grad_(False)
    x = torch.randn(2, cin, side, side, dtype=torch.float64)
    expected = pair(x)
    collapse(holder)
    assert len(holder["block"]) == 1
    assert_exact(holder["block"](x), expected)
    before = holder["block"][0]
    collapse(holder)
    assert holder["block"][0] is before


def test_collapse_leaves_other_neighbours_alone():
    sequence = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.GroupNorm(2, 4), nn.Conv2d(4, 4, 1, padding=1)
    )
    holder = nn.ModuleDict({"block": sequence})
    collapse(holder)
    assert len(holder["block"]) == 5


def test_a_model_without_weights_is_lowered():
    """It only moves pixels: they come back as they were."""
    spec = ElirSpec(size=32, steps=0, autoencoder=ShuffleSpec(levels=1), estimator=None, field=None)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for io, pixels in (("float", image), ("uint8", (image * 255).round().to(torch.uint8))):
        assert torch.equal(lower(load_restorer(spec, "random:0"), 32, io=io)(pixels), pixels)
