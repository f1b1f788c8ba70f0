"""elir-edge inspect of presets: what a model costs, told before any export; and fit of what it does not read."""

import json

import pytest

from elir_edge.cli import run
from elir_edge.families.elir.spec import ElirSpec
from elir_edge.families.latent_pmrf.spec import LatentPmrfSpec, SimVaeSpec
from elir_edge.families.spec import load_spec
from elir_edge.families.weights import load_restorer
from elir_edge.lowering.cost import cost_of
from elir_edge.lowering.lower import lower, measure
from tests.tiny import SPEC

PUBLISHED_GFLOP = 808  # Sim-VAE, encoder and decoder, a picture of 256 x 256


def test_the_arithmetic_is_the_published_one():
    spec = LatentPmrfSpec(name="vae", size=256, steps=0, estimator=None, field=None, autoencoder=SimVaeSpec())
    cost = cost_of(spec)
    assert round(cost.gflop) == PUBLISHED_GFLOP
    assert {name: round(count / 1e6, 1) for name, count in cost.parts.items()} == {"encoder": 40.0, "decoder": 50.8}
    assert round(cost_of(spec, (512, 256)).gflop / cost.gflop, 3) == 2


def test_it_is_that_of_the_lowered_graph():
    told, lowered = cost_of(SPEC), measure("lowered", lower(load_restorer(SPEC)))
    assert told.gflop == pytest.approx(lowered.gflop, rel=0.03)
    assert told.parameters == sum(value.numel() for value in load_restorer(SPEC).parameters())
    assert told.megabytes("fp32") == pytest.approx(4e-6 * told.parameters)


@pytest.mark.parametrize("preset", [pytest.param("latent-pmrf", marks=pytest.mark.slow), "latent-pmrf-nano"])
def test_presets(preset, capfd):
    spec = load_spec(preset)
    assert run(["inspect", preset]) == 0
    shown = capfd.readouterr().out
    for text in (*("estimator", "encoder", "field", "decoder"), "GFLOP", f"{spec.size} x {spec.size}", "fp32 about"):
        assert text in shown
    assert run(["inspect", preset, "--size", "64", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["size"] == [64, 64]
    assert told["spec"] == spec.to_dict()
    assert told["parameters"] == sum(told["parts"].values()) > 1e6


def test_a_file_of_a_model(tmp_path, capfd):
    (tmp_path / "mine.yaml").write_text(ElirSpec(name="mine", size=64).to_yaml())
    assert run(["inspect", str(tmp_path / "mine.yaml")]) == 0
    assert "mine" in capfd.readouterr().out


def test_the_size_of_an_artifact_is_its_own(tmp_path, capfd):
    (tmp_path / "a.onnx").write_bytes(b"text")
    assert run(["inspect", str(tmp_path / "a.onnx"), "--size", "64"]) == 2
    assert "its own size" in capfd.readouterr().err


def test_fit_says_that_it_reads_no_split_artifact(tmp_path, capfd):
    (tmp_path / "nano.split").mkdir()
    assert run(["fit", str(tmp_path / "nano.split"), "--for", "htp-v75"]) == 2
    said = capfd.readouterr().err
    assert ".tflite, .onnx, .xml" in said and "one file" in said and "there is no preset" not in said
