"""Sessions of .tflite files: LiteRT and TensorFlow have interpreters with the same interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.artifacts.split import PARTS
from elir_edge.core.cores import usable_cores
from elir_edge.core.native import captured_output
from elir_edge.formats.tflite.ends import set_outputs, show_as_float, start_at
from elir_edge.formats.tflite.file import pack_model, read_file, read_metadata
from elir_edge.runtime.base import Session, unusable
from elir_edge.runtime.tensor_specs import RuntimeTensor, tensor_specs


class InterpreterSession(Session):
    """Runs a signature of a .tflite file that an interpreter has loaded, the only one if ``signature`` is None."""

    def __init__(
        self, backend: str, path: Path, interpreter: Any, text: str | None, signature: str | None = None
    ) -> None:
        self.backend = backend
        self._interpreter = interpreter
        try:
            self._runner = interpreter.get_signature_runner(signature)
        except ValueError as error:
            raise unusable(path, f"{backend} cannot load it", error) from error
        inputs, outputs = (_tensors(details) for details in self._details())
        super().__init__(*tensor_specs(path, text, inputs, outputs))

    def _details(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self._runner.get_input_details(), self._runner.get_output_details()

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.array(value) for name, value in self._runner(**feeds).items()}

    def _close(self) -> None:
        del self._runner, self._interpreter


def open_whole(
    backend: str,
    interpreter: Callable[..., Any],
    path: Path,
    threads: int | None,
    stages: tuple[str, ...],
    entry: str | None,
) -> Session:
    """A session for a file of one signature. ``threads`` None: all cores (the interpreter's default is one)."""
    return InterpreterSession(backend, path, *_load(backend, interpreter, path, threads, stages, entry))


def open_parts(
    backend: str, interpreter: Callable[..., Any], path: Path, threads: int | None, stages: tuple[str, ...]
) -> tuple[Session, ...]:
    """Sessions for encoder, step and decoder of a split artifact in one file; ``stages`` are those of the encoder.

    They share an interpreter, which is theirs: it ends with the last of them.
    """
    loaded, text = _load(backend, interpreter, path, threads, stages, None)
    return tuple(InterpreterSession(backend, path, loaded, text, name) for name in PARTS)


def _load(
    backend: str,
    interpreter: Callable[..., Any],
    path: Path,
    threads: int | None,
    stages: tuple[str, ...],
    entry: str | None,
) -> tuple[Any, str | None]:
    """The interpreter, ready to run, and the text of the manifest inside the file."""
    text = read_manifest(path)
    source: dict[str, Any] = {"model_path": str(path)}
    if stages or entry is not None:
        model = read_file(path)
        for stage in stages:
            show_as_float(model, stage)
        set_outputs(model, [*stages, *_output_names(model, stages)], str(path))
        if entry is not None:
            start_at(model, entry, str(path))
        source = {"model_content": pack_model(model)}
    try:
        with captured_output():
            loaded = interpreter(**source, num_threads=threads or usable_cores())
            loaded.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise unusable(path, f"{backend} cannot load it", error) from error
    return loaded, text


def read_manifest(path: Path) -> str | None:
    """Text of the manifest in the metadata of a .tflite file; None where there is none."""
    return read_metadata(path, MANIFEST_KEY)


def _output_names(model: Any, without: tuple[str, ...]) -> list[str]:
    """Names of the outputs of the signature, except those in ``without``: a part of a split artifact has its own."""
    names = (entry.name.decode() for entry in model.signatureDefs[0].outputs)
    return [name for name in names if name not in without]


def _tensors(details: dict[str, Any]) -> list[RuntimeTensor]:
    return [
        (name, tuple(int(side) for side in item["shape"]), np.dtype(item["dtype"]).name)
        for name, item in details.items()
    ]
