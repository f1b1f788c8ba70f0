"""Lightning's trainer: what is refused before anything is done."""

import dataclasses

import pytest

from elir_edge.errors import UsageError
from elir_edge.training.recipe import Stage
from elir_edge.training.trainer import RunOptions, make_trainer
from tests.helpers import refusal


def options(folder, **changes) -> RunOptions:
    plain = RunOptions(folder, precision="32-true", accelerator="cpu", devices=1, progress=False)
    return dataclasses.replace(plain, **changes)


@pytest.mark.parametrize("strategy", ["ddp_fork", "ddp_spawn", "ddp_notebook"])
def test_strategies_that_keep_the_weights_in_their_children_are_refused(strategy, tmp_path):
    """They trained to the end, and published nothing."""
    several = options(tmp_path, devices=2, strategy=strategy)
    refusal(
        UsageError, lambda: make_trainer(Stage("a"), tmp_path, several), f"--strategy {strategy}", "--strategy ddp,"
    )


@pytest.mark.parametrize("changes", [{"devices": "foo"}, {"devices": "0,"}, {"save_minutes": float("inf")}])
def test_what_lightning_cannot_read_is_no_bug(changes, tmp_path):
    refusal(UsageError, lambda: make_trainer(Stage("a"), tmp_path, options(tmp_path, **changes)), "--devices 1")
