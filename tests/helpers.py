"""Helpers of several test files."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import elir_edge
from elir_edge.artifacts.artifact import Manifest
from elir_edge.errors import ElirEdgeError

PACKAGE_ROOT = Path(elir_edge.__file__).parents[1]


def refusal(kind: type[ElirEdgeError], call, *named: str) -> ElirEdgeError:
    """Assert that ``call`` raises exactly ``kind``, with all of ``named`` in message and hint; returns the error."""
    with pytest.raises(ElirEdgeError) as caught:
        call()
    error = caught.value
    assert type(error) is kind, f"{type(error).__name__}: {error}"
    said = f"{error}\n{error.hint or ''}"
    for text in named:
        assert text in said, f"'{text}' is not in: {said}"
    return error


@dataclass(frozen=True)
class Outcome:
    """Exit code, stdout and stderr of a run of the command line."""

    code: int
    out: str
    err: str


def command_line(*arguments: str | Path) -> list[str]:
    """The command that runs the tool in a process of its own."""
    return [sys.executable, "-m", "elir_edge", *map(str, arguments)]


def child_environment(**more: str) -> dict[str, str]:
    """Environment for child processes, with the package under test first on the path."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(PACKAGE_ROOT), *([inherited] if inherited else [])])
    return {**os.environ, "PYTHONPATH": path, **more}


def run_process(*arguments: str | Path, cwd: Path | None = None, timeout: float = 300, **environment: str) -> Outcome:
    """Run the tool in a process of its own."""
    done = subprocess.run(
        command_line(*arguments), cwd=cwd, env=child_environment(**environment), capture_output=True, timeout=timeout
    )
    return Outcome(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def heed_signals() -> None:
    """For ``preexec_fn``: what runs in a shell's background has SIGINT ignored, and children inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def snapshot(folder: Path) -> dict[str, str]:
    """Relative name -> sha256 of every file below ``folder``; folders and links by what they are."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
    return found


def save_picture(path: Path, height: int = 24, width: int = 20, seed: int = 0) -> np.ndarray:
    """Write a picture of random pixels, and return them."""
    from PIL import Image

    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return pixels


def manifest_without_files() -> Manifest:
    """A manifest as an export writes it, for tests that need no files."""
    return Manifest(
        target="onnx",
        precision="fp32",
        spec={"name": "tiny", "task": "", "steps": 1},
        weights={"name": "random:0", "kind": "random", "sha256": "0" * 64, "tensors_sha256": "0" * 64},
        size=(64, 64),
        io="float",
        layout="NCHW",
        noise={"mode": "zero", "seed": None, "sigma_s": 0.0},
        inputs=(),
        outputs=(),
        stages=(),
        graph={"parameters": 1, "gflop": 1.0},
        format={},
        versions={},
        request="0" * 64,
    )
