"""Core ML, on the CPU of a Mac."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coremltools
import numpy as np
from PIL import Image

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.artifacts.signature import RESTORED
from elir_edge.errors import DataError, UnavailableError
from elir_edge.formats.mlpackage import read_spec, set_outputs, write_spec
from elir_edge.runtime.base import Session
from elir_edge.runtime.tensor_specs import RuntimeTensor, tensor_specs

BYTES = "uint8"


class CoreMLSession(Session):
    """Runs a .mlpackage. Pictures are uint8 N x H x W x 3. Core ML decides the number of threads."""

    backend = "coreml"

    def __init__(self, path: Path, stages: tuple[str, ...]) -> None:
        spec = read_spec(path)
        with tempfile.TemporaryDirectory(prefix="elir-edge-") as folder:
            if stages:
                path = _with_outputs(path, spec, stages, Path(folder))
            self._model = _load(path)
        super().__init__(*tensor_specs(path, _manifest(spec), *runtime_tensors(spec)))

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {name: Image.fromarray(array[0]) if array.dtype == np.uint8 else array for name, array in feeds.items()}
        results = self._model.predict(given)
        return {tensor.name: _array(results[tensor.name], tensor.dtype) for tensor in self.outputs}

    def _close(self) -> None:
        del self._model


def open_session(path: Path, threads: int | None, stages: tuple[str, ...]) -> Session:
    """A session for ``path``. Raises UnavailableError off macOS, DataError where the file cannot be loaded."""
    if sys.platform != "darwin":
        raise UnavailableError(f"{path}: Core ML runs only on macOS", hint="open it there; --target onnx runs here")
    return CoreMLSession(path, stages)


def read_manifest(path: Path) -> str | None:
    """Text of the manifest in the user-defined metadata; None where there is none."""
    return _manifest(read_spec(path))


def runtime_tensors(spec: Any) -> tuple[list[RuntimeTensor], list[RuntimeTensor]]:
    """Inputs and outputs in the specification."""
    inputs, outputs = spec.description.input, spec.description.output
    return [_feature(item) for item in inputs], [_feature(item) for item in outputs]


def _manifest(spec: Any) -> str | None:
    return spec.description.metadata.userDefined.get(MANIFEST_KEY)


def _feature(feature: Any) -> RuntimeTensor:
    if feature.type.WhichOneof("Type") == "imageType":
        picture = feature.type.imageType
        return feature.name, (1, int(picture.height), int(picture.width), 3), BYTES
    array = feature.type.multiArrayType
    dtype = array.ArrayDataType.Name(array.dataType).lower()
    return feature.name, tuple(int(side) for side in array.shape), dtype


def _array(value: Any, dtype: str) -> np.ndarray:
    if dtype == BYTES:
        return np.asarray(value.convert("RGB"))[None]
    return np.asarray(value, dtype)


def _with_outputs(path: Path, spec: Any, stages: tuple[str, ...], folder: Path) -> Path:
    copy = folder / path.name
    shutil.copytree(path, copy)
    set_outputs(spec, [*stages, RESTORED], path)
    write_spec(copy, spec)
    return copy


def _load(path: Path) -> Any:
    try:
        return coremltools.models.MLModel(str(path), compute_units=coremltools.ComputeUnit.CPU_ONLY)
    except Exception as error:  # coremltools passes on whatever Core ML raises
        raise DataError(
            f"{path}: Core ML cannot load it: {error}",
            hint="it is damaged, or made for another version: copy it again, or export it again",
        ) from error
