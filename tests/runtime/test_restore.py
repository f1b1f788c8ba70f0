"""Pictures through a session, without any runtime: layouts, value ranges, noise, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from elir_edge.artifacts.signature import TensorSpec
from elir_edge.errors import DataError, ResourceError, UsageError
from elir_edge.imaging.noise import draw_noise
from elir_edge.runtime.base import Session
from elir_edge.runtime.batch import restore
from elir_edge.runtime.restore import noise_feeds, restore_picture
from elir_edge.runtime.settings import Settings
from tests.helpers import refusal

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


class FunctionSession(Session):
    """Applies a function to the image."""

    backend = "function"

    def __init__(self, function, dtype="float32", layout="NCHW", extra=()):
        shape = (1, 3, 32, 32) if layout == "NCHW" else (1, 32, 32, 3)
        image = TensorSpec("image", shape, dtype, layout, "RGB")
        super().__init__([image, *extra], [TensorSpec("restored", shape, dtype, layout, "RGB")])
        self.function = function

    def _run(self, feeds):
        return {"restored": self.function(feeds["image"])}

    def _close(self): ...


@pytest.mark.parametrize("shape", [(50, 70), (50, 70, 1), (50, 70, 2), (50, 70, 4)])
def test_arrays_of_any_channels_keep_their_shape(shape):
    pixels = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    assert np.array_equal(restore_picture(FunctionSession(lambda image: image), pixels), pixels)


@pytest.mark.parametrize("pixels", [PICTURE / 255, PICTURE[:0], PICTURE[None], PICTURE > 9, [[1, 2], [3, 4]]])
def test_what_is_no_picture_is_refused(pixels):
    refusal(UsageError, lambda: restore_picture(FunctionSession(lambda image: image), pixels), "uint8 or uint16")


@pytest.mark.parametrize("values", [
    {"seed": -1}, {"seed": 2**63}, {"seed": 0.5}, {"overlap": 1.5}, {"quality": 0}, {"quality": "high"},
    {"profile": "x"}, {"alpha": "x"},
])  # fmt: skip
def test_settings_that_are_none(values):
    [name] = values
    refusal(UsageError, lambda: Settings(**values), name)


@pytest.fixture
def artifact(tmp_path, monkeypatch) -> str:
    """What requests are refused for before it is opened."""
    monkeypatch.setattr("elir_edge.runtime.batch._runnable", Path)
    return str(tmp_path / "a.onnx")


@pytest.mark.parametrize("pictures, options, said", [
    ([PICTURE], {"jobs": 0}, "0 jobs"),
    ([PICTURE], {"format": "gif"}, "format has no effect"),
    ([[[1, 2], [3, 4]]], {}, "not a list"),
    ([None], {"out": "o"}, "not a NoneType"),
])  # fmt: skip
def test_requests_that_make_no_sense_are_refused_at_once(pictures, options, said, artifact):
    refusal(UsageError, lambda: restore(pictures, artifact, **options), said)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_an_identity_gives_the_picture_back_in_every_form(dtype, layout):
    session = FunctionSession(lambda image: image, dtype, layout)
    assert np.array_equal(restore_picture(session, PICTURE), PICTURE)


def test_channels_are_not_mixed_up():
    session = FunctionSession(lambda image: image * np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1))
    restored = restore_picture(session, PICTURE)
    assert np.array_equal(restored[..., 0], PICTURE[..., 0])
    assert not restored[..., 1:].any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_never_becomes_a_picture(value):
    with pytest.raises(DataError, match="NaN"):
        restore_picture(FunctionSession(lambda image: np.full_like(image, value)), PICTURE)


def test_noise_is_the_same_in_either_layout():
    nchw = TensorSpec("noise", (1, 4, 8, 6), "float32", "NCHW", "standard normal")
    nhwc = TensorSpec("noise", (1, 8, 6, 4), "float32", "NHWC", "standard normal")
    first = noise_feeds(FunctionSession(None, extra=[nchw]), 7)["noise"]
    second = noise_feeds(FunctionSession(None, extra=[nhwc]), 7)["noise"]
    assert np.array_equal(first, draw_noise(7, (1, 4, 8, 6)))
    assert np.array_equal(first, second.transpose(0, 3, 1, 2))


def test_a_graph_of_unknown_layout_is_refused():
    session = FunctionSession(lambda image: image)
    session.inputs = [TensorSpec("image", (1, 3, 32, 32), "float32", "unknown", "unknown")]
    with pytest.raises(UsageError, match="layout"):
        restore_picture(session, PICTURE)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), ResourceError),
        (RuntimeError("Failed to allocate memory for requested buffer"), ResourceError),
        (MemoryError(), ResourceError),
        (RuntimeError("bad node"), DataError),
    ],
)
def test_failures_of_a_runtime_have_their_own_codes(error, expected):
    def fail(image):
        raise error

    with pytest.raises(expected):
        restore_picture(FunctionSession(fail), PICTURE)


@pytest.mark.parametrize("wrong", [{"overlap": -16}, {"overlap": 17}, {"overlap": 16.0}, {"seed": -1}, {"seed": 0.5}])
def test_an_overlap_or_a_seed_that_cannot_be_is_refused(wrong):
    session = FunctionSession(lambda image: image)
    refusal(UsageError, lambda: restore_picture(session, PICTURE, **wrong), *wrong)


def test_settings_hold_numbers_of_numpy_as_those_of_python():
    settings = Settings(seed=np.int64(3), overlap=np.int32(16), quality=np.uint8(90))
    assert repr(settings) == repr(Settings(seed=3, overlap=16, quality=90))


@pytest.mark.parametrize("wrong", [{"jobs": 1.5}, {"jobs": "2"}, {"threads": 1.5}, {"threads": "2"}])
def test_numbers_that_are_not_whole_are_refused(wrong):
    refusal(UsageError, lambda: restore([PICTURE], "a.onnx", **wrong), *wrong, "whole number")
