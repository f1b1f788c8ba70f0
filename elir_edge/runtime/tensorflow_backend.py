"""TensorFlow's interpreter, an independent check of .tflite files."""

from __future__ import annotations

from pathlib import Path

from tensorflow.lite.python.interpreter import Interpreter

from elir_edge.runtime import tflite_interpreter
from elir_edge.runtime.base import Session
from elir_edge.runtime.tflite_interpreter import read_manifest

__all__ = ["open_parts", "open_session", "read_manifest"]


def open_session(path: Path, threads: int | None, stages: tuple[str, ...], *, entry: str | None = None) -> Session:
    """A session for ``path``. Raises DataError where the file cannot be loaded."""
    return tflite_interpreter.open_whole("tensorflow", Interpreter, path, threads, stages, entry)


def open_parts(path: Path, threads: int | None, stages: tuple[str, ...]) -> tuple[Session, ...]:
    """Sessions for the parts of a split artifact in one file. Raises DataError where it cannot be loaded."""
    return tflite_interpreter.open_parts("tensorflow", Interpreter, path, threads, stages)
