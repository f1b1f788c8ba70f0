"""Targets of other packages, found through an entry point of a package that the test installs."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers import save_picture
from tests.tiny import LIGHT

TARGET = """
from pathlib import Path
from elir_edge.pipeline.target import Target

def convert(graph, conversion):
    (conversion.folder / f"{conversion.stem}.txt").write_text("a model")
    return {}

TARGET = Target(
    name="theirs", description="a third party's format", suffixes=(".txt",), precisions=("fp32",),
    layouts={"float": "NCHW", "uint8": "NHWC"}, latent_layout="NCHW", norm="native", backends=(), packages=(),
    extra="none", convert=convert, embed=lambda path, text: None,
)
"""


def install(folder, name="their_package", target=TARGET):
    (folder / f"{name}.py").write_text(target)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[elir_edge.targets]\ntheirs = {name}:TARGET\n")


def run(folder, arguments):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "elir_edge", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder)


def run_targets(folder):
    return run(folder, ["targets", "--json"])


def test_a_target_of_another_package_is_listed(tmp_path):
    install(tmp_path)
    result = run_targets(tmp_path)
    assert result.returncode == 0, result.stderr
    names = [item["target"] for item in json.loads(result.stdout)]
    assert names[-1] == "theirs" and {"onnx", "openvino", "tflite"} < set(names)


EXPORTING = """
import dataclasses
from exporters.onnx import TARGET as ONNX

TARGET = dataclasses.replace(ONNX, name="theirs", backends=("openvino",))
"""


@pytest.mark.slow
def test_a_target_of_another_package_exports_and_is_proven(tmp_path):
    install(tmp_path, target=EXPORTING)
    (tmp_path / "tiny.yaml").write_text(LIGHT.to_yaml())
    arguments = ["export", "-t", "theirs", "-p", "tiny.yaml", "-o", "theirs.onnx", "--json"]
    result = run(tmp_path, arguments)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["parity"]["backend"] == "openvino"


@pytest.mark.slow
def test_a_target_that_nothing_here_runs_is_written_and_says_so(tmp_path):
    install(tmp_path)
    (tmp_path / "tiny.yaml").write_text(LIGHT.to_yaml())
    result = run(tmp_path, ["export", "-t", "theirs", "-p", "tiny.yaml", "-o", "theirs.txt", "--json"])
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["parity"] == {"not_compared": "no backend here runs 'theirs' files"}


RUNTIME = """
from pathlib import Path
import torch
from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.artifacts.signature import RESTORED
from elir_edge.lowering.trace import trace
from elir_edge.pipeline.target import Target
from elir_edge.runtime.backend import Backend
from elir_edge.runtime.base import Session
from elir_edge.runtime.tensor_specs import tensor_specs

class ProgramSession(Session):
    backend = "program"

    def __init__(self, path, stages):
        kept = {MANIFEST_KEY: ""}
        program = torch.export.load(path, extra_files=kept)
        self._module, self._names = program.module(), [str(out) for out in program.call_spec.out_spec.context]
        given = [(name, self._shape(program, name), "float32") for name in self._names if name in (*stages, RESTORED)]
        inputs = [("image", tuple(program.example_inputs[0][0].shape), "float32")]
        super().__init__(*tensor_specs(path, kept[MANIFEST_KEY], inputs, given))

    def _shape(self, program, name):
        values = [node for node in program.graph.nodes if node.op == "output"][0].args[0]
        return tuple(values[self._names.index(name)].meta["val"].shape)

    def _run(self, feeds):
        with torch.inference_mode():
            outputs = self._module(*(torch.from_numpy(feeds[tensor.name]) for tensor in self.inputs))
        return {tensor.name: outputs[tensor.name].numpy() for tensor in self.outputs}

    def _close(self):
        del self._module

def open_session(path, threads, stages):
    return ProgramSession(path, stages)

def read_manifest(path):
    kept = {MANIFEST_KEY: ""}
    torch.export.load(path, extra_files=kept)
    return kept[MANIFEST_KEY] or None

def devices():
    return [("ABACUS", True, "a device of theirs")]

def convert(graph, conversion):
    torch.export.save(trace(graph), conversion.folder / f"{conversion.stem}.pt2")
    return {}

def embed(path, text):
    torch.export.save(torch.export.load(path), path, extra_files={MANIFEST_KEY: text})

BACKEND = Backend("program", (".pt2",), "torch", "torch", __name__)
TARGET = Target(
    name="theirs", description="a third party's format", suffixes=(".pt2",), precisions=("fp32",),
    layouts={"float": "NCHW"}, latent_layout="NCHW", norm="native", backends=("program",), packages=("torch",),
    extra="none", convert=convert, embed=embed,
)
"""


@pytest.mark.slow
def test_a_format_with_its_own_runtime_comes_from_another_package(tmp_path):
    """Export, validate, list, restore and verify, with no mention of the format in this project."""
    install(tmp_path, target=RUNTIME)
    entry_points = tmp_path / "their_package-1.0.dist-info" / "entry_points.txt"
    entry_points.write_text(entry_points.read_text() + "[elir_edge.backends]\nprogram = their_package:BACKEND\n")
    (tmp_path / "tiny.yaml").write_text(LIGHT.to_yaml())
    save_picture(tmp_path / "in.png", 70, 80)
    for arguments, expected in (
        (["export", "-t", "theirs", "-p", "tiny.yaml", "-o", "theirs.pt2", "--json"], '"backend": "program"'),
        (["devices", "--json"], "a device of theirs"),
        (["validate", "theirs.pt2", "--stages", "--json"], '"passed": true'),
        (["restore", "in.png", "-o", "out.png", "--artifact", "theirs.pt2"], ""),
        (["verify", "theirs.pt2", "--json"], '"passed": true'),
    ):
        result = run(tmp_path, arguments)
        assert result.returncode == 0, result.stderr
        assert expected in result.stdout
    assert (tmp_path / "out.png").is_file()


def test_a_name_taken_twice_is_an_error(tmp_path):
    install(tmp_path, target=TARGET.replace('"theirs"', '"onnx"'))
    result = run_targets(tmp_path)
    assert result.returncode == 70
    assert "the name 'onnx' is taken" in result.stderr


def test_a_foreign_package_called_exporters_is_named(tmp_path):
    (tmp_path / "exporters").mkdir()
    (tmp_path / "exporters" / "__init__.py").write_text("")
    result = run_targets(tmp_path)
    assert result.returncode == 70
    assert str(tmp_path / "exporters" / "__init__.py") in result.stderr
