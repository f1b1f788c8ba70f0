"""Budgets of tuning are positive numbers."""

import math

import pytest

from elir_edge.cli import run
from elir_edge.errors import UsageError
from elir_edge.quantize.tune import TuneBudget
from tests.helpers import refusal


@pytest.mark.parametrize("minutes", ["inf", "nan", "0"])
def test_the_command_refuses_them_before_any_model_is_loaded(minutes, capfd):
    assert run(["export", "--preset", "no-model", "--precision", "int8", "--tune", minutes]) == 2
    assert "is not a positive number of minutes" in capfd.readouterr().err


@pytest.mark.parametrize("minutes", [math.inf, math.nan, 0.0, -1.0])
def test_minutes_of_tuning_are_a_positive_number(minutes):
    refusal(UsageError, lambda: TuneBudget(minutes), "minutes", "--tune")


@pytest.mark.parametrize("steps", [0, -3])
def test_steps_of_tuning_are_a_positive_number(steps):
    refusal(UsageError, lambda: TuneBudget(steps=steps), "steps", "--tune-steps")
