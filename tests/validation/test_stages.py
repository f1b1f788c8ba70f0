"""Drift by stage: graphs that start at a stage, own and inherited errors, and the part where the drift began."""

import dataclasses
import json

import numpy as np
import pytest

from elir_edge import load_restorer, open_session
from elir_edge.errors import DataError, UnavailableError
from elir_edge.imaging.noise import NoiseContract
from elir_edge.imaging.pictures import builtin_photograph, fit_picture, write_picture
from elir_edge.runtime.backend import backends_for
from elir_edge.runtime.restore import noise_feeds
from elir_edge.validation.reference import picture_of, reference_trajectory, stages_of
from elir_edge.validation.result import Validation
from elir_edge.validation.stages import StageError, snr_db, weakest
from elir_edge.validation.trials import gather_judges, gather_pictures
from elir_edge.validation.validate import validate
from tests.tiny import LIGHT

slow = pytest.mark.slow
PARTS = ["encoder", "coarse estimator", "noise", "step 1", "step 2", "decoder"]


@pytest.fixture(scope="module", params=["onnx", "openvino", "tflite"])
def artifact(request, light_artifact):
    return light_artifact(request.param, noise="input")


@pytest.fixture(scope="module")
def integer(light_artifact):
    return {target: light_artifact(target, "int8") for target in ("tflite", "onnx")}


def in_graph(latent, stage):
    values = latent * np.float32(stage.gain)
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1) if stage.layout == "NHWC" else values)


def test_decibels_of_known_errors():
    signal = np.full((1, 2, 4, 4), 2.0, np.float32)
    assert snr_db(signal + np.float32(0.2), signal) == pytest.approx(20, abs=1e-4)
    assert snr_db(signal, signal) == 200
    assert snr_db(signal * np.nan, signal) == snr_db(signal[..., :2], signal) == -np.inf


def test_the_part_that_costs_the_picture_most_is_named():
    errors = (StageError("encoded", "encoder", 30, 30, 0.2), StageError("state_1", "step 1", 29, 40, 0.8))
    assert weakest(errors).part == "step 1"
    assert weakest((StageError("encoded", "encoder", 30.0),)) is None
    assert weakest(()) is None


def test_a_runtime_that_cannot_start_at_a_stage_says_so(tmp_path):
    path = tmp_path / "x.pte"
    path.write_bytes(b"")
    with pytest.raises(UnavailableError, match="cannot start at a stage"):
        open_session(path, "executorch", entry="coarse")


@slow
def test_a_graph_started_at_any_stage_gives_the_same_picture(artifact, light_restorer):
    pixels = fit_picture(builtin_photograph("coffee"), 64, 64)
    trajectory = reference_trajectory(light_restorer, pixels, NoiseContract("input", None))
    expected, picture = stages_of(trajectory), picture_of(trajectory.restored, "float")
    for backend in (backend.name for backend in backends_for(artifact.path)):
        for stage in artifact.manifest.stages:
            with open_session(artifact.path, backend, entry=stage.name) as session:
                taken = {tensor.name for tensor in session.inputs}
                assert taken == {stage.name} | ({"noise"} if stage.name in ("encoded", "coarse") else set()), backend
                feeds = {stage.name: in_graph(expected[stage.name], stage), **noise_feeds(session, 0)}
                (restored,) = session.run(feeds).values()
            shown = restored[0] if artifact.manifest.layout == "NHWC" else restored[0].transpose(1, 2, 0)
            assert np.abs(shown - picture).max() < 1e-4, (backend, stage.name)


@slow
def test_what_is_fed_decides_the_picture_and_nothing_before(artifact):
    stage = next(stage for stage in artifact.manifest.stages if stage.name == "state_1")
    draws = np.random.default_rng(0).standard_normal((2, *stage.shape), dtype=np.float32)
    with open_session(artifact.path, entry=stage.name) as session:
        first, other, again = (session.run({stage.name: draws[i]})["restored"] for i in (0, 1, 0))
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


@slow
def test_a_stage_that_is_not_there_is_refused(artifact):
    for backend in (backend.name for backend in backends_for(artifact.path)):
        with pytest.raises(DataError, match="no tensor called nowhere"):
            open_session(artifact.path, backend, entry="nowhere")


@slow
def test_int8_errors_are_told_apart(integer, light_restorer):
    for target, artifact in integer.items():
        degraded, _ = gather_judges(artifact.manifest, None)
        pictures = dict(list(degraded.items())[:2])
        errors = validate(artifact.path, artifact.manifest, light_restorer, pictures, stages=True).errors
        assert [error.part for error in errors] == PARTS, target
        assert errors[0].own_db == errors[0].free_db
        assert all(error.own_db > 15 for error in errors[:-1]), (target, errors)
        assert all(error.own_db > error.free_db for error in errors[2:]), (target, errors)
        assert sum(error.share for error in errors) == pytest.approx(1)


@slow
@pytest.mark.parametrize(
    ("module", "part"), [("enc", "encoder"), ("mmse", "coarse estimator"), ("fmir", "step"), ("dec", "decoder")]
)
def test_a_spoiled_part_is_named_in_every_format(artifact, module, part):
    """One part of the model is changed, and not the artifact's: they differ in that part only."""
    other = load_restorer(LIGHT)
    biases = [tensor for name, tensor in getattr(other, module).named_parameters() if name.endswith("bias")]
    biases[-1].add_(0.5)
    manifest = dataclasses.replace(artifact.manifest, precision="fp16")
    result = validate(artifact.path, manifest, other, gather_pictures(None))
    assert not result.passed
    assert result.drift_began.startswith(part)
    own = {error.part: error.own_db for error in result.errors}
    assert min(own, key=own.get).startswith(part)
    assert all(db > 80 for name, db in own.items() if not name.startswith(part))


@slow
def test_the_command_tells_everything_about_an_integer_artifact(integer, tmp_path, capfd):
    from elir_edge.cli import run

    artifact = integer["tflite"]
    for name in ("coffee", "rocket"):
        write_picture(tmp_path / f"{name}.png", builtin_photograph(name))
    code = run(["validate", str(artifact.path), "-b", "litert", "--images", str(tmp_path), "--json"])
    (result,) = json.loads(capfd.readouterr().out)["results"]
    assert code == (0 if result["passed"] else 1)
    assert sorted(result["pictures"]) == [
        *("coffee.png, clean", "coffee.png, dark", "coffee.png, task"),
        *("rocket.png, bright", "rocket.png, clean", "rocket.png, task"),
    ]
    assert len(result["worst_shift_255"]) == 3
    assert result["stages"] == []
    assert [error["part"] for error in result["errors"]] == PARTS
    assert run(["validate", str(artifact.path), "-b", "litert", "--images", str(tmp_path)]) == code
    shown = capfd.readouterr().out
    assert "shift R G B, 1/255" in shown and "of the picture's error" in shown


@slow
def test_trained_weights_are_held_against_the_originals(integer):
    manifest = integer["tflite"].manifest
    assert gather_judges(manifest, None)[1] is None  # random weights restore nothing
    trained = dataclasses.replace(manifest, weights=manifest.weights | {"trained": True})
    degraded, originals = gather_judges(trained, None)
    assert trained.trained and degraded.keys() == originals.keys()
    assert gather_judges(dataclasses.replace(manifest, precision="fp32"), None)[1] is None


def test_shifts_are_the_largest_of_each_channel():
    from elir_edge.imaging.comparison import Comparison
    from elir_edge.validation.gates import gate_for

    pictures = {
        "a": Comparison(0, 0, 60, (0.1 / 255, 0, -0.3 / 255)),
        "b": Comparison(0, 0, 60, (-0.2 / 255, 0.1 / 255, 0)),
    }
    assert Validation("x", gate_for("int8"), pictures).worst_shift == pytest.approx((-0.2, 0.1, -0.3))
