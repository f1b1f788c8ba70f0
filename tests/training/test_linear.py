"""Collapsing while training is the same function with the same gradients as running the two convolutions."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from elir_edge.families.elir.spec import AutoencoderSpec, ElirSpec, EstimatorSpec, FieldSpec
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.collapse import collapse
from elir_edge.training.linear import Collapsed, collapsed_parameters

TINY = ElirSpec(
    size=32,
    autoencoder=AutoencoderSpec(latent_channels=4, width=8, levels=1, blocks=1),
    estimator=EstimatorSpec(hidden=4, blocks=1),
    field=FieldSpec(hidden=32, multipliers=(1, 2), mid_blocks=1, time_features=8),
)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 1000))
def test_function_and_gradients_are_those_of_the_pair(cin, cout, seed):
    torch.manual_seed(seed)
    pair = nn.Sequential(nn.Conv2d(cin, 4 * cout, 3, padding=1), nn.Conv2d(4 * cout, cout, 1), nn.SiLU()).double()
    plain = nn.Sequential(nn.Conv2d(cin, cout, 3, padding=1), nn.SiLU()).double()
    x = torch.randn(2, cin, 5, 6, dtype=torch.float64)
    direct = pair(x).square().sum()
    direct.backward()
    expected = {name: value.grad.clone() for name, value in pair.named_parameters()}
    pair.zero_grad()
    merged = Collapsed(pair, plain)
    through = merged(merged.parameters(), x).square().sum()
    through.backward()
    assert torch.allclose(direct, through, rtol=1e-12)
    for name, value in pair.named_parameters():
        assert torch.allclose(value.grad, expected[name], rtol=1e-9, atol=1e-12), name


def test_names_and_values_are_those_of_the_collapsed_model():
    torch.manual_seed(0)
    expanded = Restorer(TINY, expanded=True).double()
    merged = collapsed_parameters(expanded)
    reference = collapse(expanded).state_dict()
    assert merged.keys() == reference.keys() == Restorer(TINY).state_dict().keys()
    for name, value in merged.items():
        assert torch.allclose(value, reference[name], rtol=1e-10, atol=1e-12), name


def test_collapsing_keeps_the_restored_picture():
    torch.manual_seed(1)
    model = Restorer(TINY, expanded=True).double().eval()
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        before = model.trajectory(image).unclipped_image
        after = collapse(model).trajectory(image).unclipped_image
    assert (before - after).abs().max() < 1e-10
