"""The autoencoder's own reconstruction bounds the fidelity: measured at export, shown by inspect."""

import dataclasses

import numpy as np
import pytest
import torch

from elir_edge import load_restorer
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, SimVaeSpec
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.pipeline.judge import with_bound
from elir_edge.validation.reference import reconstruction_db
from tests.helpers import manifest_without_files

SPEC = LatentPmrfSpec(
    name="vae", size=64, steps=0, estimator=None, field=None, autoencoder=SimVaeSpec(3, (3,), 0, 0, 0, scale=0.5)
)


def copying(gain):
    """Weights of an autoencoder without levels that hands pixels on, times ``gain``."""
    names = load_restorer(SPEC, "random:0").state_dict()
    weights = {name: torch.zeros_like(value) for name, value in names.items()}
    for name in ("encoder.conv_in", "encoder.conv_out", "decoder.conv_in", "decoder.conv_out"):
        for i in range(3):
            weights[f"{name}.weight"][i, i, 1, 1] = gain if name == "decoder.conv_out" else 1.0
    return load_restorer(SPEC, weights)


def test_it_is_the_error_of_encoder_and_decoder_alone():
    pixels = fit_picture(builtin_photograph("astronaut"), 64, 64)
    centred = (pixels / 255 - 0.5) * 0.5 + 0.5
    error = np.mean(np.square(np.rint(centred * 255) / 255 - pixels / 255))
    assert reconstruction_db(copying(1.0), pixels) > 100
    assert reconstruction_db(copying(0.5), pixels) == pytest.approx(-10 * np.log10(error), abs=0.05)


def test_manifests_have_it_for_trained_weights_of_families_that_are_bound(tiny_restorer):
    manifest = dataclasses.replace(manifest_without_files(), parity={"psnr_db": 90.0})
    bound = with_bound(manifest, copying(0.5)).parity
    assert set(bound) == {"psnr_db", "autoencoder_db"}
    assert 10 < bound["autoencoder_db"] < 40
    assert with_bound(manifest, load_restorer(SPEC, "random:0")) == manifest
    elir = load_restorer(tiny_restorer.spec, tiny_restorer.state_dict())
    assert with_bound(manifest, elir) == manifest
