"""Artifacts as files: read back as written, refused if a file or the manifest is damaged, never a mix of two."""

from __future__ import annotations

import hashlib
import json
import random
import signal
import subprocess
import sys
import time

import pytest

from elir_edge.artifacts.artifact import Manifest, check_files, load_artifact, sidecar
from elir_edge.core.files import files_of
from elir_edge.errors import DataError, ElirEdgeError
from tests.artifacts.samples import NEW, OLD, manifest, write_artifact
from tests.helpers import child_environment, refusal


def test_artifacts_are_read_back(tmp_path):
    path = tmp_path / "a.xml"
    write_artifact(path, NEW)
    artifact = load_artifact(path)
    assert artifact.size_bytes == 2 * len(NEW)
    assert not artifact.fresh and not artifact.manifest.trained
    assert Manifest.from_json(artifact.manifest.to_json(), "") == artifact.manifest


def test_damaged_artifacts(tmp_path):
    folder = tmp_path / "folder"
    path = folder / "a.xml"
    (tmp_path / "a.bin").write_bytes(NEW)

    def after(change, *named):
        write_artifact(path, NEW)
        change()
        error = refusal(DataError, lambda: load_artifact(path), *named)
        assert error.exit_code == 65
        for file in folder.iterdir():
            file.unlink()

    binary = path.with_suffix(".bin")
    after(lambda: binary.write_bytes(OLD), "a.bin", "sha256 differs", "export or copy it again")
    after(lambda: binary.write_bytes(NEW[:-1]), "a.bin", "sha256 differs")
    after(binary.unlink, "a.xml", "'a.bin' is missing")
    after(lambda: (binary.rename(folder / "b"), binary.symlink_to("b")), "not a plain file")
    after(lambda: sidecar(path).write_text("{"), "a.xml.json", "not an elir-edge manifest")
    after(lambda: sidecar(path).write_text("[]"), "a.xml.json", "not an elir-edge manifest")
    after(lambda: sidecar(path).write_text("{}"), "a.xml.json", "schema None")
    after(lambda: sidecar(path).write_text("[" * 100_000), "a.xml.json", "not an elir-edge manifest")
    after(lambda: sidecar(path).write_bytes(bytes(5 << 20)), "a.xml.json", "larger than any manifest")
    after(lambda: sidecar(path).write_text(manifest(files={"b.xml": ""}).to_json()), "that of b.xml")
    outside = {"a.xml": hashlib.sha256(NEW).hexdigest(), "../a.bin": hashlib.sha256(NEW).hexdigest()}
    after(
        lambda: sidecar(path).write_text(manifest(files=outside).to_json()), "'../a.bin' is missing or not a plain file"
    )


@pytest.mark.parametrize("key", [*json.loads(manifest().to_json())])
@pytest.mark.parametrize("value", [None, 3, "text", [], {}, [{}], {"a": None}])
def test_a_manifest_of_any_content_is_read_or_refused(key, value):
    """Any content of a manifest either has what the commands that show it need, or raises DataError."""
    text = json.dumps(json.loads(manifest().to_json()) | {key: value})
    try:
        found = Manifest.from_json(text, "a.json")
    except DataError as error:
        assert str(error).startswith("a.json: ")
    else:
        assert found.weights["name"] and found.noise["mode"] and found.spec["name"]
        assert isinstance(found.graph["parameters"], int)
        assert all(isinstance(name, str) for name in found.files)


def test_a_manifest_without_a_key_is_refused():
    whole = json.loads(manifest().to_json())
    for key in set(whole) - {"activations", "parity", "golden", "quantization", "compiled", "split", "files", "schema"}:
        text = json.dumps({name: value for name, value in whole.items() if name != key})
        refusal(DataError, lambda text=text: Manifest.from_json(text, "a.json"), "a.json", key)


WRITER = """
import hashlib, sys
from pathlib import Path
from tests.artifacts.samples import write_artifact
for turn in range(10_000):
    write_artifact(Path(sys.argv[1]), str(turn % 10).encode() * 200_000)
    if turn == 0:
        print("ready", flush=True)
"""


def test_killed_writers_never_leave_a_mix_that_loads(tmp_path):
    """Ten writers are killed at random moments: ``load_artifact`` accepts only complete artifacts of one writer."""
    path = tmp_path / "a.xml"
    moments = random.Random(0)
    command = [sys.executable, "-c", WRITER, str(path)]
    accepted = 0
    for _ in range(10):
        with subprocess.Popen(command, env=child_environment(), stdout=subprocess.PIPE) as writer:
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0.01, 0.06))
            writer.send_signal(signal.SIGKILL)
        try:
            found = load_artifact(path)
        except ElirEdgeError as error:
            assert error.exit_code in (65, 66)
            continue
        accepted += 1
        check_files(path, found.manifest)
        assert path.read_bytes() == path.with_suffix(".bin").read_bytes()
        assert len(set(path.read_bytes())) == 1
    write_artifact(path, NEW)
    assert load_artifact(path).path == path, "what a killed writer left behind is in nobody's way"
    assert accepted


@pytest.mark.parametrize("change", [{"schema": 2}, {"extra": 1}, {"precision": "int2"}])
def test_a_manifest_of_a_newer_version_asks_for_that(change):
    data = json.loads(manifest().to_json()) | change
    refusal(DataError, lambda: Manifest.from_json(json.dumps(data), "a.json"), "a.json", "newer elir-edge")


def test_hidden_folders_are_no_part_of_an_artifact(tmp_path):
    for name in ("a/data", "a/.hidden/data"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert files_of(tmp_path / "a") == [tmp_path / "a" / "data"]
