"""OpenVINO, for IR and ONNX files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from elir_edge.artifacts.artifact import MANIFEST_KEY
from elir_edge.core.memory import address_limit, address_room
from elir_edge.core.native import captured_output
from elir_edge.core.plain import installed_version
from elir_edge.core.signal_stack import keep_signal_stack
from elir_edge.errors import MORE_MEMORY, DataError, DeviceError, ResourceError, UnavailableError, reason_of
from elir_edge.formats.onnx.wire import refuse_external_data
from elir_edge.formats.openvino import node_sources
from elir_edge.formats.walk import upstream
from elir_edge.runtime.base import AGAIN, Session, unusable
from elir_edge.runtime.mode import CPU, DEFAULT_MODE, Mode
from elir_edge.runtime.tensor_specs import RuntimeTensor, tensor_specs

DTYPES = {"f32": "float32", "f16": "float16", "u8": "uint8", "i8": "int8"}
# Address space that the CPU plug-in takes. With less it fails, or waits for ever in its thread pool: measured with a
# model of a few kB, 117 MB and less did one or the other, 122 MB and more never did.
PLUGIN_ROOM = 120_000_000
QUANTIZER = "FakeQuantize"
BYTE_LEVELS = 256
BLANKS = b"\xef\xbb\xbf \t\r\n"
IR_START_WITHIN = 64
ARITHMETIC = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
NOT_COMPUTED = ("Const", "Input", "Output")


class OpenVinoSession(Session):
    """Runs a .xml and .bin pair or a .onnx file; arithmetic is fp32 unless ``mode`` says otherwise."""

    backend = "openvino"

    def __init__(self, path: Path, threads: int | None, stages: tuple[str, ...], mode: Mode, entry: str | None) -> None:
        core = openvino.Core()
        model = _read(core, path)
        _refuse_words(model, path)
        for name in stages:
            _add_output(model, name, path)
        text = _manifest(model)
        if entry is not None:
            model = _model_from(model, entry, path)
        with keep_signal_stack():
            self.device = _device(core, mode)
            try:
                self._compiled = core.compile_model(model, self.device, _properties(threads, mode))
            except RuntimeError as error:
                raise unusable(path, f"OpenVINO cannot compile it for {self.device}", error) from error
        self._request = self._compiled.create_infer_request()
        super().__init__(*tensor_specs(path, text, _tensors(model.inputs), _tensors(model.outputs)))

    def placement(self) -> dict[str, int]:
        """Number of ops of the compiled graph, under OpenVINO's devices for it. Raises UsageError once closed."""
        self._require_open()
        nodes = [op for op in self._compiled.get_runtime_model().get_ops() if _layer_type(op) not in NOT_COMPUTED]
        return {",".join(self._compiled.get_property("EXECUTION_DEVICES")): len(nodes)}

    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._request.infer(dict(feeds))
        return {tensor.name: self._request.get_tensor(tensor.name).data.copy() for tensor in self.outputs}

    def _run_many(self, feeds: Mapping[str, np.ndarray], count: int) -> None:
        """As many at the same time as OpenVINO chooses for the hint."""
        queue = openvino.AsyncInferQueue(self._compiled)
        for _ in range(count):
            queue.start_async(dict(feeds))
        queue.wait_all()

    def _close(self) -> None:
        del self._request, self._compiled


def open_session(
    path: Path,
    threads: int | None,
    stages: tuple[str, ...],
    *,
    mode: Mode = DEFAULT_MODE,
    entry: str | None = None,
) -> Session:
    """A session for ``path``. Raises DataError for a damaged file, UnavailableError for a missing device."""
    return OpenVinoSession(path, threads, stages, mode, entry)


def devices() -> list[tuple[str, bool, str]]:
    """All devices with their full names; a missing GPU or NPU is listed as not available."""
    core = openvino.Core()
    with captured_output(), keep_signal_stack():
        found = [_facts_of(core, name) for name in core.available_devices]
    kinds = {name.partition(".")[0] for name, _, _ in found}
    missing = [name for name in ("GPU", "NPU") if name not in kinds]
    return found + [(name, False, "no such device, or its driver is missing") for name in missing]


def read_manifest(path: Path) -> str | None:
    """Text of the manifest in the model's rt_info; None where there is none."""
    return _manifest(_read(openvino.Core(), path))


def _facts_of(core: Any, name: str) -> tuple[str, bool, str]:
    try:
        detail = core.get_property(name, "FULL_DEVICE_NAME")
    except RuntimeError as error:  # of its driver
        return name, False, reason_of(error)
    return name, True, f"openvino {installed_version('openvino')}, {detail}"


def _device(core: Any, mode: Mode) -> str:
    room = address_room()
    there = core.available_devices if room is None or room >= PLUGIN_ROOM else []
    if not there and address_limit() is not None:  # its plug-ins cannot be mapped
        raise ResourceError("not enough memory for OpenVINO to load a device", hint=MORE_MEMORY)
    if mode.device not in there:
        raise DeviceError(
            f"OpenVINO finds no device {mode.device} here, only {', '.join(there)}",
            hint="elir-edge devices lists what there is",
        )
    able = core.get_property(mode.device, "OPTIMIZATION_CAPABILITIES")
    if mode.arithmetic != "fp32" and mode.arithmetic.upper() not in able:
        raise UnavailableError(
            f"OpenVINO's {mode.device} does not compute in {mode.arithmetic} here", hint="choose fp32"
        )
    return mode.device


def _properties(threads: int | None, mode: Mode) -> dict[str, Any]:
    """The arithmetic is always set: OpenVINO's default is bf16 or f16 where the hardware has it."""
    properties: dict[str, Any] = {"PERFORMANCE_HINT": mode.hint.upper()}
    if mode.device.startswith((CPU, "GPU")):
        properties["INFERENCE_PRECISION_HINT"] = ARITHMETIC[mode.arithmetic]
    if threads and mode.device == CPU:
        properties["INFERENCE_NUM_THREADS"] = threads
        properties["ENABLE_CPU_PINNING"] = False  # it would put the sessions of several jobs onto the same core
    return properties


def _layer_type(op: Any) -> str:
    info = op.get_rt_info()
    return str(info["layerType"].astype(str)) if "layerType" in info else ""


def _read(core: Any, path: Path) -> Any:
    """Read a model whose content must match its suffix; OpenVINO itself looks at the content only."""
    with path.open("rb") as file:
        is_ir = file.read(IR_START_WITHIN).lstrip(BLANKS).startswith(b"<")
    if is_ir != (path.suffix == ".xml"):
        raise DataError(f"{path}: its content is not what a '{path.suffix}' file holds", hint="give it its own ending")
    if not is_ir:
        refuse_external_data(path)  # OpenVINO would follow the names that a graph gives
    try:
        return core.read_model(path)
    except (RuntimeError, ValueError) as error:  # ValueError: text that is not UTF-8
        raise unusable(path, "OpenVINO cannot read it", error) from error


def _refuse_words(model: Any, path: Path) -> None:
    """Raise UnavailableError for a graph with 16-bit activations (w8a16).

    OpenVINO removes their quantizers and scales weights instead: its pictures of such graphs are not these graphs'
    (2026.4.1: nano's reach 2e17 in place of 1).
    """
    if any(op.get_type_name() == QUANTIZER and op.get_attributes()["levels"] > BYTE_LEVELS for op in model.get_ops()):
        raise UnavailableError(
            f"{path}: has 16-bit activations (w8a16), of which OpenVINO computes another picture",
            hint="--backend onnxruntime",
        )


def _manifest(model: Any) -> str | None:
    for key in ([MANIFEST_KEY], ["framework", MANIFEST_KEY]):
        if model.has_rt_info(key):
            try:
                return str(model.get_rt_info(key).astype(str))
            except ValueError as error:
                raise DataError(f"the manifest inside is not UTF-8 ({error})", hint=AGAIN) from error
    return None


def _add_output(model: Any, name: str, path: Path) -> None:
    if any(name in port.get_names() for port in model.outputs):
        return
    try:
        model.add_outputs([name])
    except RuntimeError as error:
        raise DataError(
            f"{path}: the graph has no tensor called {name}",
            hint="elir-edge inspect names the stages inside; one exported by elir-edge has them",
        ) from error


def _model_from(model: Any, name: str, path: Path) -> Any:
    """``model`` from the tensor ``name`` on, which becomes an input.

    If ``name`` is the output of a quantizer, the input takes the place of what the quantizer reads.
    """
    port = _port(model, name, path)
    while port.get_node().get_type_name() == QUANTIZER:
        port = port.get_node().input_value(0)
    entry = openvino.opset13.parameter(port.get_shape(), port.get_element_type())
    port.replace(entry.output(0))
    entry.output(0).set_names({name})
    results = model.get_results()
    needed = upstream([result.get_friendly_name() for result in results], node_sources(results))
    kept = [given for given in model.get_parameters() if given.get_friendly_name() in needed]
    return openvino.Model(results, [entry, *kept], model.get_friendly_name())


def _port(model: Any, name: str, path: Path) -> Any:
    for node in model.get_ordered_ops():
        for port in node.outputs():
            if name in port.get_names() and node.get_type_name() != "Result":
                return port
    raise DataError(
        f"{path}: the graph has no tensor called {name}",
        hint="elir-edge inspect names the stages inside; one exported by elir-edge has them",
    )


def _tensors(ports: list[Any]) -> list[RuntimeTensor]:
    return [(min(port.get_names(), key=len), _shape(port), _dtype(port)) for port in ports]


def _shape(port: Any) -> tuple[int, ...]:
    return tuple(port.shape) if port.partial_shape.is_static else (-1,)


def _dtype(port: Any) -> str:
    name = port.element_type.get_type_name()
    return DTYPES.get(name, name)
