"""ONNX Runtime, on the CPU or through any of its execution providers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.errors import DeviceError, missing_package
from elir_edge.formats.names import WEB_MODEL
from elir_edge.formats.onnx.wire import refuse_external_data
from elir_edge.runtime.base import Session, unusable
from elir_edge.runtime.mode import CPU, DEFAULT_MODE, Mode
from elir_edge.runtime.tensor_specs import RuntimeTensor, tensor_specs

DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(float16)": "float16", "tensor(int8)": "int8"}
QUIET = 3
PROVIDER = "ExecutionProvider"
REMOTE = "Azure"
RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


class OnnxRuntimeSession(Session):
    """Runs a .onnx file, or the one in a .web folder."""

    backend = "onnxruntime"

    def __init__(self, path: Path, threads: int | None, stages: tuple[str, ...], mode: Mode, entry: str | None) -> None:
        mode.require_plain(self.backend)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        if mode.device != CPU:
            options.add_session_config_entry(RECORD_PLACEMENT, "1")
        self.device = mode.device
        self._session = _load(path, options, stages, entry, mode.device)
        text = self._session.get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)
        inputs, outputs = _tensors(self._session.get_inputs()), _tensors(self._session.get_outputs())
        super().__init__(*tensor_specs(path, text, inputs, outputs))

    def placement(self) -> dict[str, int]:
        """Number of ops by execution provider, ``CPU`` among them; names without ``ExecutionProvider``."""
        if self.device == CPU:
            return {}
        parts = self._session.get_provider_graph_assignment_info()
        counts: Counter[str] = Counter()
        for part in parts:
            counts[part.ep_name.removesuffix(PROVIDER)] += len(part.get_nodes())
        return dict(counts)

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [tensor.name for tensor in self.outputs]
        return dict(zip(names, self._session.run(names, dict(feeds)), strict=True))

    def _close(self) -> None:
        del self._session


def open_session(
    path: Path,
    threads: int | None,
    stages: tuple[str, ...],
    *,
    mode: Mode = DEFAULT_MODE,
    entry: str | None = None,
) -> Session:
    """A session for ``path``. Raises DataError for a damaged file, UnavailableError for a missing provider."""
    return OnnxRuntimeSession(path, threads, stages, mode, entry)


def devices() -> list[tuple[str, bool, str]]:
    """The execution providers of this build besides the CPU's; a session may still fail to start one."""
    release = onnxruntime.__version__
    return [(name, True, f"execution provider of onnxruntime {release}") for name in _providers() if name != CPU]


def _providers() -> list[str]:
    """Names of the execution providers of this build without ``ExecutionProvider``, CPU first, no remote one."""
    names = [name.removesuffix(PROVIDER) for name in onnxruntime.get_available_providers()]
    return [CPU, *(name for name in names if name not in (CPU, REMOTE))]


def read_manifest(path: Path) -> str | None:
    """Text of the manifest in the model's metadata; None where there is none."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _load(path, options).get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)


def _load(path: Path, options: Any, stages: tuple[str, ...] = (), entry: str | None = None, device: str = CPU) -> Any:
    """An InferenceSession of bytes, with a folder that does not exist: it cannot read files that the graph names."""
    if device not in _providers():
        raise DeviceError(
            f"this ONNX Runtime has no execution provider {device}, only {', '.join(_providers())}",
            hint="install a build of onnxruntime that has it, or run on the CPU",
        )
    path = path / WEB_MODEL if path.is_dir() else path
    options.log_severity_level = QUIET
    options.add_session_config_entry(EXTERNAL_FOLDER, str(path.absolute() / "none"))
    refuse_external_data(path)
    source = _edit_graph(path, stages, entry) if stages or entry is not None else path.read_bytes()
    providers = list(dict.fromkeys([f"{device}{PROVIDER}", f"{CPU}{PROVIDER}"]))
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # onnxruntime raises a class of its own for each status code
        raise unusable(path, "ONNX Runtime cannot load it", error) from error
    if session.get_providers()[0] != providers[0]:
        raise DeviceError(
            f"ONNX Runtime's execution provider {device} is in this build, but does not start here",
            hint="check its driver, or run on the CPU",
        )
    return session


def _tensors(nodes: list[Any]) -> list[RuntimeTensor]:
    return [(node.name, tuple(node.shape), DTYPES.get(node.type, node.type)) for node in nodes]


def _edit_graph(path: Path, stages: tuple[str, ...], entry: str | None) -> bytes:
    """The model with ``stages`` as outputs, starting at ``entry``. Needs the packages of the extra ``onnx``."""
    try:
        from elir_edge.formats.onnx.stages import expose_stages
    except ImportError as error:
        raise missing_package(error.name or "onnx", "onnx") from error
    return expose_stages(path, stages, entry)
