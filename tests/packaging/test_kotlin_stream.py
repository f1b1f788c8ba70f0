"""Tiles and YUV frames of the Kotlin package, on a JVM: the bytes of the tiling in Python and of the C library."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from elir_edge import package
from elir_edge.runtime.restore import restore_picture
from tests.packaging.programs import compile_kotlin, kotlin_compiler, needs, random_frame, run
from tests.sessions import IdentitySession
from tests.tiny import LIGHT

TILE = (LIGHT.size, LIGHT.size)
pytestmark = [
    pytest.mark.slow,
    needs("java", "gcc"),
    pytest.mark.skipif(not kotlin_compiler(), reason="no Kotlin compiler: pip install --no-deps kotlin-jupyter-kernel"),
]


@pytest.fixture(scope="module", params=["float", "uint8"])
def kotlin(request, light_artifact, tmp_path_factory):
    """Runs the program ``CheckStream`` with the package of a float or a byte model; (io, function)."""
    place = tmp_path_factory.mktemp("kotlin")
    artifact = light_artifact("tflite", io=request.param, noise="zero" if request.param == "float" else "baked:3")
    java = compile_kotlin(package(artifact, "kotlin", place / "android"), "CheckStream", place)

    def start(*words, shade=False):
        done = run(place, *java[:1], *(["-Dshade=yes"] if shade else []), *java[1:], "CheckStreamKt", *map(str, words))
        assert done.returncode == 0, done.stderr
        return done.stdout

    return request.param, start


def darken(image: np.ndarray) -> np.ndarray:
    """What the model of the JVM does with its input, uint8 or float32: each value by its place in the frame."""
    place = (np.arange(image.size) % 97).reshape(image.shape)
    if image.dtype == np.uint8:
        return (image.astype(np.int32) * place // 96).astype(np.uint8)
    return image * (place.astype(np.float32) / np.float32(96))


@pytest.mark.parametrize("size", [(64, 64), (150, 203), (20, 31), (1, 300)])
def test_tiles_are_those_of_python(size, kotlin, tmp_path):
    io, start = kotlin
    frame = random_frame(height=size[0], width=size[1])
    (tmp_path / "in.rgb").write_bytes(frame.tobytes())
    start("tiles", tmp_path / "in.rgb", tmp_path / "out.rgb", size[1], size[0], shade=True)
    restored = np.frombuffer((tmp_path / "out.rgb").read_bytes(), np.uint8).reshape(frame.shape)
    # Tiles are cut as the C library does it: a frame smaller than a tile is continued by all of its reflections.
    padded = np.pad(frame, [(0, max(0, TILE[0] - size[0])), (0, max(0, TILE[1] - size[1])), (0, 0)], mode="reflect")
    session = IdentitySession("uint8" if io == "uint8" else "float32", darken, LIGHT.size, "NHWC")
    assert np.array_equal(restored, restore_picture(session, padded)[: size[0], : size[1]])


@pytest.fixture(scope="module")
def c_yuv(tmp_path_factory) -> ctypes.CDLL:
    """The C package's conversions as a shared library."""
    import elir_edge.packaging

    sources = Path(elir_edge.packaging.__file__).parent / "templates" / "c"
    library = tmp_path_factory.mktemp("yuv") / "libyuv.so"
    subprocess.run(["gcc", "-std=c11", "-shared", "-fPIC", "-o", library, sources / "elir_yuv.c"], check=True)
    return ctypes.CDLL(str(library))


class Frame(ctypes.Structure):
    """``elir_yuv`` of elir_yuv.h."""

    _fields_ = [(name, ctypes.c_void_p) for name in ("y", "u", "v")] + [
        ("y_stride", ctypes.c_size_t),
        ("chroma_stride", ctypes.c_size_t),
        ("chroma_step", ctypes.c_size_t),
        ("range", ctypes.c_int),
    ]


@pytest.mark.parametrize("levels", ["full", "video"])
@pytest.mark.parametrize("width, height, stride, step", [(64, 40, 64, 1), (81, 75, 96, 1), (90, 61, 112, 2)])
def test_frames_of_a_stream_are_those_of_c(width, height, stride, step, levels, kotlin, c_yuv, tmp_path):
    """The model gives its input back: what comes out went to RGB and back."""
    chroma = stride if step == 2 else (stride + 1) // 2
    places = (stride * height, stride * height + (1 if step == 2 else chroma * ((height + 1) // 2)))
    data = random_frame(height=1, width=stride * height * 2)[0, :, 0].copy()
    (tmp_path / "in.yuv").write_bytes(data.tobytes())
    words = (tmp_path / "in.yuv", tmp_path / "out.yuv", width, height, stride, chroma, step, *places, levels)
    told = kotlin[1]("stream", *words)
    assert re.search(r"restored in [\d.E-]+ ms, converted in [\d.E-]+ ms", told)
    rgb = np.empty((height, width, 3), np.uint8)
    start = data.ctypes.data
    frame = Frame(start, *(start + place for place in places), stride, chroma, step, levels == "video")
    for function in (c_yuv.elir_yuv_to_rgb, c_yuv.elir_yuv_from_rgb):
        function(ctypes.byref(frame), width, height, ctypes.c_void_p(rgb.ctypes.data), ctypes.c_size_t(3 * width))
    assert (tmp_path / "out.yuv").read_bytes() == data.tobytes()


def test_what_is_no_frame_is_refused(kotlin):
    kotlin[1]("refusals", "-", "-")
