"""elir-edge lower: what each rewrite saved, in the order in which they run."""

import itertools
import json

import pytest

from elir_edge.cli import run
from elir_edge.families.elir.family import FAMILY
from tests.tiny import SPEC


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC.to_yaml())
    return str(path)


def test_explain_lists_every_rewrite_and_none_costs_anything(preset, capfd):
    assert run(["lower", "-p", preset, "--explain", "--json"]) == 0
    costs = json.loads(capfd.readouterr().out)
    names = [cost["rewrite"] for cost in costs]
    assert names == ["unroll", *(rewrite.__name__ for rewrite in FAMILY.rewrites()), "norm form: native"]
    for before, after in itertools.pairwise(costs):
        assert all(after[key] <= before[key] for key in ("ops", "parameters", "gflop")), after
    saved = {after["rewrite"]: before["ops"] - after["ops"] for before, after in itertools.pairwise(costs)}
    assert saved["fold_time"] > saved["fold_projection"] > 0
    assert saved["fold_residual_scale"] == 3
    assert saved["fold_latent_bound"] == 2

    assert run(["lower", "-p", preset, "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == costs[-1:], "without --explain the last one only"


def test_as_a_table_for_people(preset, capfd):
    assert run(["lower", "-p", preset]) == 0
    heading, result = capfd.readouterr().out.splitlines()
    assert heading.split()[:2] == ["rewrite", "ops"]
    assert result.startswith("norm form: native")
