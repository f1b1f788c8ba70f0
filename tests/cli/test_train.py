"""elir-edge train: a tiny recipe through the command, and what it refuses."""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner
from lightning.pytorch.strategies import DDPStrategy
from safetensors.numpy import load_file

from elir_edge.cli.train import command
from elir_edge.errors import ConfigError, MissingInputError, OutputError, UsageError
from elir_edge.training.recipe import Stage
from elir_edge.training.trainer import RunOptions, make_trainer
from tests.helpers import run_process

SPEC = """
size: 32
steps: 1
autoencoder: {latent_channels: 4, width: 8, levels: 1, blocks: 1}
estimator: {hidden: 4, blocks: 1}
field: {hidden: 32, multipliers: [1, 2], mid_blocks: 1, time_features: 8}
"""
RECIPE = """
preset: SPEC
task: restoration
seed: 1
data: {tiles: 4, side: 16}
stages:
- {name: autoencoder, kind: autoencoder, steps: 2, batch: 1, crop: 16}
- {name: flow, steps: 2, batch: 1, crop: 16}
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("SPEC", str(tmp_path / "spec.yaml")))
    (tmp_path / "run").mkdir()
    np.save(tmp_path / "run" / "tiles.npy", np.random.default_rng(0).integers(0, 255, (4, 16, 16, 3), dtype=np.uint8))
    return tmp_path / "recipe.yaml"


def run(*arguments):
    common = ["--accelerator", "cpu", "--devices", 1, "--precision", "32-true", "--quiet"]
    return CliRunner().invoke(command, [str(argument) for argument in (*common, *arguments)])


def test_a_recipe_gives_weights_and_a_second_run_has_nothing_left_to_do(recipe, tmp_path):
    result = run("--recipe", recipe, "-o", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.exception
    weights = json.loads(result.stdout)["weights"]
    before = load_file(weights)
    stage = (tmp_path / "run" / "flow.safetensors").stat().st_mtime_ns
    again = run("--recipe", recipe, "-o", tmp_path / "run")
    assert again.exit_code == 0 and "--task restoration" in again.stdout
    assert (tmp_path / "run" / "flow.safetensors").stat().st_mtime_ns == stage
    assert all(np.array_equal(value, before[name]) for name, value in load_file(weights).items())


@pytest.mark.slow
def test_several_devices(recipe, tmp_path):
    """Lightning starts a process of its own for the second one; its result is that of both."""
    common = ("--accelerator", "cpu", "--devices", "2", "--strategy", "ddp", "--precision", "32-true", "--quiet")
    outcome = run_process("train", "--recipe", recipe, "-o", tmp_path / "run", "--json", *common)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["weights"] == str(tmp_path / "run" / "weights.safetensors")
    assert (tmp_path / "run" / "flow.safetensors").is_file()


def test_steps_without_the_latent_terms_are_allowed_for_on_several_devices(tmp_path):
    """They leave the field without gradients, which DDP takes for a mistake unless it is told."""
    several = RunOptions(tmp_path, precision="32-true", accelerator="cpu", devices=2, progress=False)
    for options in (several, dataclasses.replace(several, strategy="ddp")):
        assert make_trainer(Stage("a"), tmp_path, options).strategy._ddp_kwargs["find_unused_parameters"]
    given = dataclasses.replace(several, strategy="ddp_find_unused_parameters_false")
    assert not make_trainer(Stage("a"), tmp_path, given).strategy._ddp_kwargs["find_unused_parameters"]
    alone = make_trainer(Stage("a"), tmp_path, dataclasses.replace(several, devices=1))
    assert not isinstance(alone.strategy, DDPStrategy)


def test_the_bar_leaves_stdout_to_the_result(recipe, tmp_path):
    common = ("--accelerator", "cpu", "--devices", "1", "--precision", "32-true", "--json")
    result = CliRunner().invoke(command, [*common, "--recipe", str(recipe), "-o", str(tmp_path / "run")])
    assert result.exit_code == 0, result.exception
    assert json.loads(result.stdout)["weights"] and "Epoch" in result.stderr


@pytest.mark.parametrize("minutes", ["nan", "inf", "-1"])
def test_times_that_are_none_are_refused(minutes, recipe, tmp_path):
    result = run("--recipe", recipe, "-o", tmp_path / "new", "--save-minutes", minutes)
    assert result.exit_code == 2 and "--save-minutes" in result.stderr
    assert not (tmp_path / "new").exists()


def test_refusals(recipe, tmp_path):
    assert isinstance(run("--recipe", "nnano").exception, ConfigError)
    assert isinstance(run("--recipe", tmp_path / "none.yaml").exception, MissingInputError)
    assert isinstance(run("--recipe", recipe, "--any-photographs").exception, UsageError)
    assert isinstance(run("--recipe", recipe, "-o", recipe / "in a file").exception, OutputError)
    assert isinstance(run("--recipe", recipe, "-o", tmp_path / "run", "--accelerator", "abacus").exception, UsageError)
    nowhere = run("--recipe", recipe, "-o", tmp_path / "new", "--photographs", tmp_path / "none")
    assert isinstance(nowhere.exception, MissingInputError)
