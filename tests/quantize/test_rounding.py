"""Error-compensated rounding of weights, and its patches of the inputs."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from elir_edge.core.progress import Silent
from elir_edge.lowering.lower import lower
from elir_edge.quantize.operators import Convolution, Operators
from elir_edge.quantize.rounding import Moments, _matrices, _weight, input_patches, round_matrix, round_weights


def grid_steps(rounded, weight):
    """Weights in units of their row's step; whole numbers where they lie on the grid."""
    return rounded.double() / (weight.double().abs().amax(1, keepdim=True) / 127)


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 300))
def test_result_lies_on_the_grid_and_keeps_each_rows_largest(seed, rows, columns):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator)
    inputs = torch.randn(64, columns, generator=generator)
    rounded = round_matrix(weight, inputs.T @ inputs / 64)
    steps = grid_steps(rounded, weight)
    assert (steps - steps.round()).abs().max() < 1e-3 and steps.abs().max() <= 127 + 1e-3
    assert torch.allclose(rounded.abs().amax(1), weight.abs().amax(1), rtol=1e-6)


@given(st.integers(0, 10_000))
def test_a_rounded_matrix_is_not_moved_again_where_inputs_are_independent(seed):
    weight = torch.randn(6, 40, generator=torch.Generator().manual_seed(seed))
    once = round_matrix(weight, torch.eye(40))
    assert torch.allclose(round_matrix(once, torch.eye(40)), once, atol=1e-6)


def test_it_loses_less_than_plain_rounding_where_inputs_depend_on_each_other():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(16, 72, generator=generator)
    inputs = torch.randn(4000, 8, generator=generator) @ torch.randn(8, 72, generator=generator) + 1.0
    step = weight.abs().amax(1, keepdim=True) / 127
    plain = (weight / step).round() * step
    kept = round_matrix(weight, inputs.T @ inputs / len(inputs))
    error = [float((inputs @ (one - weight).T).square().mean()) for one in (plain, kept)]
    assert error[1] < error[0] / 4


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 5, 3, padding=1),
        nn.Conv2d(3, 5, 3, stride=2, padding=1),
        nn.Conv2d(4, 2, 1),
        nn.ConvTranspose2d(3, 4, 4, stride=2, padding=1),
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.Conv2d(6, 4, 3, padding=1, groups=2),
        nn.Conv2d(3, 5, 3, padding=2, dilation=2),
        nn.Conv2d(3, 5, (1, 4), padding="same"),
        nn.Conv2d(3, 5, (3, 1), stride=(1, 2), padding=(1, 0), dilation=(2, 1)),
        nn.Conv2d(3, 5, 3, padding="valid"),
        nn.ConvTranspose2d(4, 6, 4, stride=2, padding=1, groups=2),
        nn.ConvTranspose2d(3, 4, 3, stride=(2, 3), padding=(1, 0), dilation=2),
    ],
    ids=str,
)
def test_patches_times_kernel_are_values_of_the_output(layer):
    """Every patch gives one output pixel: with all patches of a constant kernel row, the same values come out."""
    image = torch.randn(1, layer.in_channels, 7, 9, generator=torch.Generator().manual_seed(1))
    calls = []

    def visit(index, func, args, kwargs):
        calls.append(Convolution(func, args, kwargs))
        return func(*args, **kwargs)

    with torch.no_grad(), Operators(visit):
        output = layer(image)
    [call] = calls
    patches = input_patches(call, np.random.default_rng(0), 2000)
    weight = layer.weight.detach()
    matrices = _matrices(Moments(weight, call.output_axis, patches, 2000))
    seen = torch.cat([one @ matrix.T for one, matrix in zip(patches, matrices, strict=True)], 1) + layer.bias.detach()
    distances = torch.cdist(
        seen, output.flatten(2)[0].T.contiguous(), compute_mode="donot_use_mm_for_euclid_dist"
    ).amin(1)
    assert distances.max() < 1e-4
    different = [len(torch.unique(values.round(decimals=4))) for values in (seen[:, 0], output[0, 0])]
    assert different[0] > 0.9 * different[1]
    assert torch.equal(_weight(Moments(weight, call.output_axis, patches, 2000), matrices), weight)
    with torch.no_grad():
        assert torch.equal(call.run(weight), output)


def test_graphs_stay_shared_and_lie_on_the_grid(tiny_restorer):
    graph = lower(tiny_restorer)
    images = torch.rand(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    before, stored = graph(images[0]), graph.parameter_count()
    kernel = graph.fields()[0].residual_blocks()[0].block1.conv.weight.detach().clone()
    round_weights(graph, [(image,) for image in images], Silent())
    first, second = (field.residual_blocks()[0].block1.conv.weight for field in graph.fields())
    assert first is second and graph.parameter_count() == stored
    steps = grid_steps(first.flatten(1), kernel.flatten(1))
    assert (steps - steps.round()).abs().max() < 1e-3
    assert not torch.equal(first, kernel)
    assert functional.mse_loss(graph(images[0]), before) < 1e-4
