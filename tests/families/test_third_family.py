"""A family that the package does not know goes the whole way, announced by an entry point and nothing else."""

import dataclasses

import numpy as np
import pytest
import torch

from elir_edge import export, load_artifact, load_restorer, lower, open_session, restore_picture
from elir_edge.errors import ConfigError
from elir_edge.families.registry import family_names, get_family
from elir_edge.families.spec import ModelSpec, load_spec
from elir_edge.imaging.pictures import builtin_photograph
from elir_edge.pipeline.request import request_of
from elir_edge.quantize.calibration import CalibrationRequest
from elir_edge.quantize.mixed import groups_of
from elir_edge.quantize.plan import Quantization
from elir_edge.validation.trials import gather_pictures
from elir_edge.validation.validate import validate
from tests.families.toy import FAMILY, ToySpec
from tests.helpers import refusal

QUICK = Quantization(CalibrationRequest(count=4), allow_degraded=True)
STAGES = ["posterior_mean", "encoded", "state_0", "state_1", "state_2", "restored"]
PARTS = ["posterior mean", "encoder", "noise", "step 1", "step 2", "decoder"]


@pytest.fixture(autouse=True)
def entry_point(tmp_path, monkeypatch):
    """The package's metadata on the path, as an installation would leave it."""
    folder = tmp_path / "toy-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[elir_edge.families]\ntoy = tests.families.toy:FAMILY\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def restorer():
    return load_restorer(ToySpec(name="toy", size=64, steps=2, weights="random:1"))


def test_it_is_found_by_its_name(tmp_path):
    assert get_family("toy") is FAMILY
    assert "toy" in family_names()
    path = tmp_path / "mine.yaml"
    path.write_text("{family: toy, name: mine, channels: 4}")
    spec = load_spec(path)
    assert spec == ToySpec(name="mine", channels=4)
    assert ModelSpec.from_yaml(spec.to_yaml()) == spec
    assert spec.to_dict()["family"] == "toy"
    refusal(ConfigError, lambda: ModelSpec.from_yaml("{family: tyo}"), "tyo", "did you mean 'toy'")
    refusal(ConfigError, lambda: ModelSpec.from_yaml("{family: toy, chanels: 4}"), "chanels", "channels")


def test_the_version_of_its_package_is_told(restorer):
    identity = request_of(restorer, "onnx", "fp32", None, "baked:0", None, None).identity(restorer)
    assert identity["versions"]["toy"] == "1.0"


def test_the_skeleton_is_read_from_its_stages(restorer):
    trajectory = restorer.trajectory(torch.rand(1, 3, 64, 64))
    assert [*trajectory.values] == STAGES
    graph = lower(restorer, 64)
    assert graph.output_names() == STAGES
    assert [stage.shape for stage in graph.stage_specs()] == [(1, 3, 64, 64)] + [(1, 6, 32, 32)] * 4
    assert [group.name for group in groups_of(graph)] == ["estimate", "encoder", "step 1", "step 2", "decoder"]


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_it_is_exported_validated_and_restores(restorer, target, tmp_path):
    picture = builtin_photograph("chelsea")[:90, :100]
    for precision, io in (("fp32", "float"), ("int8", "uint8")):
        options = {"quantization": QUICK} if precision == "int8" else {}
        folder = tmp_path / f"{precision}-{io}"
        folder.mkdir()
        artifact = export(restorer, target, precision, io=io, out=folder, **options)
        manifest = load_artifact(artifact.path).manifest
        assert manifest.model_spec() == dataclasses.replace(restorer.spec, weights=None)
        result = validate(artifact.path, manifest, restorer, gather_pictures(None, manifest.size), stages=True)
        with open_session(artifact.path) as session:
            restored = restore_picture(session, picture)
        assert restored.shape == picture.shape and restored.std() > 1
        if precision == "fp32":
            assert result.passed, result.failures
            assert [stage.stage for stage in result.stages] == STAGES[:-1]
            assert not any(stage.drifted for stage in result.stages)
        else:
            assert [error.part for error in result.errors] == PARTS
            assert min(error.free_db for error in result.errors) > 15
            assert sum(error.share for error in result.errors) == pytest.approx(1)
            assert np.mean([item.psnr_db for item in result.pictures.values()]) > 25
