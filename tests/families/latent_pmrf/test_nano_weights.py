"""The weights of latent-pmrf-nano that come with the package: what they are, what they restore, what bounds them."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from elir_edge import load_restorer
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import load_spec, packaged_file
from elir_edge.imaging.comparison import picture_psnr
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.training.conditions import gaussian
from elir_edge.training.evaluate import restorer_function
from elir_edge.validation.reference import reconstruction_db

NAME = "latent-pmrf-nano"
SIDE = 192


@pytest.fixture(scope="module")
def model() -> Restorer:
    return load_restorer(NAME)


def gain_db(model: Restorer, sigma: float, steps: int) -> float:
    """How much nearer to the original the model brings a noisy photograph, in dB."""
    original = fit_picture(builtin_photograph("chelsea"), SIDE, SIDE)
    degraded = gaussian(sigma).degrade(original, np.random.default_rng(0))
    spec = model.spec
    model.spec = dataclasses.replace(spec, steps=steps)
    restored = restorer_function(model)(degraded)
    model.spec = spec
    return picture_psnr(restored, original) - picture_psnr(degraded, original)


def test_the_file_is_small_half_precision_and_has_its_card():
    family = load_spec(NAME).family
    path = packaged_file(family, "weights", f"{NAME}.safetensors")
    assert path.stat().st_size < 8_000_000
    tensors, expected = load_file(path), Restorer(load_spec(NAME)).state_dict()
    assert {name: value.shape for name, value in tensors.items()} == {n: v.shape for n, v in expected.items()}
    assert all(value.dtype == torch.float16 and torch.isfinite(value).all() for value in tensors.values())
    assert packaged_file(family, "weights", f"{NAME}.md").is_file()


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(("sigma", "gain"), [(25.0, 8.0), (50.0, 10.0)])
def test_noise_is_removed_with_any_number_of_steps(model, sigma, gain, steps):
    assert gain_db(model, sigma, steps) > gain


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee"])
def test_the_autoencoder_alone_loses_little(model, name):
    assert reconstruction_db(model, fit_picture(builtin_photograph(name), SIDE, SIDE)) > 42
