"""The contract of all targets, also of other packages: names, types, manifest, equality with PyTorch."""

import dataclasses
import inspect
import os
from pathlib import Path

import numpy as np
import pytest

from elir_edge import export, load_artifact, load_restorer, open_session, restore_picture
from elir_edge.artifacts.artifact import Manifest, sidecar
from elir_edge.core.files import files_of
from elir_edge.errors import UsageError
from elir_edge.imaging.noise import NoiseContract, draw_noise
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.pipeline.request import MISSING
from elir_edge.pipeline.target import get_target
from elir_edge.runtime.backend import backends_for, get_backend
from elir_edge.runtime.restore import noise_feeds
from elir_edge.validation.reference import picture_of, reference_trajectory
from elir_edge.validation.trials import gather_pictures
from elir_edge.validation.validate import validate
from exporters.web import RUNTIME
from tests.tiny import BYTES, LIGHT, SPEC

pytestmark = pytest.mark.slow


@pytest.fixture(params=["float", "bytes"])
def form(request):
    """The inputs of an artifact: those of the light model are bytes."""
    return request.param


@pytest.fixture
def artifact(form, target, tiny_artifact, light_artifact):
    return tiny_artifact(target.name) if form == "float" else light_artifact(target.name, **BYTES)


@pytest.fixture
def restorer(form, tiny_restorer, light_restorer):
    return tiny_restorer if form == "float" else light_restorer


def backends_of(artifact):
    return [backend.name for backend in backends_for(artifact.path) if artifact.manifest.precision not in backend.lacks]


def test_target_describes_itself(target):
    assert target.description
    assert target.suffixes[0].startswith(".")
    assert "fp32" in target.precisions
    assert set(target.layouts) == {"float", "uint8"}
    assert set(target.backends) == {b.name for b in backends_for(Path("x" + target.suffixes[0]))}


def test_inputs_and_outputs_have_plain_names(artifact):
    manifest = artifact.manifest
    assert [tensor.name for tensor in manifest.outputs] == ["restored"]
    assert [tensor.name for tensor in manifest.inputs] == ["image", "noise"][: 1 + (manifest.noise["mode"] == "input")]


def test_inputs_and_outputs_are_what_the_manifest_says(artifact, runs_here):
    manifest = artifact.manifest
    for backend in backends_of(artifact):
        with open_session(artifact.path, backend) as session:
            assert sorted(session.inputs, key=str) == sorted(manifest.inputs, key=str), backend
            assert session.outputs == list(manifest.outputs), backend
            feeds = {tensor.name: np.zeros(tensor.shape, tensor.dtype) for tensor in session.inputs}
            (result,) = session.run(feeds).values()
            assert (result.shape, result.dtype.name) == (manifest.outputs[0].shape, manifest.outputs[0].dtype), backend


def test_bytes_are_interleaved_as_a_camera_gives_them(artifact):
    image = artifact.manifest.inputs[0]
    if artifact.manifest.io == "uint8":
        assert (image.dtype, image.layout, image.shape) == ("uint8", "NHWC", (1, 64, 64, 3))
    else:
        assert image.dtype == "float32"


def test_manifest_inside_is_the_one_beside(artifact):
    beside = Manifest.from_json(sidecar(artifact.path).read_text(), "beside")
    assert set(beside.files) == {artifact.path.with_suffix(s).name for s in get_target(beside.target).suffixes}
    for backend in backends_for(artifact.path):
        inside = Manifest.from_json(backend.load().read_manifest(artifact.path), "inside")
        assert dataclasses.replace(inside, files=beside.files) == beside, backend.name


def test_manifest_tells_what_a_receiver_must_know(artifact, restorer):
    manifest = artifact.manifest
    assert manifest.model_spec() == dataclasses.replace(restorer.spec, weights=None)
    assert manifest.weights["name"] == SPEC.weights
    assert not manifest.trained
    assert manifest.noise["sigma_s"] == SPEC.sigma_s
    reason = get_backend(get_target(manifest.target).backends[0]).why_not_here()
    if reason is None:
        gate = manifest.parity["gate"]
        assert gate["max_abs"] is None or manifest.parity["max_abs"] <= gate["max_abs"]
        assert gate["psnr_db"] is None or manifest.parity["psnr_db"] >= gate["psnr_db"]
    else:
        assert manifest.parity == {"not_compared": reason}
    assert manifest.versions["elir-edge"]
    assert set(manifest.versions) >= set(get_target(manifest.target).packages)
    assert MISSING not in manifest.versions.values()


def test_nothing_inside_tells_of_this_machine(artifact):
    paths = [sidecar(artifact.path), *(artifact.path.parent / name for name in artifact.manifest.files)]
    written = [file for path in paths for file in files_of(path) if file.name not in RUNTIME]
    content = b"".join(file.read_bytes() for file in written)
    for secret in (os.fsencode(Path.cwd()), os.fsencode(Path.home()), b"site-packages", b"/tmp/"):
        assert secret not in content, secret


def test_equal_to_pytorch_in_every_backend_down_to_the_stages(artifact, restorer, runs_here):
    pictures, manifest = gather_pictures(None), load_artifact(artifact.path).manifest
    for backend in backends_of(artifact):
        result = validate(artifact.path, manifest, restorer, pictures, backend=backend, stages=True)
        assert result.passed, (backend, result)
        assert result.drift_began is None, (backend, result.stages)
        names = [stage.stage for stage in result.stages or result.errors if stage.stage != "restored"]
        assert names == ["encoded", "coarse", "state_0", "state_1", "state_2"], backend


def test_other_weights_are_told_apart_and_the_drift_located(float_artifact, runs_here):
    other = load_restorer(SPEC)
    other.mmse.lrm[0].RDB2.conv3.block[0].weight.mul_(1.5)
    result = validate(float_artifact.path, float_artifact.manifest, other, gather_pictures(None))
    assert not result.passed
    assert result.drift_began == "coarse"


def test_a_drift_of_the_decoder_is_called_so(float_artifact, runs_here):
    other = load_restorer(SPEC)
    other.dec.last_conv.bias.add_(0.01)
    result = validate(float_artifact.path, float_artifact.manifest, other, gather_pictures(None))
    assert not result.passed
    assert result.drift_began == "decoder"


def test_an_artifact_restores_a_photograph_of_any_size(artifact, runs_here):
    pixels = builtin_photograph("coffee")[:101, :150]
    with open_session(artifact.path) as session:
        restored = restore_picture(session, pixels, seed=3)
    assert (restored.shape, restored.dtype) == (pixels.shape, np.uint8)
    assert restored.std() > 1


def test_noise_is_the_caller_s_where_it_is_an_input(target, light_artifact, light_restorer, runs_here):
    given = light_artifact(target.name, **BYTES)
    pixels = fit_picture(builtin_photograph("coffee"), 64, 64)
    expected = reference_trajectory(light_restorer, pixels, NoiseContract("input", None), seed=3)
    with open_session(given.path) as session:
        noise = noise_feeds(session, 3)["noise"]
        drawn = draw_noise(3, light_restorer.spec.latent_shape(64, 64))
        layout = next(tensor.layout for tensor in session.inputs if tensor.name == "noise")
        assert np.array_equal(noise, drawn if layout == "NCHW" else drawn.transpose(0, 2, 3, 1))
        same, other = (restore_picture(session, pixels, seed).astype(int) for seed in (3, 4))
    wanted = picture_of(expected.restored, "uint8").astype(int)
    assert np.abs(same - wanted).max() <= 1
    assert np.abs(other - wanted).max() > 1


def assert_stages_without(parts, artifact, model):
    """``artifact``, of a light model without ``parts``, has the stages of the others, equal to PyTorch."""
    names = [stage.name for stage in artifact.manifest.stages]
    assert ("coarse" in names) == ("estimator" not in parts)
    assert ("state_1" in names) == ("field" not in parts)
    if get_backend(get_target(artifact.manifest.target).backends[0]).why_not_here() is None:
        result = validate(artifact.path, artifact.manifest, model, gather_pictures(None), stages=True)
        assert result.passed
        assert result.drift_began is None


def test_the_autoencoder_alone(target, bare_artifact, bare_restorer):
    assert_stages_without(("estimator", "field"), bare_artifact(target.name), bare_restorer)


@pytest.mark.parametrize("part", ["estimator", "field"])
def test_models_without_one_part(part, tmp_path):
    """Which stages there are is decided before the target is asked: one target stands for all."""
    model = load_restorer(dataclasses.replace(LIGHT, steps=0 if part == "field" else LIGHT.steps, **{part: None}))
    assert_stages_without((part,), export(model, "onnx", out=tmp_path), model)


def test_feeds_that_do_not_fit_are_refused(float_artifact, runs_here):
    good = float_artifact.manifest.inputs[0]
    image = np.zeros(good.shape, good.dtype)
    for backend in backends_of(float_artifact):
        with open_session(float_artifact.path, backend) as session:
            for feeds in ({}, {"picture": image}, {"image": image[:, :-1]}, {"image": image.astype(np.float64)}):
                with pytest.raises(UsageError):
                    session.run(feeds)
        with pytest.raises(UsageError, match="closed"):
            session.run({"image": image})


@pytest.mark.parametrize(
    "check",
    [
        test_inputs_and_outputs_have_plain_names,
        test_inputs_and_outputs_are_what_the_manifest_says,
        test_manifest_inside_is_the_one_beside,
        test_manifest_tells_what_a_receiver_must_know,
        test_nothing_inside_tells_of_this_machine,
        test_equal_to_pytorch_in_every_backend_down_to_the_stages,
        test_an_artifact_restores_a_photograph_of_any_size,
    ],
)
def test_w8a16_keeps_the_contract(check, light_artifact, light_restorer):
    given = {"artifact": light_artifact("onnx", "w8a16"), "restorer": light_restorer, "runs_here": None}
    check(**{name: given[name] for name in inspect.signature(check).parameters})
