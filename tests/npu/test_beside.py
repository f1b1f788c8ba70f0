"""What lies beside a compiled artifact: stand-ins take the place of the compilers."""

import dataclasses
import json
import shutil

import pytest

from elir_edge.artifacts.artifact import load_artifact
from elir_edge.artifacts.golden import golden_path, load_golden
from elir_edge.artifacts.signing import signature_path
from elir_edge.errors import OutputError
from elir_edge.npu import compiler
from elir_edge.npu.compile import compile_artifact
from elir_edge.npu.compiler import Compilation, Job, get_compiler
from elir_edge.npu.device import known_devices
from elir_edge.pipeline.pareto import pareto_path
from elir_edge.validation.verify import verify
from tests.helpers import refusal
from tests.robustness.faults import write_onnx


def copy_model(job: Job) -> Compilation:
    shutil.copyfile(job.artifact.path, job.folder / f"{job.stem}.onnx")
    return Compilation((job.folder / f"{job.stem}.onnx",), ops=1)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """An artifact, which both compilers below give back as it is."""
    named = {
        name: dataclasses.replace(get_compiler(name), takes=".onnx", suffixes=(".onnx",), compile=copy_model)
        for name in ("micro", "qnn")
    }
    monkeypatch.setattr(compiler, "compilers", lambda: named)
    return load_artifact(write_onnx(tmp_path / "a.onnx"))


def test_what_runs_anywhere_keeps_its_golden_file(source, tmp_path):
    out = tmp_path / "b.onnx"
    compile_artifact(source, known_devices()["tflite-micro"], out)
    golden_path(source.path).unlink()
    again = load_artifact(out)
    assert again.manifest.golden["file"] == golden_path(out).name
    assert load_golden(again).pixels.size
    assert verify(again).passed


@pytest.mark.parametrize("device", ["tflite-micro", "htp-v75"])
def test_nothing_of_another_artifact_stays_beside(source, device, tmp_path):
    """A golden file, signature or drawing of what was there would be told of the new one."""
    out = tmp_path / "b.onnx"
    others = (golden_path(out), signature_path(out), pareto_path(out))
    for file in others:
        file.write_text("of another")
    refusal(OutputError, lambda: compile_artifact(source, known_devices()[device], out), "--force")
    compile_artifact(source, known_devices()[device], out, force=True)
    kept = [file for file in others if file.exists()]
    assert kept == ([golden_path(out)] if device == "tflite-micro" else [])
    assert bool(kept) == (json.loads((tmp_path / "b.onnx.json").read_text())["golden"] is not None)
