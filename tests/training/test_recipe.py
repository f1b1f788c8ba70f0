"""Recipes: what YAML may say, and the schedule."""

import pytest

from elir_edge.errors import ConfigError, MissingInputError
from elir_edge.training.objective import Objective
from elir_edge.training.recipe import Stage, load_recipe, parse_recipe, recipe_names
from elir_edge.training.run_folder import facts_of
from elir_edge.training.tiles import TileSpec
from tests.helpers import refusal

MINIMAL = """
preset: nano
task: restoration
seed: 1
data: {tiles: 4, side: 32}
stages:
- {name: a, kind: autoencoder, steps: 2, crop: 32}
"""


def test_every_packaged_recipe_is_one():
    assert "nano" in recipe_names()
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.spec.name == recipe.preset


def test_the_schedule_warms_up_holds_and_falls_to_zero():
    stage = Stage("a", steps=100, warm_up=10, decay=0.2)
    assert stage.rate_at(0) == pytest.approx(0.1)
    assert stage.rate_at(9) == stage.rate_at(50) == stage.rate_at(80) == 1.0
    assert stage.rate_at(90) == pytest.approx(0.5)
    assert stage.rate_at(100) == 0.0


def test_without_decay_the_rate_stays():
    stage = Stage("a", steps=100, warm_up=0, decay=0.0)
    assert {stage.rate_at(step) for step in range(100)} == {1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("kind: autoencoder", "kind: autoencodr"), "autoencodr"),
        (("crop: 32", "crop: 40"), "crop 40"),
        (("crop: 32", "crop: 64"), "crop 64"),
        (("steps: 2", "steps: 0"), "steps"),
        (("steps: 2", "steps: two"), r"stages\[0\]\.steps"),
        (("seed: 1", "sed: 1"), "sed"),
        (("seed: 1\n", ""), "seed"),
        (("preset: nano", "preset: nanno"), "nanno"),
        (("task: restoration", "task: restoratoin"), "restoratoin"),
        (("seed: 1", "seed: 1234567890"), "seed 1234567890"),
        (("crop: 32}", "crop: 32, rate: fast}"), r"stages\[0\]\.rate"),
        (("crop: 32}", "crop: 32, objective: {every: 0}}"), "every is 0"),
        (("crop: 32}", "crop: 32, objective: {every: 2}}"), "every is 2"),
        (("crop: 32}", "crop: 32, objective: {latent: 0.0}}"), "nothing to minimize"),
        (("crop: 32}", "crop: 32, objective: {latent: -1.0}}"), "latent -1"),
        (("crop: 32}", "crop: 32, objective: {alpha: .nan}}"), "alpha nan"),
        (("crop: 32}", "crop: 32, objective: {segments: 0}}"), "segments 0"),
        (("crop: 32}", "crop: 32, objective: {dt: 2.0}}"), "dt 2"),
        (("crop: 32}", "crop: 32, objective: {dt: -0.5}}"), "dt -0.5"),
        (("crop: 32}", "crop: 32, objective: {beta: 7.0}}"), "beta 7"),
        (("crop: 32}", "crop: 32, rate: -1.0}"), "rate -1"),
        (("crop: 32}", "crop: 32, rate: .nan}"), "rate nan"),
        (("crop: 32}", "crop: 32, rate: .inf}"), "rate inf"),
        (("crop: 32}", "crop: 32, weight_decay: -1.0}"), "weight_decay -1"),
        (("crop: 32}", "crop: 32, clip: -1.0}"), "clip -1"),
        (("crop: 32}", "crop: 32, latent_noise: .nan}"), "latent_noise nan"),
        (("crop: 32}", "crop: 32, saturation: 0.0}"), "saturation 0"),
        (("name: a", "name: ../a"), "'../a'"),
        (("name: a", "name: /else/a"), "'/else/a'"),
        (("name: a", "name: ''"), "''"),
        (("name: a", "name: Weights"), "'Weights'"),
        (("name: a", "name: tiles.npy"), "'tiles.npy'"),
        (("tiles: 4", "tiles: 0"), "tiles 0"),
        (("tiles: 4", "tiles: -3"), "tiles -3"),
        (("side: 32", "side: 32, procedural: 1.5"), "procedural 1.5"),
    ],
)
def test_mistakes_are_named(change, message):
    with pytest.raises(ConfigError, match=message):
        parse_recipe(MINIMAL.replace(*change))


def test_rates_are_written_as_people_write_them():
    for text in ("1e-3", "1.0e-3", "0.001"):
        assert parse_recipe(MINIMAL.replace("crop: 32}", f"crop: 32, rate: {text}}}")).stages[0].rate == 1e-3


def test_a_posterior_mean_is_one_unless_the_recipe_says_otherwise():
    """The mean absolute error makes the conditional median."""
    assert Stage("a", "posterior_mean").measure == "squared"
    assert Stage("a", "posterior_mean", objective=Objective(measure="absolute")).measure == "absolute"
    assert Stage("a", "flow").measure == "absolute"


def test_to_write_the_default_measure_makes_no_other_run():
    written = parse_recipe(MINIMAL.replace("crop: 32}", "crop: 32, objective: {measure: absolute}}"))
    tiles = TileSpec(count=4, side=32)
    assert facts_of(written, tiles) == facts_of(parse_recipe(MINIMAL), tiles)


def test_stages_need_different_names():
    with pytest.raises(ConfigError, match="different names"):
        parse_recipe(MINIMAL + "- {name: a, steps: 2, crop: 32}\n")


def test_unknown_names_and_missing_files():
    with pytest.raises(ConfigError, match="nanoo"):
        load_recipe("nanoo")
    with pytest.raises(MissingInputError):
        load_recipe("nowhere.yaml")


def test_a_recipe_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("preset: nano # für\n".encode("latin-1"))
    refusal(ConfigError, lambda: load_recipe(str(path)), "latin.yaml", "UTF-8")
