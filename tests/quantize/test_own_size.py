"""Estimators of the user's own that take one size or one picture only."""

import dataclasses

import pytest
import torch
from torch import nn

from elir_edge import load_restorer
from elir_edge.core.progress import Silent
from elir_edge.errors import ConfigError
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, ModuleSpec, SimVaeSpec
from elir_edge.lowering.lower import lower
from elir_edge.quantize.calibration import CalibrationRequest, gather_calibration
from elir_edge.quantize.preparation import lower_within, prepare_and_tune, why_no_batch
from elir_edge.quantize.sensitivity import measure_sensitivity
from elir_edge.quantize.tune import TuneBudget
from tests.helpers import refusal

SIDE = 32
AUTOENCODER = SimVaeSpec(4, widths=(8,), encoder_blocks=0, decoder_blocks=0, mid_blocks=0, patch=2)


class Masked(nn.Module):
    """Bound to one picture of the spec's size by a mask, which goes beside the picture."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((1, 1, SIDE, SIDE), 0.5))
        self.conv = nn.Conv2d(4, 3, 3, padding=1)

    def forward(self, image):
        return image + self.conv(torch.cat([image, self.mask], 1))


class Free(nn.Conv2d):
    """Takes any size and any number of pictures."""

    def __init__(self):
        super().__init__(3, 3, 3, padding=1)


def restorer_with(network):
    estimator = ModuleSpec(path=f"{__name__}:{network}", stride=2)
    spec = LatentPmrfSpec(name="own", size=SIDE, steps=0, estimator=estimator, field=None, autoencoder=AUTOENCODER)
    return load_restorer(spec, "random:0")


def test_the_spec_s_own_size_is_taken_where_a_network_takes_no_other():
    masked, free = restorer_with("Masked"), restorer_with("Free")
    assert lower_within(masked, 16).form.height == SIDE
    assert lower_within(free, 16).form.height == 16
    assert lower_within(free, 128).form.height == SIDE
    refusal(ConfigError, lambda: lower_within(masked, 16, 16), "16 x 16", "RuntimeError", f"--size {SIDE}")


def test_sensitivity_of_a_network_of_one_size(monkeypatch):
    monkeypatch.setattr("elir_edge.quantize.sensitivity.SIZE", 16)
    assert measure_sensitivity(restorer_with("Masked"), CalibrationRequest(count=4), Silent()).size == (SIDE, SIDE)


def test_tuning_of_a_network_of_one_picture_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr("elir_edge.quantize.preparation.prepare", pytest.fail)
    masked = restorer_with("Masked")
    graph, calibration = lower(masked), gather_calibration(CalibrationRequest(count=4), masked.spec, SIDE, SIDE)
    budget = TuneBudget(steps=1)
    refusal(
        ConfigError,
        lambda: prepare_and_tune(graph, masked, calibration, budget, Silent()),
        f"4 crops of {SIDE} x {SIDE} pixels",
        "--tune",
    )


def test_networks_of_the_package_are_not_tried():
    graph = lower(restorer_with("Masked"))
    assert why_no_batch(graph) is None and why_no_batch(graph, 2) is not None
    graph.spec = dataclasses.replace(graph.spec, estimator=None)
    assert why_no_batch(graph, 2) is None
