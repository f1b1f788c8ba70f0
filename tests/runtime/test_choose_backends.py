"""The choice of backends for files, which all commands share."""

import dataclasses
from pathlib import Path

import pytest

from elir_edge.errors import UnavailableError, UsageError
from elir_edge.runtime import backend as module
from elir_edge.runtime.backend import OWN, Backend, choose_backends
from tests.helpers import refusal

ONNX, TFLITE = Path("a.onnx"), Path("b.tflite")


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
    assert choose_backends([ONNX, TFLITE]) == [
        (ONNX, "onnxruntime"), (ONNX, "openvino"), (TFLITE, "litert"), (TFLITE, "tensorflow"),
    ]  # fmt: skip
    assert choose_backends([ONNX, TFLITE], ["litert", "onnxruntime"]) == [(ONNX, "onnxruntime"), (TFLITE, "litert")]


def test_one_that_cannot_be_loaded_is_told_and_left_out(fake_backends):
    fake_backends.setattr(Loads, "missing", ("tensorflow",))
    told = []
    assert choose_backends([TFLITE], note=told.append) == [(TFLITE, "litert")]
    assert "tensorflow left out" in told[0]


def test_what_cannot_be_done_is_refused(fake_backends):
    refusal(UsageError, lambda: choose_backends([ONNX], ["litert"]), "a.onnx", ".tflite")
    refusal(UsageError, lambda: choose_backends([ONNX], ["onnxruntim"]), "onnxruntime")
    fake_backends.setattr(Loads, "missing", ("litert", "tensorflow"))
    refusal(UnavailableError, lambda: choose_backends([TFLITE], ["litert"]), "litert")
    refusal(UnavailableError, lambda: choose_backends([TFLITE]), "b.tflite", "pip install")
