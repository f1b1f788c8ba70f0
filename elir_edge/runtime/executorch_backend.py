"""ExecuTorch on the CPU. Its Python bindings take torch tensors; a device needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
from executorch.runtime import Runtime, Verification

from elir_edge.artifacts.artifact import MANIFEST_KEY, Manifest
from elir_edge.artifacts.signature import RESTORED
from elir_edge.core.native import captured_output
from elir_edge.errors import DataError
from elir_edge.formats.names import FORWARD, STAGES
from elir_edge.runtime.base import Session, unusable
from elir_edge.runtime.shared_pool import SharedPool
from elir_edge.runtime.tensor_specs import RuntimeTensor, tensor_specs

DTYPES = {0: "uint8", 1: "int8", 5: "float16", 6: "float32"}  # torch's ScalarType numbers
POOL = SharedPool(_unsafe_reset_threadpool)


class ExecuTorchSession(Session):
    """Runs a .pte file. ``threads`` resizes the thread pool that all sessions of the process share."""

    backend = "executorch"

    def __init__(self, path: Path, threads: int | None, stages: tuple[str, ...]) -> None:
        text = read_manifest(path)
        manifest = Manifest.from_json(text, f"{path} (manifest inside)") if text else None
        with POOL.hold(threads), captured_output():
            self._method = _load(path, STAGES if stages else FORWARD)
        meta = self._method.metadata
        taken = [tensor.name for tensor in manifest.inputs] if manifest else []
        given = [stage.name for stage in manifest.stages] if manifest and stages else []
        inputs = _method_tensors(path, meta.num_inputs(), meta.input_tensor_meta, taken or ["image"])
        outputs = _method_tensors(path, meta.num_outputs(), meta.output_tensor_meta, [*given, RESTORED])
        missing = set(stages) - {name for name, *_ in outputs}
        if missing:
            raise DataError(
                f"{path}: the program has no stage called {', '.join(sorted(missing))}",
                hint="elir-edge inspect names the stages inside; one exported by elir-edge has them",
            )
        super().__init__(*tensor_specs(path, text, inputs, outputs))

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        arguments = [torch.from_numpy(np.ascontiguousarray(feeds[tensor.name])) for tensor in self.inputs]
        with POOL.hold():
            results = self._method.execute(arguments)
        return {tensor.name: result.numpy() for tensor, result in zip(self.outputs, results, strict=True)}

    def _close(self) -> None:
        del self._method


def open_session(path: Path, threads: int | None, stages: tuple[str, ...]) -> Session:
    """A session for ``path``. Raises DataError where the file cannot be loaded."""
    return ExecuTorchSession(path, threads, stages)


def devices() -> list[tuple[str, bool, str]]:
    """No devices besides the CPU; whether it works at all is known by importing it, as it needs torch."""
    return []


def read_manifest(path: Path) -> str | None:
    """Text of the manifest in the program's named data; None where there is none."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    try:
        data = deserialize_pte_binary(path.read_bytes()).named_data
    except Exception as error:  # the reader raises whatever the damage leads to
        raise unusable(path, "not an ExecuTorch program", error) from error
    entry = data.pte_data.get(MANIFEST_KEY) if data else None
    return bytes(data.buffers[entry.buffer_index]).decode(errors="replace") if data and entry else None


def _load(path: Path, method: str) -> Any:
    try:
        program = Runtime.get().load_program(path, verification=Verification.InternalConsistency)
        found = program.load_method(method)
    except (RuntimeError, ValueError, KeyError) as error:
        raise unusable(path, "ExecuTorch cannot load it", error) from error
    if found is None:
        raise DataError(
            f"{path}: the program has no method called {method}",
            hint="it is damaged, or made for another version: copy it again, or export it again",
        )
    return found


def _method_tensors(path: Path, count: int, meta: Any, names: list[str]) -> list[RuntimeTensor]:
    """Inputs or outputs of a method. A program has no names for them: ``names`` are those of the manifest, in order."""
    if count != len(names):
        raise DataError(
            f"{path}: the program has {count} tensors where {', '.join(names)} are expected",
            hint="it is damaged, or made for another version: copy it again, or export it again",
        )
    tensors = [meta(index) for index in range(count)]
    return [
        (name, tuple(tensor.sizes()), DTYPES.get(tensor.dtype(), f"type {tensor.dtype()}"))
        for name, tensor in zip(names, tensors, strict=True)
    ]
