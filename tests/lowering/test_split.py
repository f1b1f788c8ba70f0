"""A graph in three parts, its step with the time as an input, computes what the unrolled one does."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch

from elir_edge import load_restorer, lower
from elir_edge.artifacts.signature import GraphForm
from elir_edge.artifacts.split import DECODER, ENCODER, NEXT, STEP, times_of
from elir_edge.errors import UsageError
from elir_edge.families.restorer import Restorer
from elir_edge.imaging.noise import NoiseContract
from elir_edge.lowering.split import lower_split
from tests.families.latent_pmrf.test_rewrites import FULL as LATENT_PMRF
from tests.families.latent_pmrf.test_rewrites import SPECS as LATENT_PMRF_SPECS
from tests.helpers import refusal
from tests.lowering.test_rewrites import FULL as ELIR
from tests.lowering.test_rewrites import SPECS as ELIR_SPECS

SPECS = {"elir": ELIR, "latent_pmrf": LATENT_PMRF, "residual field": LATENT_PMRF_SPECS["residual field"]}
EXACT = 1e-6  # shifts are stored as float32


def run_parts(split, steps, image, most):
    table = dict(zip(times_of(most), torch.from_numpy(split.shifts), strict=True))
    *_, z = split.parts[ENCODER](image).values()
    for k in range(steps):
        shifts = table[Fraction(k, steps)][None].double()
        z = split.parts[STEP](z, shifts, torch.full((1, 1, 1, 1), 1 / steps, dtype=torch.float64))[NEXT]
    return split.parts[DECODER](z)["restored"]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("expanded", [False, True], ids=["collapsed", "uncollapsed"])
def test_any_number_of_steps_equals_the_unrolled_graph(name, layout, expanded):
    spec = SPECS[name]
    torch.manual_seed(0)
    restorer = Restorer(spec, expanded=True) if expanded else load_restorer(spec, "random:1")
    restorer = restorer.double().eval().requires_grad_(False)
    form = GraphForm(32, 32, NoiseContract.parse("baked:5"), "float", layout, layout)
    split = lower_split(restorer, form, "pointwise")
    assert restorer.spec == spec
    image = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    image = image.permute(0, 2, 3, 1) if layout == "NHWC" else image
    for steps in range(1, spec.steps + 1):
        restorer.spec = dataclasses.replace(spec, steps=steps)
        expected = lower(restorer, 32, "baked:5", layout=layout, latent_layout=layout)(image)
        actual = run_parts(split, steps, image, spec.steps)
        assert (actual - expected).abs().max() <= EXACT * expected.abs().max(), steps


def test_every_time_has_one_row():
    assert times_of(3) == [Fraction(0), Fraction(1, 3), Fraction(1, 2), Fraction(2, 3)]
    split = lower_split(load_restorer(ELIR, "random:1"), GraphForm(32, 32, NoiseContract.parse("zero")), "native")
    assert split.shifts.shape == (4, split.parts[STEP].inputs()[1].shape[1])
    assert split.shifts.dtype == np.float32
    assert np.ptp(split.shifts, 0).max() > 0


def test_parts_hold_each_weight_once():
    restorer = load_restorer(ELIR, "random:1")
    split = lower_split(restorer, GraphForm(32, 32, NoiseContract.parse("baked:0")), "native")
    counts = [sum(p.numel() for p in part.parameters()) for part in split.parts.values()]
    whole = lower(restorer, 32)
    assert all(counts)
    assert sum(counts) <= whole.parameter_count()


def test_a_model_without_steps_is_refused():
    restorer = load_restorer(ELIR_SPECS["no field"], "random:1")
    refusal(
        UsageError, lambda: lower_split(restorer, GraphForm(32, 32, NoiseContract.parse("zero")), "native"), "split"
    )
