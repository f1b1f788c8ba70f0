"""Core ML on other systems than macOS: its program, evaluated op by op, equals PyTorch; running it raises an error."""

import numpy as np
import pytest

from elir_edge import open_session
from elir_edge.core.files import files_of
from elir_edge.errors import DataError, UnavailableError
from elir_edge.formats.mlpackage import read_spec, set_outputs, write_spec
from elir_edge.imaging.comparison import psnr_of
from elir_edge.imaging.noise import NoiseContract
from elir_edge.imaging.pictures import builtin_photograph, fit_picture
from elir_edge.runtime.backend import get_backend
from elir_edge.validation.reference import picture_of, reference_trajectory, stages_of
from tests.exporters.mil import evaluate
from tests.helpers import refusal

pytestmark = pytest.mark.slow
elsewhere = pytest.mark.skipif(get_backend("coreml").why_not_here() is None, reason="Core ML runs here")


@pytest.fixture(scope="module")
def package(tiny_artifact):
    return tiny_artifact("coreml")


@pytest.fixture(scope="module")
def pixels():
    return fit_picture(builtin_photograph("coffee"), 64, 64)


@pytest.fixture(scope="module")
def trajectory(tiny_restorer, pixels):
    return reference_trajectory(tiny_restorer, pixels, NoiseContract("baked", 3))


@pytest.fixture(scope="module")
def light_picture(light_restorer, pixels):
    """What the light model restores, 0..1."""
    return picture_of(reference_trajectory(light_restorer, pixels, NoiseContract("baked", 3)).restored, "float")


def planes(pixels):
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None].astype(np.float32))


def test_the_program_computes_every_stage_as_pytorch_does(package, pixels, trajectory):
    values = evaluate(package.path, {"image": planes(pixels) / 255})
    for stage in package.manifest.stages:
        reference = stages_of(trajectory)[stage.name]
        assert np.abs(values[stage.name] / stage.gain - reference).max() < 1e-4 * np.abs(reference).max(), stage.name
    restored = values["restored"][0].transpose(1, 2, 0)
    assert np.abs(restored - picture_of(trajectory.restored, "float")).max() < 1e-4


def test_half_precision_stays_near(light_artifact, pixels, light_picture):
    half = light_artifact("coreml", "fp16")
    values = evaluate(half.path, {"image": planes(pixels) / 255})
    restored = values["restored"][0].transpose(1, 2, 0)
    assert psnr_of(restored - light_picture) > 50
    assert half.manifest.parity == {"not_compared": "Core ML runs only on macOS"}


def test_pictures_go_in_and_come_out_as_bytes(light_artifact, pixels, light_picture):
    bytes_in = light_artifact("coreml", io="uint8")
    description = read_spec(bytes_in.path).description
    kinds = [feature.type.WhichOneof("Type") for feature in (*description.input, *description.output)]
    assert kinds == ["imageType", "imageType"]
    restored = evaluate(bytes_in.path, {"image": planes(pixels)})["restored"][0].transpose(1, 2, 0)
    assert np.abs(restored - np.rint(light_picture * 255)).max() <= 1


def test_weights_that_steps_share_are_there_once(package):
    stored = package.path / "Data" / "com.apple.CoreML" / "weights" / "weight.bin"
    assert stored.stat().st_size < 1.1 * 4 * package.manifest.graph["parameters"]


def test_coremltools_takes_the_package_as_one_of_its_own(package):
    from coremltools.models import MLModel

    model = MLModel(str(package.path), skip_model_load=True)
    assert model.user_defined_metadata["elir_edge"]
    assert {file.name for file in files_of(package.path)} == {"Manifest.json", "model.mlmodel", "weight.bin"}


@elsewhere
def test_running_it_elsewhere_says_where_it_runs(package):
    refusal(UnavailableError, lambda: open_session(package.path), "Core ML runs only on macOS")


def test_inputs_outputs_and_stages_are_described(package, tmp_path):
    from elir_edge.runtime.coreml_backend import runtime_tensors

    manifest, spec = package.manifest, read_spec(package.path)
    stated = [[(tensor.name, tensor.shape, tensor.dtype)] for tensor in (*manifest.inputs, *manifest.outputs)]
    assert list(runtime_tensors(spec)) == stated
    names = [stage.name for stage in manifest.stages]
    set_outputs(spec, [*names, "restored"], package.path)
    outputs = runtime_tensors(spec)[1]
    assert outputs[:-1] == [(stage.name, stage.shape, "float32") for stage in manifest.stages]
    assert outputs[-1:] == stated[1]
    (tmp_path / "Data" / "com.apple.CoreML").mkdir(parents=True)
    write_spec(tmp_path, spec)
    assert len(read_spec(tmp_path).description.output) == len(names) + 1
    refusal(DataError, lambda: set_outputs(spec, ["nothing"], package.path), "no tensor called nothing")


def test_what_is_no_package_is_refused(tmp_path):
    refusal(DataError, lambda: read_spec(tmp_path), "not a Core ML package")
