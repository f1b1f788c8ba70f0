"""A graph in three parts, its step with the time as an input, computes what the unrolled one does."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch

from elir_edge import load_restorer, lower
from elir_edge.artifacts.signature import GraphForm
from elir_edge.artifacts.split import DECODER, ENCODER, NEXT, STEP, times_of
from elir_edge.errors import ConfigError, UsageError
from elir_edge.families.base import IMAGE, RESTORED
from elir_edge.families.networks.build import build_field
from elir_edge.families.networks.specs import ResidualSpec
from elir_edge.families.restorer import Restorer
from elir_edge.families.rewrites.fold_time import fold_time
from elir_edge.imaging.noise import NoiseContract
from elir_edge.lowering.split import lower_split
from tests.families.latent_pmrf.test_rewrites import FULL as LATENT_PMRF
from tests.families.latent_pmrf.test_rewrites import SPECS as LATENT_PMRF_SPECS
from tests.families.toy import Toy, ToySpec
from tests.helpers import refusal
from tests.lowering.test_rewrites import FULL as ELIR
from tests.lowering.test_rewrites import SPECS as ELIR_SPECS

SPECS = {"elir": ELIR, "latent_pmrf": LATENT_PMRF, "residual field": LATENT_PMRF_SPECS["residual field"]}
FORM = GraphForm(32, 32, NoiseContract.parse("zero"))
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
    split = lower_split(load_restorer(ELIR, "random:1"), FORM, "native")
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
    refusal(UsageError, lambda: lower_split(restorer, FORM, "native"), "without steps cannot be split")


@dataclasses.dataclass(frozen=True)
class OtherSpec(ToySpec):
    """Of a family whose field folds times as ours do."""

    @property
    def family(self):
        return Other()


class Other(Toy):
    change = staticmethod(lambda stages: stages)

    def parts(self, spec, *, expanded):
        field = build_field(ResidualSpec(widths=(8,), blocks=(1,), time_features=16), spec.channels, expanded=expanded)
        return super().parts(spec, expanded=expanded) | {"push": field}

    def stages(self, spec, noisy=True):
        return type(self).change(super().stages(spec, noisy))

    def rewrites(self):
        return (fold_time,)


def reading_the_picture(stages):
    def add(run):
        return run.values[IMAGE] + run.model.grow(run.values["state_1"])

    return (*stages[:-1], dataclasses.replace(stages[-1], compute=add))


def from_the_picture(stages):
    return tuple(
        stage if "step" in stage.part or stage.name == RESTORED else dataclasses.replace(stage, compute=None)
        for stage in stages
    )


def test_another_family_is_split():
    split = lower_split(load_restorer(OtherSpec(size=32, steps=2), "random:1"), FORM, "native")
    assert split.parts[DECODER](torch.rand(1, 6, 16, 16))["restored"].shape == (1, 3, 32, 32)


@pytest.mark.parametrize(
    "change, said",
    [(reading_the_picture, "after the steps reads 'image'"), (from_the_picture, "computes nothing before the steps")],
)
def test_families_that_cannot_be_split_are_told_why(change, said, monkeypatch):
    restorer = load_restorer(OtherSpec(size=32, steps=2), "random:1")
    monkeypatch.setattr(Other, "change", staticmethod(change))
    refusal(UsageError, lambda: lower_split(restorer, FORM, "native"), said, "one artifact")


def test_a_family_with_its_own_times_is_not_called_one_without_steps(monkeypatch):
    monkeypatch.setattr(ToySpec, "family", Toy())
    restorer = load_restorer(ToySpec(size=32, steps=2), "random:1")
    error = refusal(UsageError, lambda: lower_split(restorer, FORM, "native"), "'toy' folds times in a way of its own")
    assert "without steps" not in str(error)


def test_a_field_without_blocks_takes_no_time():
    spec = dataclasses.replace(SPECS["residual field"], field=ResidualSpec(widths=(8,), blocks=(0,), time_features=16))
    restorer = load_restorer(spec, "random:1")
    refusal(UsageError, lambda: lower_split(restorer, FORM, "native"), "no block of the field takes the time")


def test_a_last_stage_that_is_not_computed_is_refused(monkeypatch):
    restorer = load_restorer(OtherSpec(size=32, steps=2), "random:1")
    for changed, said in (({"compute": None}, "without a compute"), ({"name": "last"}, "is 'last'")):
        monkeypatch.setattr(
            Other,
            "change",
            staticmethod(lambda stages, by=changed: (*stages[:-1], dataclasses.replace(stages[-1], **by))),
        )
        refusal(ConfigError, lambda: lower(restorer, 32), said, "compute 'restored' last")
