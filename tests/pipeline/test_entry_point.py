"""A third party's target comes by an entry point: a package made here, installed in a folder of its own."""

import json
import os
import subprocess
import sys

import pytest

from tests.tiny import SPEC

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


def targets_seen_with(folder):
    return run(folder, ["targets", "--json"])


def test_a_target_of_another_package_is_listed(tmp_path):
    install(tmp_path)
    result = targets_seen_with(tmp_path)
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
    (tmp_path / "tiny.yaml").write_text(SPEC.to_yaml())
    arguments = ["export", "-t", "theirs", "-p", "tiny.yaml", "-o", "theirs.onnx", "--json"]
    result = run(tmp_path, arguments)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["parity"]["backend"] == "openvino"


def test_a_name_taken_twice_is_an_error(tmp_path):
    install(tmp_path, target=TARGET.replace('"theirs"', '"onnx"'))
    result = targets_seen_with(tmp_path)
    assert result.returncode == 70
    assert "the name 'onnx' is taken" in result.stderr


def test_a_foreign_package_called_exporters_is_named(tmp_path):
    (tmp_path / "exporters").mkdir()
    (tmp_path / "exporters" / "__init__.py").write_text("")
    result = targets_seen_with(tmp_path)
    assert result.returncode == 70
    assert str(tmp_path / "exporters" / "__init__.py") in result.stderr
