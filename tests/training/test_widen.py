"""A wider model begins with the function of the narrower one."""

import dataclasses

import pytest
import torch

from elir_edge.errors import ConfigError
from elir_edge.families.weights import load_restorer
from elir_edge.training.initial import new_restorer
from elir_edge.training.recipe import load_recipe
from elir_edge.training.widen import begin_wider
from tests.helpers import refusal


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("small")


@pytest.fixture(scope="module")
def image():
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def wider(recipe):
    restorer = new_restorer(recipe.spec, recipe.seed, expanded=recipe.expanded)
    begin_wider(restorer, recipe.begin_wider)
    return restorer


@torch.no_grad()
def test_it_begins_with_the_function_of_the_narrower_model(recipe, image):
    restorer, nano = wider(recipe), load_restorer(recipe.begin_wider)
    assert (restorer(image) - nano(image)).abs().max() < 1e-5
    assert sum(value.numel() for value in restorer.parameters()) > 4 * sum(value.numel() for value in nano.parameters())


def test_new_channels_learn_and_are_learned_from(recipe, image):
    """New channels that neither read nor are read have gradients of 0 for ever."""
    restorer, nano = wider(recipe), dict(load_restorer(recipe.begin_wider).named_parameters())
    optimizer = torch.optim.SGD(restorer.parameters(), lr=1e-2)
    for _ in range(2):  # the first step opens the way from the new channels to the trained ones
        optimizer.zero_grad()
        (restorer(image) - 0.5).square().mean().backward()
        optimizer.step()
    kernels = {name: value for name, value in restorer.named_parameters() if value.dim() == 4}
    for name, value in kernels.items():
        for axis, trained in enumerate(nano[name].shape[:2]):
            new = value.grad.narrow(axis, trained, value.shape[axis] - trained)
            assert new.numel() == 0 or new.any(), (name, axis)


@pytest.mark.parametrize("change", ["blocks", "widths", "time_features", "none"])
def test_other_forms_are_refused_and_the_hint_says_which_fit(change, recipe):
    estimator, field = recipe.spec.estimator, recipe.spec.field
    specs = {
        "blocks": {"estimator": dataclasses.replace(estimator, blocks=(3, 4, 5, 4, 3))},
        "widths": {"estimator": dataclasses.replace(estimator, widths=(31, 64, 96))},
        "time_features": {"field": dataclasses.replace(field, time_features=8)},
        "none": {"estimator": None},
    }
    restorer = new_restorer(dataclasses.replace(recipe.spec, **specs[change]), 0, expanded=False)
    refusal(ConfigError, lambda: begin_wider(restorer, "nano"), "begin_wider nano", "as many blocks")


def test_expanded_blocks_are_refused(recipe):
    restorer = new_restorer(recipe.spec, 0, expanded=True)
    refusal(ConfigError, lambda: begin_wider(restorer, "nano"), "begin_wider nano", "expanded: false")
