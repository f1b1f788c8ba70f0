"""The contract of exports to all targets: when files are replaced, what is published, equal bytes."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys

import pytest
from torch import nn

from elir_edge import export, load_artifact
from elir_edge.artifacts.artifact import sidecar
from elir_edge.cli import run
from elir_edge.core.files import files_of, sha256_of
from elir_edge.errors import DataError, GateError, OutputError, UnavailableError
from elir_edge.imaging.pictures import builtin_photograph, read_picture, write_picture
from elir_edge.pipeline import form
from elir_edge.runtime.backend import get_backend
from tests.tiny import BARE, BYTES, LIGHT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def artifact(target, bare_artifact):
    return bare_artifact(target.name)


def test_the_same_export_again_is_recognised(artifact, target, bare_restorer):
    before = artifact.path.stat().st_mtime_ns
    again = export(bare_restorer, target.name, out=artifact.path, noise="baked:3")
    assert not again.fresh
    assert artifact.path.stat().st_mtime_ns == before


def test_another_export_does_not_replace_it_unasked(artifact, target, bare_restorer):
    before = sha256_of(artifact.path)
    with pytest.raises(OutputError, match="is there already"):
        export(bare_restorer, target.name, size=128, out=artifact.path)
    assert sha256_of(artifact.path) == before
    load_artifact(artifact.path)


def test_a_changed_file_is_not_trusted(artifact, tmp_path):
    copy = tmp_path / "copy" / artifact.path.name
    shutil.copytree(artifact.path.parent, copy.parent)
    load_artifact(copy)
    for file in [file for name in artifact.manifest.files for file in files_of(copy.parent / name)]:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        with pytest.raises(DataError, match="sha256"):
            load_artifact(copy)
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    load_artifact(copy)


def test_a_wrong_conversion_is_never_published(target, runs_here, bare_restorer, tmp_path, monkeypatch):
    def wrong(graph, conversion):
        last = graph.dec.layers[-1]
        last.bias = nn.Parameter(last.bias + 0.01, requires_grad=False)
        return target.convert(graph, conversion)

    monkeypatch.setattr(form, "get_target", lambda name: dataclasses.replace(target, convert=wrong))
    with pytest.raises(GateError, match="differs from PyTorch"):
        export(bare_restorer, target.name, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


EXPORT_AGAIN = """
import sys
from elir_edge import ModelSpec, export, load_restorer
target, out, spec = sys.argv[1:]
export(load_restorer(ModelSpec.from_yaml(spec)), target, out=out, io="uint8", noise="input")
"""


def test_the_same_request_gives_the_same_bytes_in_another_process(target, light_artifact, tmp_path):
    artifact = light_artifact(target.name, **BYTES)
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    subprocess.run(
        [sys.executable, "-c", EXPORT_AGAIN, target.name, str(tmp_path), LIGHT.to_yaml()], check=True, env=environment
    )
    for name in (*artifact.manifest.files, sidecar(artifact.path).name):
        assert sha256_of(artifact.path.parent / name) == sha256_of(tmp_path / name), name


def test_cli_export_inspect_validate_restore(target, tmp_path, capfd):
    preset, out = tmp_path / "tiny.yaml", tmp_path / f"tiny{target.suffixes[0]}"
    preset.write_text(BARE.to_yaml())
    assert run(["export", "-t", target.name, "-p", str(preset), "-o", str(out), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["fresh"] is True
    assert run(["inspect", str(out), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["spec"]["name"] == BARE.name
    reason = get_backend(target.backends[0]).why_not_here()
    if reason:
        assert run(["validate", str(out)]) == UnavailableError.exit_code
        assert reason in capfd.readouterr().err
        return
    assert run(["validate", str(out), "--stages", "--json"]) == 0
    results = json.loads(capfd.readouterr().out)["results"]
    assert [result["backend"] for result in results] == list(target.backends)
    assert run(["validate", str(out), "-w", "random:8"]) == 2
    picture = tmp_path / "in.jpg"
    write_picture(picture, builtin_photograph("coffee")[:70, :90])
    assert run(["restore", str(picture), "-o", str(tmp_path / "out.png"), "-a", str(out)]) == 0
    assert read_picture(tmp_path / "out.png").shape == (70, 90, 3)
