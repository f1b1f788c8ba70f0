"""LiteRT: XNNPACK on the CPU, or an accelerator."""

from __future__ import annotations

from pathlib import Path

from ai_edge_litert.interpreter import Interpreter

from elir_edge.errors import UnavailableError
from elir_edge.runtime import tflite_interpreter
from elir_edge.runtime.base import Session
from elir_edge.runtime.mode import CPU, DEFAULT_MODE, Mode
from elir_edge.runtime.tflite_interpreter import read_manifest

__all__ = ["open_parts", "open_session", "read_manifest"]


def open_session(
    path: Path,
    threads: int | None,
    stages: tuple[str, ...],
    *,
    mode: Mode = DEFAULT_MODE,
    entry: str | None = None,
) -> Session:
    """A session for ``path``. Raises DataError for a damaged file, UnavailableError for a device that is missing."""
    if mode.device == CPU:
        mode.require_plain("litert")
        return tflite_interpreter.open_whole("litert", Interpreter, path, threads, stages, entry)
    if stages or entry is not None:
        raise UnavailableError(
            "LiteRT's accelerators run whole graphs, and neither start nor stop at a stage",
            hint=f"leave the device out: the {CPU} has stages",
        )
    from elir_edge.runtime.litert_accelerated import AcceleratedSession

    return AcceleratedSession(path, mode)


def open_parts(
    path: Path, threads: int | None, stages: tuple[str, ...], *, mode: Mode = DEFAULT_MODE
) -> tuple[Session, ...]:
    """Sessions for the parts of a split artifact in one file. Raises DataError, and UnavailableError for a device."""
    if mode.device != CPU:
        raise UnavailableError(
            f"{path}: split artifacts of TFLite run on the {CPU} only", hint="export the model without --split"
        )
    mode.require_plain("litert")
    return tflite_interpreter.open_parts("litert", Interpreter, path, threads, stages)


def devices() -> list[tuple[str, bool, str]]:
    """The accelerators; LiteRT reports whether they exist only when it compiles a model."""
    detail = "known only after a run with an artifact: elir-edge bench ARTIFACT.tflite --device"
    return [(name, False, f"{detail} {name}") for name in ("GPU", "NPU")]
