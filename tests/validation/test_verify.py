"""The self-test of artifacts: the golden file has the expected output, and another result is reported."""

import dataclasses
import json
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest

from elir_edge import export, load_artifact, load_restorer
from elir_edge.artifacts.artifact import Artifact, sidecar
from elir_edge.artifacts.golden import Golden, golden_path, load_golden, pack_golden, read_golden
from elir_edge.cli import run
from elir_edge.errors import DataError, MissingInputError
from elir_edge.imaging.comparison import compare
from elir_edge.pipeline.target import get_target
from elir_edge.runtime.backend import backends_for
from elir_edge.validation.gates import ONE_LEVEL
from elir_edge.validation.verify import Tolerance, distance_to_golden, tolerance_for, verify
from tests.helpers import child_environment, manifest_without_files, refusal
from tests.robustness.faults import write_beside
from tests.tiny import SPEC

FORMS = {"onnx": {"noise": "input"}, "tflite": {"io": "uint8"}}
WITHOUT_TORCH = """
import sys
for name in ("torch", "tensorflow", "litert_torch", "onnx", "exporters"):
    sys.modules[name] = None
from elir_edge.cli import run
sys.exit(run(["verify", sys.argv[1], "--json"]))
"""


@pytest.fixture(scope="module", params=FORMS)
def artifact(request, light_artifact) -> Artifact:
    return light_artifact(request.param, **FORMS[request.param])


@pytest.fixture(scope="module")
def onnx_artifact(tiny_artifact) -> Artifact:
    return tiny_artifact("onnx")


def copy_of(artifact: Artifact, folder) -> Artifact:
    for file in (artifact.path, sidecar(artifact.path), golden_path(artifact.path)):
        shutil.copy(file, folder)
    return load_artifact(folder / artifact.path.name)


@pytest.mark.slow
def test_every_runtime_gives_what_was_recorded(artifact):
    golden = load_golden(artifact)
    assert golden.pixels.shape == golden.restored.shape == (64, 64, 3)
    assert np.std(golden.restored) > 0
    for backend in backends_for(artifact.path):
        if backend.is_installed():
            result = verify(artifact, backend.name)
            assert result.passed and result.problem is None, result
            assert result.backend.startswith(backend.name)


@pytest.mark.slow
def test_it_runs_without_torch(artifact):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(artifact.path)],
        env=child_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passed"] is True


@pytest.mark.slow
def test_another_models_result_is_noticed(onnx_artifact, tmp_path, capsys):
    other = export(load_restorer(SPEC, "random:8"), "onnx", out=tmp_path)
    (tmp_path / "mixed").mkdir()
    mixed = copy_of(onnx_artifact, tmp_path / "mixed")
    shutil.copy(golden_path(other.path), golden_path(mixed.path))
    assert run(["verify", str(mixed.path)]) == DataError.exit_code
    facts = mixed.manifest.golden | {"sha256": other.manifest.golden["sha256"]}
    mixed_up = dataclasses.replace(mixed.manifest, golden=facts)
    get_target("onnx").embed(mixed.path, mixed_up.to_json())
    write_beside(mixed.path, mixed_up)
    assert run(["verify", str(mixed.path)]) == 1
    assert "DIFFERS" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_missing_is_named_and_export_brings_it_back(onnx_artifact, tiny_restorer, tmp_path):
    alone = copy_of(onnx_artifact, tmp_path)
    golden = golden_path(alone.path)
    golden.write_bytes(golden.read_bytes()[:-9])
    refusal(DataError, lambda: verify(alone), golden.name, "sha256")
    golden.unlink()
    refusal(MissingInputError, lambda: verify(alone), golden.name, "export again")
    sidecar(alone.path).unlink()
    assert run(["verify", str(alone.path)]) == MissingInputError.exit_code
    shutil.copy(sidecar(onnx_artifact.path), tmp_path)
    export(tiny_restorer, "onnx", noise="baked:3", out=tmp_path, force=True)
    assert golden.read_bytes() == golden_path(onnx_artifact.path).read_bytes()


@pytest.mark.slow
def test_only_the_model_file_with_its_golden_is_enough(artifact, tmp_path):
    alone = copy_of(artifact, tmp_path)
    sidecar(alone.path).unlink()
    assert run(["verify", str(alone.path)]) == 0


def test_an_artifact_of_before_says_so(tmp_path):
    artifact = Artifact(tmp_path / "old.onnx", manifest_without_files())
    refusal(MissingInputError, lambda: load_golden(artifact), "old.onnx", "export it again")


def test_tolerances_bind_whom_they_should():
    exact, near = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)
    near[0, 0, 0] = 2
    two_levels = compare(near, exact)
    fp32, int8 = (
        tolerance_for(dataclasses.replace(manifest_without_files(), precision=precision))
        for precision in ("fp32", "int8")
    )
    assert not int8.accepts(two_levels, same_backend=True)
    assert int8.accepts(two_levels, same_backend=False)
    assert not fp32.accepts(two_levels, same_backend=False)
    nothing = compare(np.full((8, 8, 3), np.nan, np.float32), np.zeros((8, 8, 3), np.float32))
    assert not any(Tolerance(9.0, floor).accepts(nothing, same_backend=False) for floor in (None, 0.0))


def test_a_poor_artifact_asks_no_more_of_others_than_it_gives():
    poor = dataclasses.replace(manifest_without_files(), precision="int8", parity={"psnr_db": 34.0})
    assert tolerance_for(poor).elsewhere_db == 31.0
    assert tolerance_for(dataclasses.replace(poor, parity={"psnr_db": 60.0})).elsewhere_db == 40.0


def test_the_picture_of_an_npu_is_held_to_the_recorded_one():
    manifest = dataclasses.replace(manifest_without_files(), precision="int8", parity={"psnr_db": 34.0})
    grey = np.full((8, 8, 3), 100, np.uint8)
    golden = Golden(grey, None, grey)
    near, far = (distance_to_golden(grey + step, golden, manifest) for step in (np.uint8(7), np.uint8(8)))
    assert (near.psnr_db, near.allowed_db, near.too_far) == (31.23, 31.0, None)
    assert (far.psnr_db, far.too_far) == (30.07, "30.1 dB")
    assert "shape" in str(distance_to_golden(grey[:4], golden, manifest).too_far)


def test_a_golden_picture_too_large_for_pillow_is_damage(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    png += struct.pack(">I", 4) + b"IDAT"
    path = tmp_path / "x.golden.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("restored.png", png)
    refusal(DataError, lambda: read_golden(path, manifest_without_files()), path.name, "decompression bomb")


def test_floats_survive_the_golden_file(tmp_path):
    drawn = np.random.default_rng(0)
    manifest = dataclasses.replace(manifest_without_files(), size=(32, 48), io="float", inputs=())
    values = Golden(
        drawn.integers(0, 256, (32, 48, 3), dtype=np.uint8), None, drawn.random((32, 48, 3), dtype=np.float32)
    )
    path = tmp_path / "x.golden.zip"
    path.write_bytes(pack_golden(values))
    assert path.read_bytes() == pack_golden(values)
    back = read_golden(path, manifest)
    assert np.array_equal(back.pixels, values.pixels)
    assert np.abs(back.restored - values.restored).max() < 1e-5
    assert tolerance_for(dataclasses.replace(manifest, io="uint8")).max_abs == ONE_LEVEL
