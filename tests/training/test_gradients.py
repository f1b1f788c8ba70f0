"""Which parts of a model each term of an objective moves."""

import pytest
import torch

from elir_edge.families.restorer import Restorer
from elir_edge.training.initial import new_restorer
from elir_edge.training.module import FlowModule
from elir_edge.training.objective import Objective
from elir_edge.training.recipe import Stage
from tests.training.test_train import SPEC


def moved_parts(restorer: Restorer) -> set[str]:
    """The parts with a gradient that is not zero."""
    parts = restorer.named_parameters()
    return {name.split(".")[0] for name, value in parts if value.grad is not None and value.grad.any()}


def gradients(objective: Objective, *, train_decoder: bool = False) -> set[str]:
    """The parts that one step of ``objective`` moves."""
    restorer = new_restorer(SPEC, 0)
    stage = Stage("s", train_decoder=train_decoder, objective=objective)
    module = FlowModule(restorer, restorer.enc, stage, 0)
    module.setup("fit")
    clean = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    terms = module.terms(clean * 0.9, clean)
    torch.stack([weight * value for weight, value in terms.values()]).sum().backward()
    assert all(value.grad is None for value in module.teacher.parameters())
    return moved_parts(restorer)


@pytest.mark.parametrize(
    ("objective", "moved"),
    [
        (Objective(), {"enc", "mmse", "fmir"}),
        (Objective(latent=0.0, coarse=1.0), {"enc", "mmse"}),
        (Objective(latent=0.0, path=1.0), {"enc", "mmse", "fmir"}),
    ],
)
def test_each_objective_moves_the_parts_it_should(objective, moved):
    assert gradients(objective) == moved


def test_the_decoder_moves_only_where_the_stage_says_so():
    assert gradients(Objective(path=1.0), train_decoder=True) == {"enc", "mmse", "fmir", "dec"}


def test_the_flow_terms_do_not_reach_the_estimator():
    restorer = new_restorer(SPEC, 0)
    module = FlowModule(restorer, restorer.enc, Stage("s", objective=Objective(beta=0.1)), 0)
    module.setup("fit")
    clean = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    terms = module.terms(clean * 0.9, clean)
    (terms["flow"][1] + terms["distortion"][1]).backward()
    assert moved_parts(restorer) == {"fmir"}
