"""Channel equalization: the function stays, the ranges of channels come closer."""

import pytest
import torch

from elir_edge import load_restorer
from elir_edge.families.elir.spec import ElirSpec, ResidualSpec, ShuffleSpec
from elir_edge.lowering.lower import lower
from elir_edge.quantize.equalize import equalize
from tests.tiny import SPEC

RESIDUAL = ElirSpec(
    name="residual",
    size=32,
    steps=2,
    sigma_s=0.0,
    autoencoder=ShuffleSpec(levels=1),
    estimator=ResidualSpec(widths=(8, 12), blocks=(1, 2, 1)),
    field=ResidualSpec(widths=(8,), blocks=(2,), time_features=8),
)


def unequal(graph):
    """Give the first hidden channel of every block a hundredth of its range."""
    for name, value in graph.named_parameters():
        if name.endswith(("conv1.0.weight", "conv1.0.bias")):
            value[0] *= 0.01


@pytest.mark.parametrize("spec", [RESIDUAL, SPEC], ids=["residual networks", "convolutional autoencoder"])
@torch.no_grad()
def test_the_function_and_the_stages_stay(spec):
    graph = lower(load_restorer(spec, "random:1").double(), spec.size)
    image = torch.rand(1, 3, spec.size, spec.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    unequal(graph)
    before, weights = graph(image), [value.clone() for value in graph.parameters()]
    equalize(graph, [{"image": image.numpy()}])
    assert (graph(image) - before).abs().max() <= 1e-10 * before.abs().max()
    assert any((old - new).abs().max() > 1e-3 for old, new in zip(weights, graph.parameters(), strict=True))
