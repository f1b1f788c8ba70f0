"""The weights that come with the package: what they are, and that they restore."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import load_spec
from elir_edge.families.weights import load_restorer
from elir_edge.imaging.noise import draw_noise
from elir_edge.imaging.pictures import builtin_photograph, fit_picture

FOLDER = Path(str(resources.files("elir_edge.families.elir") / "weights"))
SIDE = 256
LIMITS = {"nano": (5e6, 13e9), "small": (15e6, 65e9)}  # bytes of the file, FLOP at 256 x 256


@pytest.fixture(scope="module", params=LIMITS)
def model(request) -> Restorer:
    return load_restorer(request.param)


def psnr(image: np.ndarray, original: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((image.astype(float) - original) ** 2)))


def restoration(model: Restorer, image: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1)[None] / 255)
    noise = torch.from_numpy(draw_noise(0, model.spec.latent_shape(*image.shape[:2])))
    with torch.inference_mode():
        out = model(values, noise)
    return (out[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0.0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", LIMITS)
def test_the_file_is_small_half_precision_collapsed_and_has_its_card(name):
    path = FOLDER / f"{name}.safetensors"
    assert path.stat().st_size <= LIMITS[name][0]
    tensors = load_file(path)
    expected = Restorer(load_spec(name)).state_dict()
    assert {name: value.shape for name, value in tensors.items()} == {n: v.shape for n, v in expected.items()}
    assert all(value.dtype == torch.float16 and torch.isfinite(value).all() for value in tensors.values())
    assert (FOLDER / f"{name}.md").is_file()


def test_a_model_is_trained_and_stays_within_its_arithmetic(model):
    name = model.spec.name
    assert model.trained
    assert model.source.name == f"packaged:{name}"
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 3, SIDE, SIDE))
    assert counter.get_total_flops() <= LIMITS[name][1]


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_strong_noise_is_removed_by_nine_decibels_and_colours_stay(model, name):
    original = fit_picture(builtin_photograph(name), SIDE, SIDE)
    degraded = noisy(original, 50.0)
    picture = restoration(model, degraded)
    assert psnr(picture, original) - psnr(degraded, original) >= 9.0
    assert np.abs((picture.astype(float) - original).mean((0, 1))).max() < 3.0


@pytest.mark.parametrize(("sigma", "gain"), [(5.0, 2.0), (10.0, 4.0), (25.0, 7.0)])
def test_weaker_noise_is_removed_too(model, sigma, gain):
    original = fit_picture(builtin_photograph("chelsea"), SIDE, SIDE)
    degraded = noisy(original, sigma)
    assert psnr(restoration(model, degraded), original) > psnr(degraded, original) + gain


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_clean_picture_comes_back_unharmed(model, name):
    original = fit_picture(builtin_photograph(name), SIDE, SIDE)
    assert psnr(restoration(model, original), original) >= 43.0
