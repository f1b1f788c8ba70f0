"""A folder to break things in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import save_picture
from tests.robustness.faults import TINY, write_onnx


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """The current folder: a model, a picture, an artifact that works, and one that is in the way of new ones."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "tiny.yaml").write_text(TINY)
    save_picture(folder / "a.png")
    write_onnx(folder / "good.onnx")
    for name in ("old.onnx", "old.onnx.json", "old.onnx.golden.zip", "old.png"):
        (folder / name).write_text("precious")
    return folder
