"""Estimated errors of tensors, held against each tensor rounded alone."""

import copy
import json

import numpy as np
import pytest
import torch

from elir_edge.cli import run
from elir_edge.core.progress import Silent
from elir_edge.lowering.lower import lower
from elir_edge.quantize.calibration import CalibrationRequest, gather_calibration
from elir_edge.quantize.operators import CONVOLUTIONS, Operators
from elir_edge.quantize.preparation import as_tensors, prepare
from elir_edge.quantize.sensitivity import ACTIVATIONS, WEIGHTS, decibels, estimate_errors
from elir_edge.quantize.simulation import Simulation

SEEDS = 6


@pytest.fixture(scope="module")
def case(light_restorer):
    """(float graph, the same with int8 weights, simulation, inputs)."""
    graph = lower(light_restorer, 64)
    calibration = gather_calibration(CalibrationRequest(count=4), light_restorer.spec, 64, 64)
    feeds = calibration.feeds(graph.form, light_restorer.spec)
    rounded = prepare(graph, feeds, Silent())
    inputs = [as_tensors(feed) for feed in feeds]
    return graph, rounded, Simulation.observe(graph, inputs), inputs


@pytest.fixture(scope="module")
def errors(case):
    """Means over several draws, by (operator, what)."""
    graph, rounded, simulation, inputs = case
    sums: dict = {}
    for seed in range(SEEDS):
        for item in estimate_errors(graph, rounded, simulation, inputs, seed=seed):
            sums[item.index, item.what] = sums.get((item.index, item.what), 0) + item.error / SEEDS
    return sums


def error_of(graph, changed, inputs, visit=None):
    """The mean squared error of ``changed``, with ``visit`` in place of its operators, in units of (1/255)^2."""
    found = []
    for sample in inputs:
        with torch.no_grad(), Operators(visit or (lambda index, func, args, kwargs: func(*args, **kwargs))):
            given = changed.values(*sample)[1]
        with torch.no_grad():
            found.append(float((given - graph.values(*sample)[1]).square().mean()))
    return np.mean(found) * (255 / graph.pixel_gain) ** 2


@pytest.mark.slow
def test_activations_rounded_one_at_a_time_agree(case, errors):
    graph, _, simulation, inputs = case
    activations = {index: error for (index, what), error in errors.items() if what == ACTIVATIONS}
    assert activations.keys() == simulation.ranges.keys() - simulation.rectified
    largest = sorted(activations, key=activations.__getitem__)[-8:]
    for chosen in largest:

        def visit(index, func, args, kwargs, chosen=chosen):
            output = func(*args, **kwargs)
            return simulation.round_output(index, output) if index == chosen else output

        assert activations[chosen] == pytest.approx(error_of(graph, graph, inputs, visit), rel=0.5), chosen


def test_weights_rounded_one_convolution_at_a_time_agree(case, errors):
    graph, rounded, _, inputs = case
    alone = []
    for name, module in graph.named_modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d) and not name.startswith("steps"):
            changed = copy.deepcopy(graph)
            changed.get_submodule(name).load_state_dict(rounded.get_submodule(name).state_dict())
            alone.append(error_of(graph, changed, inputs))
    estimated = [error for (_, what), error in errors.items() if what == WEIGHTS]
    assert len(estimated) > len(alone) > 10
    assert sum(sorted(estimated)[-5:]) == pytest.approx(sum(sorted(alone)[-5:]), rel=0.5)


def test_every_convolution_and_no_other_operator_has_weights(case, errors):
    graph, _, _, inputs = case
    convolutions = set()

    def visit(index, func, args, kwargs):
        if func in CONVOLUTIONS:
            convolutions.add(index)
        return func(*args, **kwargs)

    error_of(graph, graph, inputs[:1], visit)
    assert {index for index, what in errors if what == WEIGHTS} == convolutions


def test_decibels():
    assert decibels(255.0**2) == 0
    assert decibels(0) == np.inf


@pytest.mark.slow
def test_the_command_names_parts_and_modules(capfd):
    assert run(["sensitivity", "-p", "nano", "--size", "32", "--task", "none", "--json"]) == 0
    report = json.loads(capfd.readouterr().out)
    assert report["size"] == [32, 32] and report["pictures"] == 20
    assert {item["part"] for item in report["tensors"]} >= {"coarse estimator", "step 1"}
    assert any(item["module"] == "network.first" and item["what"] == WEIGHTS for item in report["tensors"])
    assert report["together"] == pytest.approx(report["weights_alone"] + report["activations_alone"], rel=0.5)
    assert list(report["by_part"].values()) == sorted(report["by_part"].values(), reverse=True)
    errors = [item["error"] for item in report["tensors"]]
    assert errors == sorted(errors, reverse=True) and errors[0] > 0
