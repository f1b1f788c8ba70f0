"""TensorFlow's interpreter, an independent check of .tflite files."""

from __future__ import annotations

from pathlib import Path

from tensorflow.lite.python.interpreter import Interpreter

from elir_edge.runtime.base import Session
from elir_edge.runtime.tflite_interpreter import InterpreterSession, read_manifest

__all__ = ["open_session", "read_manifest"]


def open_session(path: Path, threads: int | None, stages: tuple[str, ...], *, entry: str | None = None) -> Session:
    """A session for ``path``. Raises DataError where the file cannot be loaded."""
    return InterpreterSession("tensorflow", Interpreter, path, threads, stages, entry)


def devices() -> list[tuple[str, bool, str]]:
    """No devices besides the CPU."""
    return []
