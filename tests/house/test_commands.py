"""Every command of the documents works as written, in the order in which a reader meets them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from elir_edge.imaging.pictures import builtin_photograph, read_picture, write_picture
from tests.helpers import run_process
from tests.house.documents import DOCUMENTS, NOT_RUN, ROOT, Document

MINUTES = 60.0
pytestmark = pytest.mark.campaign


class Reader:
    """Somebody who tries what the documents say in a folder with photographs; nothing is done twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._done: set[str] = set()

    def run(self, command: str) -> None:
        """Run ``command`` unless that was done. Its exit status has to be the one that is expected."""
        if command in self._done or command in NOT_RUN or command.startswith("make export"):
            return
        self._done.add(command)
        program, *arguments = shlex.split(command)
        assert program == "elir-edge", command
        outcome = run_process(*arguments, cwd=self.folder, timeout=30 * MINUTES)
        assert outcome.code == 0, (command, outcome.err)


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    """With a photograph, a folder of two, one of a scan, and a video of three frames."""
    path = tmp_path_factory.mktemp("reader")
    (path / "photos").mkdir()
    for target, name in (("photo.jpg", "coffee"), ("photos/one.jpg", "chelsea"), ("photos/two.jpg", "rocket")):
        write_picture(path / target, builtin_photograph(name)[:200, :280])
    (path / "scans").mkdir()
    Image.fromarray(builtin_photograph("rocket")[:200, :280]).save(path / "scans" / "three.tif")
    write_video(path / "clip.mp4", [builtin_photograph("coffee")[i : 64 + i, :96] for i in range(3)])
    return Reader(path)


def write_video(path: Path, frames: list[np.ndarray]) -> None:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, width=frames[0].shape[1], height=frames[0].shape[0])
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


def test_make_export_on_this_checkout(tmp_path):
    """In a copy of the sources, with this environment in the place of the one that make would build."""
    commands = Document("README.md").commands()
    assert commands[:2] == ["make export TARGET=tflite", "make test"]
    tree = tmp_path / "clone"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", "build", ".*_cache", "__pycache__"))
    (tree / ".venv").mkdir()
    (tree / ".venv" / "bin").symlink_to(Path(sys.prefix) / "bin")
    (tree / ".venv" / ".ready").touch()
    result = subprocess.run(shlex.split(commands[0]), cwd=tree, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert (tree / "build" / "nano-256-fp32.tflite").is_file()
    assert "differs from PyTorch by at most" in result.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_command_works(document, reader):
    for command in document.commands():
        reader.run(command)


def test_pictures_were_restored(reader):
    for command in Document("docs/export.md").commands():
        reader.run(command)
    assert read_picture(reader.folder / "restored.png").shape == (200, 280, 3)
    assert {path.name for path in (reader.folder / "restored").glob("[!.]*")} == {"one.jpg", "two.jpg"}


def test_the_python_examples(reader, monkeypatch):
    monkeypatch.chdir(reader.folder)
    scope: dict = {}
    for block in Document("docs/python.md").blocks("python"):
        exec(block, scope)
    assert scope["restored"].shape == scope["picture"].shape
    assert scope["fits"] is False
    assert (reader.folder / "camera-c" / "CMakeLists.txt").is_file()
