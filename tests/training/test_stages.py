"""Which objectives a model can be trained by: each step needs a term that reaches what the stage trains."""

import dataclasses

import pytest
import torch

from elir_edge.errors import ConfigError
from elir_edge.families.elir.spec import ElirSpec, ResidualSpec, ShuffleSpec
from elir_edge.training.initial import new_restorer
from elir_edge.training.objective import Objective
from elir_edge.training.recipe import Stage
from elir_edge.training.stages import stage_module
from tests.helpers import refusal

NETWORK = ResidualSpec(widths=(4,), blocks=(1,), time_features=8)
ESTIMATOR = ElirSpec(size=32, steps=0, sigma_s=0.0, autoencoder=ShuffleSpec(levels=1), field=None, estimator=NETWORK)
FIELD = dataclasses.replace(ESTIMATOR, steps=1, sigma_s=0.1, estimator=None, field=NETWORK)
OBJECTIVES = [
    Objective(),
    Objective(latent=0.0, path=1.0),
    Objective(every=2, path=1.0),
    Objective(latent=0.0, coarse=1.0),
    Objective(every=2, coarse=1.0),
    Objective(every=2, coarse=1.0, path=1.0),
]


def can_train(spec: ElirSpec, objective: Objective) -> bool:
    """Whether the first two steps have gradients."""
    clean = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    restorer = new_restorer(spec, 0)
    module = stage_module(Stage("s", objective=objective), restorer, None, 0)
    module.setup("fit")
    for step in (0, 1):
        type(module).global_step = step
        torch.stack([weight * value for weight, value in module.terms(clean * 0.9, clean).values()]).sum().backward()
        assert any(value.grad is not None for value in restorer.parameters())
    return True


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("spec", [ESTIMATOR, FIELD], ids=["estimator", "field"])
def test_what_is_not_refused_trains(spec, objective, monkeypatch):
    """A path without a field, and a coarse picture that nothing made, ended as bugs, also in the middle of a stage."""
    monkeypatch.setattr("elir_edge.training.module.FlowModule.global_step", 0, raising=False)
    idle = (objective.path and not objective.coarse) if spec is ESTIMATOR else not objective.path
    if idle and not (objective.latent and objective.every == 1):
        said = "every: 2" if objective.latent else "in every step"
        refusal(ConfigError, lambda: can_train(spec, objective), "stage s", said, "path all of them")
    else:
        assert can_train(spec, objective)
