"""LiteRT (XNNPACK) on the CPU."""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from elir_edge.runtime.base import Session
from elir_edge.runtime.tflite_interpreter import InterpreterSession, read_manifest

__all__ = ["open_session", "read_manifest"]


def open_session(path: Path, threads: int | None, stages: tuple[str, ...], *, entry: str | None = None) -> Session:
    """A session over ``path``. Raises DataError where it cannot be loaded."""
    return InterpreterSession("litert", Interpreter, path, threads, stages, entry)
