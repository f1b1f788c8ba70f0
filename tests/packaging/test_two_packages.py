"""Two forms of one model in one program: names of files, symbols and targets do not meet."""

from __future__ import annotations

import dataclasses
import functools
import zipfile

import pytest

from elir_edge import package
from elir_edge.artifacts.artifact import Artifact
from elir_edge.artifacts.signature import RESTORED
from elir_edge.errors import OutputError, UsageError
from tests.helpers import refusal
from tests.packaging.programs import litert_library, needs, run
from tests.robustness.faults import SIDE, manifest, write_tflite

PROJECT = """cmake_minimum_required(VERSION 3.16)
project(app C ASM)
add_subdirectory(small)
add_subdirectory(large)
add_executable(restore app.c)
target_link_libraries(restore PRIVATE small_restorer large_restorer)
"""
PROGRAM = """#include "large_model.h"
#include "small_model.h"
int main(void) { return elir_small.width == elir_large.width ? 0 : 1; }
"""


@pytest.fixture
def artifact(tmp_path) -> Artifact:
    """Gives its picture back."""
    pytest.importorskip("ai_edge_litert")
    image = dataclasses.replace(manifest().inputs[0], shape=(1, SIDE, SIDE, 3), layout="NHWC")
    restored = dataclasses.replace(image, name=RESTORED)
    facts = manifest(target="tflite", layout="NHWC", inputs=(image,), outputs=(restored,))
    return Artifact(write_tflite(tmp_path / "a.tflite"), facts)


@pytest.mark.parametrize("lang", ["c", "kotlin"])
def test_a_name_of_its_own(artifact, lang, tmp_path):
    folder = package(artifact, lang, tmp_path / "p", name="small")
    texts = [path.read_text() for path in folder.rglob("*") if path.suffix in (".c", ".h", ".kt", ".kts", ".txt")]
    assert any("small" in text for text in texts)
    assert not any("elir_tiny" in text or "tiny_restorer" in text for text in texts)
    error = refusal(UsageError, lambda: package(artifact, lang, tmp_path / "q", name="Small 2"), "Small 2")
    assert error.hint == "--name small_2"
    refusal(UsageError, lambda: package(artifact, lang, tmp_path / "q", name="a" * 101), "101 letters", "100")


def test_files_of_the_user_s_own_are_not_replaced(artifact, tmp_path):
    folder = package(artifact, "c", tmp_path / "p")
    (folder / "build").mkdir()
    (folder / "build" / "restore").write_text("built")
    package(artifact, "c", folder, force=True)
    assert not (folder / "build").exists()
    for name in ("a.txt", "b.txt", "c.txt"):
        (folder / name).write_text("mine")
    (folder / "main.c").write_text("mine")
    replace = functools.partial(package, artifact, "c", folder, force=True)
    error = refusal(OutputError, replace, "p: holds files", "a.txt, b.txt, c.txt and 1 more")
    assert "move them away" in error.hint
    for name in ("a.txt", "b.txt", "c.txt"):
        (folder / name).unlink()
    refusal(OutputError, replace, "changed since: main.c")
    assert (folder / "main.c").read_text() == "mine"


@needs("sh", "unzip")
def test_the_readme_takes_the_library_of_each_processor(artifact, tmp_path):
    """With the wheels of both in their folders, as ``pip download`` leaves them."""
    folder = package(artifact, "c", tmp_path / "p")
    lines = (folder / "README.md").read_text().splitlines()
    downloads = [line.split(" -d ")[1].split()[0] for line in lines if line.startswith("pip download")]
    for processor in downloads:
        (folder / processor).mkdir()
        with zipfile.ZipFile(folder / processor / f"ai_edge_litert-2-{processor}.whl", "w") as wheel:
            wheel.writestr("ai_edge_litert/libLiteRt.so", processor)
    for line in lines:
        if line.startswith("unzip"):
            done = run(folder, "sh", "-c", line)
            assert done.returncode == 0, done.stderr
    found = [(folder / name).read_text() for name in ("libLiteRt.so", "aarch64/libLiteRt.so")]
    assert found == downloads


@needs("cmake", "gcc")
def test_two_in_one_program(artifact, tmp_path):
    for name in ("small", "large"):
        package(artifact, "c", tmp_path / name, embed=True, name=name)
    (tmp_path / "CMakeLists.txt").write_text(PROJECT)
    (tmp_path / "app.c").write_text(PROGRAM)
    made = run(tmp_path, "cmake", "-S", ".", "-B", "build", f"-DLITERT_LIBRARY={litert_library()}")
    assert made.returncode == 0, made.stderr
    built = run(tmp_path, "cmake", "--build", "build")
    assert built.returncode == 0, built.stderr
    assert run(tmp_path, "build/restore").returncode == 0
