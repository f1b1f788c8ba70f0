"""The choice of backends for files, which all commands share."""

import dataclasses
from pathlib import Path

import pytest

from elir_edge.errors import UnavailableError, UsageError
from elir_edge.runtime import backend as module
from elir_edge.runtime.backend import OWN, Backend, choose_backends
from tests.helpers import refusal

ONNX, TFLITE = Path("a.onnx"), Path("b.tflite")
BOTH = {ONNX: "fp32", TFLITE: "fp32"}


class Loads(Backend):
    """A backend that loads unless its name is in ``missing``."""

    missing: tuple[str, ...] = ()

    def load(self):
        if self.name in self.missing:
            raise UnavailableError(f"no {self.name}")


@pytest.fixture
def fake_backends(monkeypatch):
    monkeypatch.setattr(module, "OWN", tuple(Loads(**dataclasses.asdict(backend)) for backend in OWN))
    return monkeypatch


def test_every_fitting_backend_unless_some_are_named(fake_backends):
    assert choose_backends(BOTH) == [
        (ONNX, "onnxruntime"), (ONNX, "openvino"), (TFLITE, "litert"), (TFLITE, "tensorflow"),
    ]  # fmt: skip
    assert choose_backends(BOTH, ["litert", "onnxruntime"]) == [(ONNX, "onnxruntime"), (TFLITE, "litert")]


def test_one_that_lacks_the_precision_is_told_and_left_out_unless_it_is_named(fake_backends):
    told = []
    assert choose_backends({ONNX: "w8a16"}, note=told.append) == [(ONNX, "onnxruntime")]
    assert "openvino left out: it cannot compute w8a16" in told[0]
    assert choose_backends({ONNX: "w8a16"}, ["openvino"]) == [(ONNX, "openvino")]  # its session says why not


def test_one_that_cannot_be_loaded_is_told_and_left_out(fake_backends):
    fake_backends.setattr(Loads, "missing", ("tensorflow",))
    told = []
    assert choose_backends({TFLITE: "fp32"}, note=told.append) == [(TFLITE, "litert")]
    assert "tensorflow left out" in told[0]


def test_what_cannot_be_done_is_refused(fake_backends):
    refusal(UsageError, lambda: choose_backends({ONNX: "fp32"}, ["litert"]), "a.onnx", ".tflite")
    refusal(UsageError, lambda: choose_backends({ONNX: "fp32"}, ["onnxruntim"]), "onnxruntime")
    fake_backends.setattr(Loads, "missing", ("litert", "tensorflow"))
    refusal(UnavailableError, lambda: choose_backends({TFLITE: "fp32"}, ["litert"]), "litert")
    refusal(UnavailableError, lambda: choose_backends({TFLITE: "fp32"}), "b.tflite", "pip install")
