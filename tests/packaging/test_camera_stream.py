"""The C package's example for cameras: frames in YUV420, with strides, as NumPy and the session in Python give them."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from elir_edge import open_session, package
from elir_edge.runtime.restore import restore_picture

STRICT = ["-Wall", "-Wextra", "-Werror", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wcast-qual"]
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
SOURCES = ["camera.c", "elir_yuv.c", "elir_restorer.c", "elir_tiled.c", "tiny_model.c"]
# BT.601: black of luma, luma's factor, red of V, green of U and V, blue of U; and back: rows of Y, U, V
FULL = (0, 1.0, 1.402, -0.344136, -0.714136, 1.772)
VIDEO = (16, 1.164384, 1.596027, -0.391762, -0.812968, 2.017232)
TO_FULL = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
TO_VIDEO = np.array(
    [[0.256788, 0.504129, 0.097906], [-0.148223, -0.290993, 0.439216], [0.439216, -0.367788, -0.071427]]
)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="not installed here: gcc"),
]


@pytest.fixture(scope="module")
def artifact(light_artifact):
    return light_artifact("tflite", noise="zero")


@pytest.fixture(scope="module")
def folder(artifact, tmp_path_factory) -> Path:
    """A package with its camera program."""
    path = package(artifact, "c", tmp_path_factory.mktemp("camera") / "c")
    litert = Path(importlib.util.find_spec("ai_edge_litert").origin).with_name("libLiteRt.so")
    command = ["gcc", "-std=c11", *STRICT, *SANITIZE, *SOURCES, str(litert), "-lm", f"-Wl,-rpath,{litert.parent}"]
    done = subprocess.run([*command, "-o", "camera"], cwd=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return path


class Frames:
    """One frame's bytes, and its planes as views on them: y, u, v."""

    def __init__(self, height: int, width: int, stride: int, layout: str, data: np.ndarray | None = None) -> None:
        rows, columns = (height + 1) // 2, (width + 1) // 2
        chroma = stride if layout == "nv12" else (stride + 1) // 2
        count = stride * height + chroma * rows * (1 if layout == "nv12" else 2)
        self.data = np.random.default_rng(height).integers(0, 256, count, np.uint8) if data is None else data
        self.y = self.data[: stride * height].reshape(height, stride)[:, :width]
        rest = self.data[stride * height :].reshape(-1, chroma)
        if layout == "nv12":
            self.u, self.v = rest[:, 0 : 2 * columns : 2], rest[:, 1 : 2 * columns : 2]
        else:
            self.u, self.v = rest[:rows, :columns], rest[rows:, :columns]


def to_rgb(frame: Frames, levels: str) -> np.ndarray:
    black, by_y, rv, gu, gv, bu = FULL if levels == "full" else VIDEO
    height, width = frame.y.shape
    u, v = (np.kron(plane.astype(float) - 128, np.ones((2, 2)))[:height, :width] for plane in (frame.u, frame.v))
    y = (frame.y.astype(float) - black) * by_y
    return np.stack([y + rv * v, y + gu * u + gv * v, y + bu * u], axis=2)


def from_rgb(rgb: np.ndarray, levels: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    height, width = rgb.shape[:2]
    even = np.pad(rgb.astype(float), ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    small = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 3).mean(axis=(1, 3))
    matrix = TO_FULL if levels == "full" else TO_VIDEO
    return (
        rgb @ matrix[0] + (0 if levels == "full" else 16),
        small @ matrix[1] + 128,
        small @ matrix[2] + 128,
    )


@pytest.mark.parametrize("levels", ["full", "video"])
@pytest.mark.parametrize(
    ("height", "width", "stride", "layout"), [(40, 64, 64, "i420"), (75, 81, 96, "i420"), (61, 90, 112, "nv12")]
)
def test_frames_of_a_stream_are_restored_as_in_python(levels, height, width, stride, layout, artifact, folder):
    given = Frames(height, width, stride, layout)
    words = [str(width), str(height), str(stride), layout, levels]
    twice = np.concatenate([given.data, given.data]).tobytes()
    done = subprocess.run([folder / "camera", *words], cwd=folder, input=twice, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.search(rb"2 frames, each [\d.]+ ms to restore and [\d.]+ ms from and to YUV\n", done.stderr)
    assert done.stdout[: len(given.data)] == done.stdout[len(given.data) :]
    out = Frames(height, width, stride, layout, np.frombuffer(done.stdout, np.uint8)[: len(given.data)])
    rgb = np.floor(to_rgb(given, levels).clip(0, 255) + 0.5).clip(0, 255).astype(np.uint8)
    with open_session(artifact.path, "litert") as session:
        restored = restore_picture(session, rgb)
    y, u, v = from_rgb(restored, levels)
    assert share_near(out.y, y) > 0.99 and share_near(out.u, u) > 0.99 and share_near(out.v, v) > 0.99
    unused = np.ones(len(given.data), bool)
    Frames(height, width, stride, layout, unused).y[:] = False
    for plane in (Frames(height, width, stride, layout, unused).u, Frames(height, width, stride, layout, unused).v):
        plane[:] = False
    assert np.array_equal(out.data[unused], given.data[unused]), "what lies between rows is left alone"


def share_near(there: np.ndarray, wanted: np.ndarray) -> float:
    """Share of the values that are the rounded ones. A level that rounds the other way moves some."""
    distance = np.abs(there.astype(float) - wanted.clip(0, 255))
    assert distance.max() <= 2.5
    return float((distance <= 0.51).mean())


@pytest.mark.parametrize(
    ("words", "data", "code", "told"),
    [
        (["64", "40", "60", "i420", "full"], b"", 2, b"usage"),
        (["65", "40", "65", "nv12", "full"], b"", 2, b"usage"),
        (["64", "40", "64", "yuyv", "full"], b"", 2, b"usage"),
        (["64", "0", "64", "i420", "full"], b"", 2, b"usage"),
        (["64", "40", "64", "i420", "full"], b"123", 65, b"inside a frame"),
        (["64", "40", "64.9", "i420", "full"], b"", 2, b"usage"),
        (["64", "40", "64", "i420", "full", "two"], b"", 2, b"usage"),
        (["--model", "none", "64", "40", "64", "i420", "full"], b"", 70, b"none: the model file cannot be read"),
        (["--model", "tiny.tflite", "64", "40", "64", "i420", "full"], b"", 0, b"0 frames"),
    ],
)
def test_what_is_no_stream_is_refused(words, data, code, told, folder):
    done = subprocess.run([folder / "camera", *words], cwd=folder, input=data, capture_output=True, timeout=300)
    assert done.returncode == code and told in done.stderr, done.stderr
