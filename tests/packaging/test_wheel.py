"""The wheel, installed as a user does: in an empty environment with one runtime, away from the sources."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from elir_edge.imaging.pictures import builtin_photograph, read_picture, write_picture
from tests.tiny import SPEC

ROOT = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "NOTICE", ".ci", "elir_edge", "exporters")
NOT_THERE = ("torch", "onnx", "openvino", "tensorflow", "ai_edge_litert", "psutil")
pytestmark = pytest.mark.slow


def clean_environment() -> dict[str, str]:
    """Environment variables without those through which a child would find the sources."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=600
    )


def build_in(source: Path, out: Path) -> Path:
    """The wheel, built from a copy in ``source``, so that the build leaves nothing in the checkout."""
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    command = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", out, source)
    built = run(*command, cwd=out)
    assert built.returncode == 0, built.stderr
    return next(out.glob("elir_edge-*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build_in(tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel"))


def test_the_same_sources_are_the_same_bytes_on_another_day(wheel, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    again = build_in(tmp_path_factory.mktemp("another"), tmp_path_factory.mktemp("again"))
    assert again.read_bytes() == wheel.read_bytes()


def test_the_bill_of_materials_is_inside(wheel):
    """CycloneDX, in the folder of PEP 770, with all that the package requires and the data of others in it."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if ".dist-info/sboms/" in name)
        bill = json.loads(file.read(name))
        record = file.read(name.partition("/")[0] + "/RECORD").decode()
        weights = [item for item in bill["components"] if item["type"] == "machine-learning-model"]
        inside = [name for name in file.namelist() if name.endswith(".safetensors")]
        assert [item["name"] for item in weights] == sorted(inside) and len(inside) > 1
        for item in weights:
            assert item["hashes"][0]["content"] == hashlib.sha256(file.read(item["name"])).hexdigest()
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6") and name in record
    by_name = {item["name"]: item for item in bill["components"]}
    for package in ("click", "numpy", "pillow", "pyvips"):
        assert by_name[package]["scope"] == "required" and by_name[package]["version"]
    assert by_name["torch"]["scope"] == "optional" and "elir-edge" not in by_name
    assert {ref for row in bill["dependencies"] for ref in row["dependsOn"]} <= {
        item["bom-ref"] for item in bill["components"]
    }


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory) -> Path:
    """The bin folder of a new environment with the wheel and ONNX Runtime."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=True)
    found = place / ("Scripts" if sys.platform == "win32" else "bin")
    wanted = f"{wheel}[run-onnxruntime]"
    done = run(found / "python", "-m", "pip", "install", "-c", ROOT / ".ci" / "constraints.txt", wanted, cwd=place)
    if done.returncode:
        reached = run(found / "python", "-m", "pip", "download", "--no-deps", "click", cwd=place).returncode == 0
        assert not reached, done.stderr
        pytest.skip("no package registry can be reached from here")
    return found


@pytest.fixture(scope="module")
def artifact(tiny_artifact) -> Path:
    return tiny_artifact("onnx").path


def test_every_data_file_is_inside(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    for room in ("elir_edge", "exporters"):
        for path in sorted((ROOT / room).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and "__pycache__" not in name:
                assert name in inside, name
    assert not [name for name in inside if name.startswith(("tests/", "benchmarks/"))]


def test_the_environment_holds_one_runtime_and_no_converter(programs, tmp_path):
    code = (
        "import importlib.util, elir_edge, sys\n"
        f"print([name for name in {NOT_THERE!r} if importlib.util.find_spec(name)], elir_edge.__file__)"
    )
    done = run(programs / "python", "-c", code, cwd=tmp_path)
    assert done.stdout.startswith("[] ") and str(programs.parent) in done.stdout, done.stdout + done.stderr


def test_an_artifact_is_inspected_verified_and_run(programs, artifact, tmp_path):
    told = run(programs / "elir-edge", "inspect", artifact, "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["spec"]["name"] == SPEC.name
    verified = run(programs / "elir-edge", "verify", artifact, cwd=tmp_path)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "as exported" in verified.stdout
    write_picture(tmp_path / "in.png", builtin_photograph("chelsea")[:80, :100])
    restored = run(programs / "elir-edge", "restore", "in.png", "-a", artifact, "-o", "out.png", cwd=tmp_path)
    assert restored.returncode == 0, restored.stderr
    assert read_picture(tmp_path / "out.png").shape == (80, 100, 3)


def test_an_artifact_without_its_manifest_is_tried_in_a_child(programs, artifact, tmp_path):
    alone = tmp_path / artifact.name
    shutil.copy(artifact, alone)
    told = run(programs / "elir-edge", "inspect", alone, "--json", cwd=tmp_path)
    assert told.returncode == 0 and "not vouched for" in told.stderr, told.stderr
    alone.write_bytes(artifact.read_bytes()[:1000])
    damaged = run(programs / "elir-edge", "inspect", alone, cwd=tmp_path)
    assert damaged.returncode == 65 and alone.name in damaged.stderr, damaged.stderr


@pytest.mark.parametrize("command", ["restore", "bench"])
def test_what_is_not_installed_is_named_with_the_command(command, programs, artifact, tmp_path):
    write_picture(tmp_path / "in.png", builtin_photograph("chelsea")[:80, :100])
    arguments, extra = {
        "restore": (("in.png", "-o", "out.png"), "torch"),
        "bench": ((artifact,), "bench"),
    }[command]
    done = run(programs / "elir-edge", command, *arguments, cwd=tmp_path)
    assert done.returncode == 69, done.stderr
    assert f"pip install 'elir-edge[{extra}]'" in done.stderr
