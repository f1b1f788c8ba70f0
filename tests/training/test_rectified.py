"""Latent-PMRF's own stages of training: what each moves, a whole run, and first weights from a cosine and from ELIR."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from elir_edge.errors import ConfigError
from elir_edge.families.elir.spec import ElirSpec, ShuffleSpec
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, ResidualSpec, SimVaeSpec, StackedSpec
from elir_edge.families.spec import ModelSpec, load_spec
from elir_edge.families.weights import load_restorer
from elir_edge.imaging.pictures import builtin_photograph
from elir_edge.training.initial import new_restorer
from elir_edge.training.module import AutoencoderModule
from elir_edge.training.objective import Objective
from elir_edge.training.posterior_mean import begin_estimator
from elir_edge.training.recipe import DataRecipe, Recipe, Stage, load_recipe
from elir_edge.training.rectified import PosteriorMeanModule, RectifiedFlowModule
from elir_edge.training.train import train
from elir_edge.validation.reference import to_tensor
from tests.helpers import refusal
from tests.training.test_gradients import moved_parts
from tests.training.test_train import options

SPEC = LatentPmrfSpec(
    name="tiny",
    size=32,
    steps=2,
    estimator=StackedSpec(
        levels=1, networks=(ResidualSpec(widths=(6,), blocks=(1,)), ResidualSpec(widths=(6,), blocks=(1,)))
    ),
    autoencoder=SimVaeSpec(8, (48,), encoder_blocks=1, decoder_blocks=1, mid_blocks=0, patch=4),
    field=ResidualSpec(widths=(8,), blocks=(1,), time_features=8),
)
KINDS = ("autoencoder", "posterior_mean", "rectified_flow")
STAGES = tuple(
    Stage(kind, kind, steps=2, batch=2, crop=16, warm_up=1, objective=Objective(measure="squared")) for kind in KINDS
)


def clean_and_degraded():
    clean = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return clean * 0.9, clean


@pytest.mark.parametrize(
    ("kind", "moved"),
    [
        (AutoencoderModule, {"encoder", "decoder"}),
        (PosteriorMeanModule, {"estimator"}),
        (RectifiedFlowModule, {"field"}),
    ],
)
def test_each_stage_moves_its_own_parts(kind, moved):
    restorer = new_restorer(SPEC, 0)
    module = kind(restorer, STAGES[1], 0)
    module.setup("fit")
    module.log = lambda *_, **__: None
    module.training_step(clean_and_degraded()).backward()
    assert moved_parts(restorer) == moved


def test_a_part_that_is_not_trained_is_used_as_it_is():
    """Dropout and batch norms of the estimator: not even a strategy that calls ``train`` puts them to work."""
    restorer = new_restorer(SPEC, 0)
    module = RectifiedFlowModule(restorer, STAGES[2], 0)
    module.on_train_start()
    assert not restorer.estimator.training
    nn.ModuleList([module]).train()
    assert {name for name, part in restorer.parts.items() if part.training} == {"field"}
    assert module.training and all(part.training for part in restorer.field.modules())
    assert not any(part.training for part in restorer.estimator.modules())


def test_the_path_goes_from_the_noised_posterior_mean_to_the_clean_picture():
    restorer = new_restorer(SPEC, 0)
    module = RectifiedFlowModule(restorer, STAGES[2], 0)
    degraded, clean = clean_and_degraded()
    start, end = module.path_ends(degraded, clean)
    with torch.no_grad():
        assert torch.equal(end, restorer.encoder(clean))
        noise = (start - restorer.encoder(restorer.estimator(degraded).clamp(0, 1))) / SPEC.sigma_s
    assert abs(float(noise.std()) - 1) < 0.2 and abs(float(noise.mean())) < 0.2
    with torch.no_grad():
        for value in restorer.field.parameters():
            value.zero_()
    assert float(module.velocity_error(start, end)) == pytest.approx(float((end - start).square().mean()), rel=1e-5)


def recipe_of(spec: ModelSpec, folder, stages=STAGES) -> Recipe:
    path = folder / "model.yaml"
    path.write_text(spec.to_yaml())
    return Recipe(str(path), "restoration", 3, DataRecipe(tiles=6, side=24), stages)


def test_a_run_goes_through_its_stages_and_gives_weights_that_load(tmp_path):
    (tmp_path / "run").mkdir()
    np.save(tmp_path / "run" / "tiles.npy", np.random.default_rng(0).integers(0, 255, (6, 24, 24, 3), dtype=np.uint8))
    weights = train(recipe_of(SPEC, tmp_path), options(tmp_path / "run"))
    first, last = (load_file(tmp_path / "run" / f"{kind}.safetensors") for kind in KINDS[::2])
    changed = {name.split(".")[0] for name, value in first.items() if not torch.equal(value, last[name])}
    assert changed == {"estimator", "field"}
    assert load_restorer(SPEC, weights)(torch.rand(1, 3, 32, 32)).shape == (1, 3, 32, 32)


def test_what_a_family_or_a_model_lacks_is_refused(tmp_path):
    elir = ElirSpec(size=32, steps=0, sigma_s=0.0, autoencoder=ShuffleSpec(levels=1), estimator=None, field=None)
    with pytest.raises(ConfigError, match="rectified_flow"):
        recipe_of(elir, tmp_path, STAGES[2:])
    with pytest.raises(ConfigError, match="kind 'flow'"):
        recipe_of(SPEC, tmp_path, (Stage("flow", crop=16),))
    bare = new_restorer(dataclasses.replace(SPEC, estimator=None, field=None, steps=0), 0)
    for kind in (PosteriorMeanModule, RectifiedFlowModule):
        with pytest.raises(ConfigError, match="to train"):
            kind(bare, STAGES[1], 0)


def test_a_small_autoencoder_begins_as_a_cosine_transform():
    restorer = new_restorer(load_spec("latent-pmrf-nano"), 0)
    image = to_tensor(builtin_photograph("astronaut")[:128, :128])
    with torch.no_grad():
        latent = restorer.encoder(image)
        error = (restorer.decoder(latent) - image).square().mean()
    assert -10 * torch.log10(error) > 42
    assert 0.5 < latent.square().mean().sqrt() < 2


def test_an_autoencoder_with_as_many_channels_as_pixels_begins_without_loss():
    spec = dataclasses.replace(SPEC, autoencoder=dataclasses.replace(SPEC.autoencoder, latent_channels=48))
    restorer = new_restorer(spec, 0)
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (restorer.decoder(restorer.encoder(image)) - image).abs().max() < 1e-5


def test_the_estimator_begins_as_the_model_that_the_recipe_names():
    recipe = load_recipe("latent-pmrf-nano")
    restorer, nano = new_restorer(recipe.spec, 0, expanded=recipe.expanded), load_restorer(recipe.estimator_from)
    begin_estimator(restorer, recipe.estimator_from)
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert (restorer.estimator(image).clamp(0, 1) - nano(image)).abs().max() < 1e-5


@pytest.mark.parametrize("networks", [1, 2])
def test_an_estimator_of_another_shape_is_refused(networks):
    stack = StackedSpec(levels=1, networks=(ResidualSpec(widths=(6,), blocks=(1,)),) * networks)
    with pytest.raises(ConfigError, match="estimator_from nano"):
        begin_estimator(new_restorer(dataclasses.replace(SPEC, estimator=stack), 0), "nano")


def test_an_expanded_estimator_cannot_begin_as_a_trained_one_and_the_hint_says_what_to_write():
    recipe = load_recipe("latent-pmrf-nano")
    for expanded, said in ((True, "expanded: false"), (False, "widths and blocks")):
        stack = recipe.spec.estimator
        wide = stack if expanded else dataclasses.replace(stack, networks=(SPEC.field,) * len(stack.networks))
        restorer = new_restorer(dataclasses.replace(recipe.spec, estimator=wide), 0, expanded=expanded)
        refusal(ConfigError, lambda restorer=restorer: begin_estimator(restorer, "nano"), "another shape", said)
