"""Graphs that point to other files: an artifact is whole, in every runtime."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from elir_edge.errors import DataError
from elir_edge.runtime.session import open_session
from tests.helpers import refusal
from tests.robustness.faults import (
    SIDE,
    Fault,
    assert_refused,
    identity_model,
    manifest,
    write_beside,
)

RESTORE = ("restore", "a.png", "-o", "old.png", "--force", "-a")


def external(kind: str, folder: Path) -> None:
    """An artifact with a manifest inside, and hashes that agree, whose weights lie in another file."""
    data = bytes(4 * SIDE)
    inner = folder / "inner"
    inner.mkdir()
    for path in (folder.parent / "outside", folder / "beside", inner / "w.bin"):
        path.write_bytes(data)
    (folder / "link").symlink_to(folder.parent / "outside")
    (folder / "hard").hardlink_to(folder.parent / "outside")
    where = {"../": "../outside", "nested": "inner/w.bin", "absolute": str(folder.parent / "outside")}.get(kind, kind)
    path = folder / "ext.onnx"
    path.write_bytes(identity_model(manifest().to_json(), where).SerializeToString())
    write_beside(path, manifest())


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("kind", ["../", "nested", "absolute", "link", "hard", "beside"])
def test_weights_in_other_files_are_refused(kind, backend, place, run):
    named = ("ext.onnx", "keeps its weights in other files", "export it again as one file")
    assert_refused(Fault(65, (*RESTORE, "ext.onnx", "-b", backend), named, partial(external, kind)), place, run)


def nested_external(folder: Path) -> None:
    """The external tensor is the value of a node's attribute, not one of the graph's initializers."""
    import onnx

    model = identity_model(manifest().to_json(), "beside")
    constant = onnx.helper.make_node("Constant", [], ["zeros"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR).t.CopyFrom(model.graph.initializer[0])
    del model.graph.initializer[:]
    model.graph.node.insert(0, constant)
    (folder / "beside").write_bytes(bytes(4 * SIDE))
    (folder / "ext.onnx").write_bytes(model.SerializeToString())
    write_beside(folder / "ext.onnx", manifest())


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_weights_of_an_attribute_in_other_files_are_refused(backend, place, run):
    named = ("ext.onnx", "keeps its weights in other files")
    assert_refused(Fault(65, (*RESTORE, "ext.onnx", "-b", backend), named, nested_external), place, run)


def test_sessions_refuse_external_data_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    external("nested", tmp_path / "folder")
    for backend in ("onnxruntime", "openvino"):
        refusal(DataError, partial(open_session, tmp_path / "folder" / "ext.onnx", backend), "ext.onnx", "other files")
