"""Untrusted artifacts: whatever they do to a runtime, the tool reports an error."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from elir_edge.core import child
from elir_edge.errors import DataError, ElirEdgeError, UnavailableError, UsageError
from elir_edge.runtime import probe as probing
from elir_edge.runtime.probe import probe
from elir_edge.runtime.session import open_session
from tests.helpers import refusal

COPIES = 4  # many more, in fewer processes: tests/fuzz


@pytest.fixture
def text(tmp_path) -> Path:
    (tmp_path / "a.onnx").write_text("no model")
    return tmp_path / "a.onnx"


CHILDREN = {
    "a crash": ("import os; os.kill(os.getpid(), 11)", "its process died (signal 11, SIGSEGV)", "copy it again"),
    "an abort": ("import os; os.abort()", "its process died (signal 6, SIGABRT)", "copy it again"),
    "an exit": ("import os; os._exit(0)", "its process ended without an answer (status 0)"),
    "an exit with a status": ("import sys; sys.exit(3)", "its process ended without an answer (status 3)"),
    "chatter only": ("print('hello')", "its process ended without an answer"),
    "a hang": ("import time; time.sleep(60)", "no answer within 0.5 s", "less busy", "copy it again"),
}


@pytest.mark.parametrize("case", CHILDREN)
def test_what_the_child_does_is_told(case, text, monkeypatch):
    code, *named = CHILDREN[case]
    monkeypatch.setattr(child, "BOOTSTRAP", code)
    monkeypatch.setattr(probing, "TIMEOUT_SECONDS", 0.5 if case == "a hang" else 30)
    refusal(DataError, lambda: probe(text), "a.onnx", *named)


def test_the_childs_error_keeps_its_kind(text, monkeypatch):
    told = '{"error": {"kind": "UnavailableError", "message": "not there", "hint": "pip install it"}}'
    monkeypatch.setattr(child, "BOOTSTRAP", f"print('{told}')")
    refusal(UnavailableError, lambda: probe(text), "not there", "pip install it")


@pytest.mark.parametrize("name", ["a.onnx", "a.tflite", "a.xml"])
@pytest.mark.parametrize("content", [b"", b"text", bytes(100), b"\x1c\x00\x00\x00TFL3" + bytes(100), b"<net></net>"])
def test_no_model(name, content, tmp_path, monkeypatch):
    (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    error = refusal(DataError, lambda: probe(Path(name)), name)
    assert "Traceback" not in str(error) and str(tmp_path) not in str(error)


def test_another_kind_of_file(tmp_path):
    refusal(UsageError, lambda: probe(tmp_path / "a.pt"), "a.pt", ".onnx", ".pte", ".tflite")


def test_nothing_is_imported_from_the_current_folder(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("numpy.py", "onnxruntime.py", "json.py"):
        (tmp_path / name).write_text("open('canary', 'w')\n")
    refusal(DataError, lambda: probe(text), "a.onnx")
    assert not (tmp_path / "canary").exists()


def onnx_model(location: str | None = None):
    onnx = pytest.importorskip("onnx")
    weight = onnx.numpy_helper.from_array(np.ones(64, np.float32), "weight")
    if location is not None:
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", "256")):
            weight.external_data.add(key=key, value=value)
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [64]) for name in ("image", "restored")]
    node = onnx.helper.make_node("Add", ["image", "weight"], ["restored"])
    graph = onnx.helper.make_graph([node], "graph", values[:1], values[1:], [weight])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def test_a_model_of_somebody_else(tmp_path):
    (tmp_path / "a.onnx").write_bytes(onnx_model().SerializeToString())
    refusal(DataError, lambda: probe(tmp_path / "a.onnx"), "a.onnx", "holds no elir-edge manifest")


def test_the_ending_says_what_a_file_is(tmp_path):
    """OpenVINO would open either by its content."""
    (tmp_path / "a.xml").write_bytes(onnx_model().SerializeToString())
    (tmp_path / "a.onnx").write_text('<?xml version="1.0"?>\n<net name="a" version="11"></net>')
    refusal(DataError, lambda: probe(tmp_path / "a.xml"), "a.xml", "not what a '.xml' file holds")
    refusal(DataError, lambda: open_session(tmp_path / "a.onnx", "openvino"), "a.onnx", "not what a '.onnx' file holds")


@pytest.mark.parametrize("kind", ["parent", "absolute", "nested", "link", "hard link", "beside"])
def test_weights_outside_the_file_are_refused(kind, tmp_path, monkeypatch):
    """An artifact is whole: a graph that reads other files is not one of ours, wherever they lie."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(256))
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    monkeypatch.chdir(folder)
    shutil.copy(secret, folder / "inner" / "w.bin")
    shutil.copy(secret, folder / "beside")
    (folder / "link").symlink_to(secret)
    (folder / "hard link").hardlink_to(secret)
    where = {"parent": "../secret", "absolute": str(secret), "nested": "inner/w.bin"}.get(kind, kind)
    (folder / "a.onnx").write_bytes(onnx_model(where).SerializeToString())
    refusal(DataError, lambda: probe(folder / "a.onnx"), "a.onnx", "keeps its weights in other files")


# ---- damage --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifact_paths(light_artifact):
    return {kind: light_artifact(kind, noise="input").path for kind in ("onnx", "tflite")}


def with_flipped_bit(whole: bytes, number: int) -> bytes:
    """A copy with one bit changed; every other one near an end, where the structure is."""
    draw = np.random.default_rng(number)
    at = int(draw.integers(len(whole))) if number % 2 else int(draw.integers(2000)) - 1000
    damaged = bytearray(whole)
    damaged[at] ^= 1 << int(draw.integers(8))
    return bytes(damaged)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_flipped_bits_end_in_a_message_or_a_manifest(kind, artifact_paths, tmp_path):
    whole = artifact_paths[kind].read_bytes()
    assert probe(artifact_paths[kind]).target == kind

    def outcome(number: int) -> str:
        path = tmp_path / f"{number}.{kind}"
        path.write_bytes(with_flipped_bit(whole, number))
        try:
            return probe(path).target
        except ElirEdgeError as error:
            assert type(error) is DataError and path.name in str(error), f"{type(error).__name__}: {error}"
            assert "Traceback" not in str(error)
            return "refused"

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        outcomes = list(pool.map(outcome, range(COPIES)))
    assert set(outcomes) <= {kind, "refused"}
    assert "refused" in outcomes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "tflite"])
@pytest.mark.parametrize("percent", [1, 50, 99])
def test_cut_short(kind, percent, artifact_paths, tmp_path):
    whole = artifact_paths[kind].read_bytes()
    (tmp_path / f"a.{kind}").write_bytes(whole[: len(whole) * percent // 100])
    refusal(DataError, lambda: probe(tmp_path / f"a.{kind}"), f"a.{kind}")
