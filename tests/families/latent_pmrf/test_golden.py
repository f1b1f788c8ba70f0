"""Sim-VAE against the outputs of its reference implementation, eager and lowered, and the published names."""

import dataclasses

import numpy as np
import pytest
import torch

from elir_edge import load_restorer, lower
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, SimVaeSpec
from elir_edge.families.restorer import Restorer
from elir_edge.families.spec import load_spec
from tests.stand_in_weights import DATA, layout, stand_in_state

TOLERANCE = 1e-5
SPEC = LatentPmrfSpec(name="sim-vae", size=32, steps=0, estimator=None, field=None, autoencoder=SimVaeSpec())
MILLIONS = {"encoder": 40.0, "decoder": 50.8}
GFLOP = 808


def assert_close(actual, expected, what):
    assert actual.shape == expected.shape, what
    assert np.abs(actual.numpy() - expected).max() <= TOLERANCE * np.abs(expected).max(), what


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(DATA / "sim_vae_c16.npz"))


@pytest.fixture(scope="module")
def autoencoder():
    return load_restorer(SPEC, stand_in_state("sim_vae_c16"))


@pytest.mark.slow
def test_eager_model_reproduces_every_stage(autoencoder, golden):
    actual = autoencoder.trajectory(torch.from_numpy(golden["image"]))
    assert_close(actual.encoded, golden["latent_mean"], "latent_mean")
    assert_close(2 * actual.unclipped_image - 1, golden["decoded"], "decoded")


@pytest.mark.parametrize("norm", ["native", "pointwise"])
def test_lowered_model_reproduces_every_stage(autoencoder, golden, norm):
    graph = lower(autoencoder, golden["image"].shape[2:], norm=norm)
    values, decoded = graph.values(torch.from_numpy(golden["image"]))
    assert_close(values["encoded"], golden["latent_mean"], "latent_mean")
    assert_close(2 * decoded - 1, golden["decoded"], "decoded")


@pytest.mark.slow
def test_latent_has_the_shift_and_scale_of_the_specification(autoencoder, golden):
    moved = dataclasses.replace(SPEC, autoencoder=SimVaeSpec(shift=0.25, scale=0.5))
    actual = load_restorer(moved, stand_in_state("sim_vae_c16")).trajectory(torch.from_numpy(golden["image"]))
    assert_close(actual.encoded, (golden["latent_mean"] - 0.25) * 0.5, "encoded")
    assert_close(2 * actual.unclipped_image - 1, golden["decoded"], "decoded")


@pytest.mark.parametrize("channels", [16, 32])
def test_names_and_shapes_are_those_of_the_published_files(channels):
    with torch.device("meta"):
        restorer = Restorer(dataclasses.replace(SPEC, autoencoder=SimVaeSpec(latent_channels=channels)))
    assert {key: tuple(value.shape) for key, value in restorer.state_dict().items()} == layout(f"sim_vae_c{channels}")


def test_parameters_and_arithmetic_are_the_published_ones():
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        restorer = Restorer(SPEC)
    for name, millions in MILLIONS.items():
        assert round(sum(p.numel() for p in getattr(restorer, name).parameters()) / 1e6, 1) == millions
    with FlopCounterMode(display=False) as flops:
        restorer(torch.empty(1, 3, 256, 256, device="meta"))
    assert round(flops.get_total_flops() / 1e9) == GFLOP


def test_the_preset_has_the_published_autoencoder():
    spec = load_spec("latent-pmrf")
    assert (spec.size, spec.steps, spec.sigma_s) == (512, 25, 0.1)
    assert spec.autoencoder == SimVaeSpec(latent_channels=32)
