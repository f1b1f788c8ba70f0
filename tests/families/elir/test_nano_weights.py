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


@pytest.fixture(scope="module")
def nano() -> Restorer:
    return load_restorer("nano")


def psnr(image: np.ndarray, original: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((image.astype(float) - original) ** 2)))


def restoration(nano: Restorer, image: np.ndarray) -> np.ndarray:
    values = torch.from_numpy(image.astype(np.float32).transpose(2, 0, 1)[None] / 255)
    noise = torch.from_numpy(draw_noise(0, nano.spec.latent_shape(*image.shape[:2])))
    with torch.inference_mode():
        out = nano(values, noise)
    return (out[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)


def noisy(image: np.ndarray, sigma: float) -> np.ndarray:
    noise = np.random.default_rng(7).normal(0.0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def test_the_file_is_small_half_precision_collapsed_and_has_its_card():
    path = FOLDER / "nano.safetensors"
    assert path.stat().st_size <= 5_000_000
    tensors = load_file(path)
    expected = Restorer(load_spec("nano")).state_dict()
    assert {name: value.shape for name, value in tensors.items()} == {n: v.shape for n, v in expected.items()}
    assert all(value.dtype == torch.float16 and torch.isfinite(value).all() for value in tensors.values())
    assert (FOLDER / "nano.md").is_file()


def test_the_default_model_is_trained_and_stays_within_its_arithmetic(nano):
    assert nano.trained
    assert nano.source.name == "packaged:nano"
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        nano(torch.zeros(1, 3, SIDE, SIDE))
    assert counter.get_total_flops() <= 13.0e9


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_strong_noise_is_removed_by_nine_decibels_and_colours_stay(nano, name):
    original = fit_picture(builtin_photograph(name), SIDE, SIDE)
    degraded = noisy(original, 50.0)
    picture = restoration(nano, degraded)
    assert psnr(picture, original) - psnr(degraded, original) >= 9.0
    assert np.abs((picture.astype(float) - original).mean((0, 1))).max() < 3.0


@pytest.mark.parametrize(("sigma", "gain"), [(5.0, 2.0), (10.0, 4.0), (25.0, 7.0)])
def test_weaker_noise_is_removed_too(nano, sigma, gain):
    original = fit_picture(builtin_photograph("chelsea"), SIDE, SIDE)
    degraded = noisy(original, sigma)
    assert psnr(restoration(nano, degraded), original) > psnr(degraded, original) + gain


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_clean_picture_comes_back_unharmed(nano, name):
    original = fit_picture(builtin_photograph(name), SIDE, SIDE)
    assert psnr(restoration(nano, original), original) >= 43.0
