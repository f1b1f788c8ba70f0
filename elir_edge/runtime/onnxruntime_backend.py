"""ONNX Runtime, on the CPU or through any of its execution providers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from elir_edge.artifacts.artifact import MANIFEST_KEY, Manifest
from elir_edge.errors import DataError, UnavailableError, missing_package
from elir_edge.runtime.base import Session
from elir_edge.runtime.described import Reported, describe
from elir_edge.runtime.mode import CPU, DEFAULT_MODE, Mode

DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8", "tensor(float16)": "float16", "tensor(int8)": "int8"}
QUIET = 3
PROVIDER = "ExecutionProvider"
REMOTE = "Azure"
RECORD_PLACEMENT = "session.record_ep_graph_assignment_info"
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
WEB_MODEL = "model.onnx"
EXTERNAL_FOLDER = "session.model_external_initializers_file_folder_path"


class OnnxRuntimeSession(Session):
    """Runs a .onnx file, or the one inside a .web folder."""

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
        inputs, outputs = _reported(self._session.get_inputs()), _reported(self._session.get_outputs())
        super().__init__(*describe(path, text, inputs, outputs))

    def placement(self) -> dict[str, int]:
        """Ops by execution provider, without the ending they all have; what it left to the CPU is among them."""
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
    """A session over ``path``. Raises DataError where it cannot be loaded, UnavailableError for a missing provider."""
    return OnnxRuntimeSession(path, threads, stages, mode, entry)


def devices() -> list[tuple[str, bool, str]]:
    """The execution providers of this build besides the CPU's; whether one starts, only a session tells."""
    release = onnxruntime.__version__
    return [(name, True, f"execution provider of onnxruntime {release}") for name in _providers() if name != CPU]


def _providers() -> list[str]:
    """The CPU, and the execution providers of this build by their names without the common ending; no remote one."""
    names = [name.removesuffix(PROVIDER) for name in onnxruntime.get_available_providers()]
    return [CPU, *(name for name in names if name not in (CPU, REMOTE))]


def read_manifest(path: Path) -> str | None:
    """The manifest inside, or None."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return _load(path, options).get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)


def _load(path: Path, options: Any, stages: tuple[str, ...] = (), entry: str | None = None, device: str = CPU) -> Any:
    """The runtime's own session. Given bytes and a folder that is not there, it reads no file that the graph names."""
    if device not in _providers():
        raise UnavailableError(f"this ONNX Runtime has no execution provider {device}, only {', '.join(_providers())}")
    path = path / WEB_MODEL if path.is_dir() else path
    options.log_severity_level = QUIET
    options.add_session_config_entry(EXTERNAL_FOLDER, str(path.absolute() / "none"))
    source = _edited(path, stages, entry) if stages or entry is not None else path.read_bytes()
    providers = list(dict.fromkeys([f"{device}{PROVIDER}", f"{CPU}{PROVIDER}"]))
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # onnxruntime raises a class of its own for each status code
        if "External data" in str(error):
            raise DataError(f"{path}: keeps its weights in other files", hint="artifacts are single files") from error
        raise DataError(f"{path}: ONNX Runtime cannot load it: {error}") from error
    if session.get_providers()[0] != providers[0]:
        raise UnavailableError(f"ONNX Runtime's execution provider {device} is in this build, but does not start here")
    return session


def _reported(nodes: list[Any]) -> list[Reported]:
    return [(node.name, tuple(node.shape), DTYPES.get(node.type, node.type)) for node in nodes]


def _edited(path: Path, stages: tuple[str, ...], entry: str | None) -> bytes:
    """The model with the named tensors as outputs too, starting at ``entry``; this needs the onnx package."""
    try:
        import onnx
    except ImportError as error:
        raise missing_package("onnx", "onnx") from error

    model = onnx.load_model(path, load_external_data=False)
    known = {name for node in model.graph.node for name in node.output}
    missing = {*stages, *([] if entry is None else [entry])} - known
    if missing:
        raise DataError(f"{path}: the graph has no tensor called {', '.join(sorted(missing))}")
    shapes = _stage_shapes(model, path)
    present = {output.name for output in model.graph.output}
    model.graph.output.extend(_value(onnx, name, shapes) for name in stages if name not in present)
    if entry is not None:
        _start_at(model, entry, _value(onnx, entry, shapes))
    return bytes(model.SerializeToString())


def _stage_shapes(model: Any, path: Path) -> dict[str, tuple[int, ...]]:
    """As the manifest states them: inference of shapes does not reach every stage of an integer graph."""
    text = next((entry.value for entry in model.metadata_props if entry.key == MANIFEST_KEY), None)
    stages = Manifest.from_json(text, f"{path} (manifest inside)").stages if text else ()
    return {stage.name: stage.shape for stage in stages}


def _value(onnx: Any, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shapes.get(name))


def _start_at(model: Any, entry: str, value: Any) -> None:
    """Put an input in the place of ``entry``, or of what its quantizer reads where the name lies behind one."""
    graph = model.graph
    made = {name: node for node in graph.node for name in node.output}
    source = entry
    while made[source].op_type in QUANTIZERS:
        source = made[source].input[0]
    made[source].output[:] = [f"{name}.unused" if name == source else name for name in made[source].output]
    if source != entry:
        made[entry].output[:] = [f"{name}.quantized" if name == entry else name for name in made[entry].output]
    renamed = {source: entry, entry: entry if source == entry else f"{entry}.quantized"}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
    needed, kept = {output.name for output in graph.output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    inputs = [value, *(given for given in graph.input if given.name in needed)]
    stored = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, items in ((graph.node, kept[::-1]), (graph.input, inputs), (graph.initializer, stored)):
        copies = [type(item).FromString(item.SerializeToString()) for item in items]
        del field[:]
        field.extend(copies)
