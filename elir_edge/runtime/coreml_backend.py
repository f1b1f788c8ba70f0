"""Core ML on the CPU of a Mac."""

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
from elir_edge.runtime.described import Reported, describe

BYTES = "uint8"


class CoreMLSession(Session):
    """Runs a .mlpackage. Core ML chooses the number of threads; pictures are uint8 N x H x W x 3 here."""

    backend = "coreml"

    def __init__(self, path: Path, stages: tuple[str, ...]) -> None:
        spec = read_spec(path)
        with tempfile.TemporaryDirectory(prefix="elir-edge-") as folder:
            if stages:
                path = _with_outputs(path, spec, stages, Path(folder))
            self._model = _load(path)
        super().__init__(*describe(path, _manifest(spec), *reported(spec)))

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {name: Image.fromarray(array[0]) if array.dtype == np.uint8 else array for name, array in feeds.items()}
        results = self._model.predict(given)
        return {tensor.name: _array(results[tensor.name], tensor.dtype) for tensor in self.outputs}

    def _close(self) -> None:
        del self._model


def open_session(path: Path, threads: int | None, stages: tuple[str, ...]) -> Session:
    """A session over ``path``. Raises UnavailableError off macOS, DataError where it cannot be loaded."""
    if sys.platform != "darwin":
        raise UnavailableError(f"{path}: Core ML runs only on macOS", hint="open it there; --target onnx runs here")
    return CoreMLSession(path, stages)


def devices() -> list[tuple[str, bool, str]]:
    """None besides the CPU."""
    return []


def read_manifest(path: Path) -> str | None:
    """The manifest in the model's user-defined metadata, or None."""
    return _manifest(read_spec(path))


def reported(spec: Any) -> tuple[list[Reported], list[Reported]]:
    """Inputs and outputs as the specification describes them."""
    inputs, outputs = spec.description.input, spec.description.output
    return [_feature(item) for item in inputs], [_feature(item) for item in outputs]


def _manifest(spec: Any) -> str | None:
    return spec.description.metadata.userDefined.get(MANIFEST_KEY)


def _feature(feature: Any) -> Reported:
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
    except Exception as error:  # coremltools hands on whatever Core ML says
        raise DataError(f"{path}: Core ML cannot load it: {error}") from error
