"""ONNX Runtime on the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from elir_edge.artifact import MANIFEST_KEY
from elir_edge.errors import DataError, missing_package
from elir_edge.runtime.base import Session
from elir_edge.runtime.described import Reported, describe

DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(float16)": "float16", "tensor(int8)": "int8"}
QUIET = 3
WEB_MODEL = "model.onnx"
EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


class OnnxRuntimeSession(Session):
    """Runs a .onnx file, or the one inside a .web folder."""

    backend = "onnxruntime"

    def __init__(self, path: Path, threads: int | None, stages: tuple[str, ...]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        self._session = _load(path, options, stages)
        text = self._session.get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)
        inputs, outputs = _reported(self._session.get_inputs()), _reported(self._session.get_outputs())
        super().__init__(*describe(path, text, inputs, outputs))

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [tensor.name for tensor in self.outputs]
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))

    def _close(self) -> None:
        del self._session


def open_session(path: Path, threads: int | None, stages: tuple[str, ...]) -> Session:
    """A session over ``path``. Raises DataError where it cannot be loaded."""
    return OnnxRuntimeSession(path, threads, stages)


def read_manifest(path: Path) -> str | None:
    """The manifest inside, or None."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _load(path, options).get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)


def _load(path: Path, options: Any, stages: tuple[str, ...] = ()) -> Any:
    """The runtime's own session. Given bytes and a folder that is not there, it reads no file that the graph names."""
    path = path / WEB_MODEL if path.is_dir() else path
    options.log_severity_level = QUIET
    options.add_session_config_entry(EXTERNAL_FOLDER, str(path.absolute() / "none"))
    source = _with_outputs(path, stages) if stages else path.read_bytes()
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a class of its own for each status code
        if "External data" in str(error):
            raise DataError(f"{path}: keeps its weights in other files", hint="artifacts are single files") from error
        raise DataError(f"{path}: ONNX Runtime cannot load it: {error}") from error


def _reported(nodes: list[Any]) -> list[Reported]:
    return [(node.name, tuple(node.shape), DTYPES.get(node.type, node.type)) for node in nodes]


def _with_outputs(path: Path, stages: tuple[str, ...]) -> bytes:
    """The model with the named tensors as outputs too; this needs the onnx package."""
    try:
        import onnx
    except ImportError as error:
        raise missing_package("onnx", "onnx") from error

    model = onnx.load_model(path, load_external_data=False)
    known = {name for node in model.graph.node for name in node.output}
    missing = set(stages) - known
    if missing:
        raise DataError(f"{path}: the graph has no tensor called {', '.join(sorted(missing))}")
    model = onnx.shape_inference.infer_shapes(model)
    values = {value.name: value for value in model.graph.value_info}
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(values[name] for name in stages if name not in present)
    return model.SerializeToString()
