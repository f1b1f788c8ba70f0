"""Artifacts: changed, mixed up, made by somebody else, pointing elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from elir_edge.artifacts.artifact import sidecar
from elir_edge.artifacts.golden import golden_path
from elir_edge.core.files import sha256_of
from tests.robustness.faults import (
    Fault,
    assert_refused,
    identity_model,
    manifest,
    write_beside,
    write_ir,
    write_onnx,
)
from tests.robustness.test_pictures import png_header

RESTORE = ("restore", "a.png", "-o", "old.png", "--force", "-a")


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def ir(change, folder: Path) -> None:
    """OpenVINO IR that nobody vouches for, after ``change`` of its .bin."""
    change(write_ir(folder / "a.xml", beside=False).with_suffix(".bin"))


def ir_flipped(old: bytes, new: bytes, folder: Path) -> None:
    path = write_ir(folder / "a.xml", beside=False)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))


def golden_zip(name: str, content: bytes, folder: Path) -> None:
    """A golden file with hashes that agree and one more, or another, member."""
    path = folder / "good.onnx"
    target = golden_path(path)
    with zipfile.ZipFile(target) as file:
        members = {entry: file.read(entry) for entry in file.namelist()} | {name: content}
    with zipfile.ZipFile(target, "w") as file:
        for entry, data in members.items():
            file.writestr(entry, data)
    facts = manifest(golden=json.loads(sidecar(path).read_text())["golden"] | {"sha256": sha256_of(target)})
    path.write_bytes(identity_model(facts.to_json()).SerializeToString())
    write_beside(path, facts)


def stranger(folder: Path) -> None:
    (folder / "c.onnx").write_bytes(identity_model(None).SerializeToString())


def other_content(folder: Path) -> None:
    shutil.copy(folder / "good.onnx", folder / "good.xml")


LINES = {
    "a byte changed": ("good.onnx", lambda f: flip(f / "good.onnx", -3), "sha256 differs", "copy it again"),
    "cut short": ("good.onnx", lambda f: os.truncate(f / "good.onnx", 100), "sha256 differs"),
    "a link in its place": (
        "good.onnx", lambda f: ((f / "good.onnx").rename(f / "x"), (f / "good.onnx").symlink_to("x")), "no links"
    ),
    "the manifest of another": (
        "b.onnx", lambda f: [shutil.copy(f / f"good.onnx{e}", f / f"b.onnx{e}") for e in ("", ".json")], "that of good"
    ),
    "a manifest that is none": ("good.onnx", lambda f: (f / "good.onnx.json").write_text("{}"), "manifest", "-> "),
    "an .xml without its .bin": ("a.xml", partial(ir, lambda path: path.unlink()), "a.xml"),
    "an .xml with a .bin cut short": ("a.xml", partial(ir, lambda path: os.truncate(path, 7)), "a.xml"),
    "a manifest inside that is not UTF-8": ("a.xml", partial(ir_flipped, b"random:0", b"rand\xff\xfe:0"), "a.xml"),
    "ONNX under the name of an IR": ("good.xml", other_content, "not what a '.xml' file holds"),
    "no manifest anywhere": (
        "c.onnx", stranger, "holds no elir-edge manifest"
    ),
}  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_refused(line, place, run):
    name, prepare, *named = LINES[line]
    assert_refused(Fault(65, (*RESTORE, name), (name, *named), prepare), place, run)


GOLDEN = {
    "a header of 20000 x 20000": ("image.png", png_header(20_000, 20_000)),
    "no picture": ("restored.png", b"text"),
}


@pytest.mark.parametrize("line", GOLDEN)
def test_golden_files_that_are_damaged(line, place, run):
    prepare = partial(golden_zip, *GOLDEN[line])
    assert_refused(Fault(65, ("verify", "good.onnx"), ("good.onnx.golden.zip", "damaged"), prepare), place, run)


@pytest.mark.parametrize(
    "name", ["../escape", "/elir-edge-escape", "C:\\escape"], ids=["above", "absolute", "on a drive"]
)
def test_members_of_an_archive_are_never_written_anywhere(name, place, run):
    """Only the members that a golden file has are read, into memory; no archive is unpacked."""
    golden_zip(name, b"escaped", place)
    before = set(place.parent.rglob("*"))
    assert run("verify", "good.onnx").code == 0
    assert set(place.parent.rglob("*")) == before
    assert not Path("/elir-edge-escape").exists()


def test_another_backends_files_are_a_matter_of_usage(place, run):
    assert_refused(Fault(2, (*RESTORE, "good.onnx", "-b", "litert"), ("good.onnx", ".tflite")), place, run)


# ---- what a runtime does with a graph that is structurally damaged ---------------------------------------------------


def lie_about_a_shape(path: Path) -> None:
    """A constant of a .tflite file that claims to be larger than its buffer."""
    from elir_edge.formats.tflite.file import pack_model, read_file

    model = read_file(path)
    graph = model.subgraphs[0]
    sizes = [0 if buffer.data is None else len(buffer.data) for buffer in model.buffers]
    largest = max(graph.tensors, key=lambda item: sizes[item.buffer])
    largest.shape = np.asarray(largest.shape) * 64
    path.write_bytes(pack_model(model))


@pytest.mark.slow
@pytest.mark.parametrize("vouched", [False, True])
def test_a_graph_that_kills_its_runtime_is_an_error_here(vouched, tiny_artifact, place):
    """Whether or not hashes agree: the process that says so is not the one that runs it."""
    from tests.helpers import run_process

    source = tiny_artifact("tflite")
    shutil.copy(source.path, place / "evil.tflite")
    lie_about_a_shape(place / "evil.tflite")
    if vouched:
        write_beside(place / "evil.tflite", source.manifest)
    for arguments in (("inspect", "evil.tflite"), (*RESTORE, "evil.tflite")):
        if vouched and arguments[0] == "inspect":
            continue  # it reads the manifests, and runs nothing
        assert_refused(Fault(65, arguments, ("evil.tflite", "again")), place, run_process)


def test_an_artifact_of_our_own_is_taken(place, run):
    write_onnx(place / "mine.onnx", beside=False)
    write_ir(place / "mine.xml")
    for name in ("mine.onnx", "good.onnx", "mine.xml"):
        assert run("restore", "a.png", "-o", "new.png", "--force", "-a", name).code == 0
