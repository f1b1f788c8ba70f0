"""What this machine can run artifacts on: each runtime, and the devices it finds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from elir_edge.core.native import captured_output
from elir_edge.errors import UnavailableError
from elir_edge.runtime import BACKENDS, TORCH, Backend


@dataclass(frozen=True)
class Device:
    """A device that a backend could use; ``detail`` says what it is, or why it is not usable."""

    backend: str
    name: str
    available: bool
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)


def find_devices() -> list[Device]:
    """Every backend with its devices; backends that are not installed are named with the command that brings them."""
    return [device for backend in BACKENDS.values() for device in devices_of(backend)]


def devices_of(backend: Backend) -> list[Device]:
    """The devices of one backend; where it cannot be here or is not installed, its CPU as unavailable, with why."""
    reason = backend.why_not_here()
    if reason is not None:
        return [Device(backend.name, "CPU", False, reason)]
    try:
        backend.load()
    except UnavailableError as error:
        return [Device(backend.name, "CPU", False, f"{error}: {error.hint}")]
    release = backend.release()
    devices = [Device(backend.name, "CPU", True, f"{backend.package} {release}")]
    if backend.name == "openvino":
        return _openvino_devices(release)
    if backend.name == "onnxruntime":
        return [*devices, *_execution_providers(backend, release)]
    if backend.name == "litert":
        return [*devices, *_litert_accelerators()]
    if backend.name == TORCH:
        return [*devices, _cuda()]
    return devices


def _openvino_devices(release: str) -> list[Device]:
    import openvino

    core = openvino.Core()
    with captured_output():
        names = core.available_devices
        found = [Device("openvino", name, True, _openvino_detail(release, name, core)) for name in names]
    kinds = {name.partition(".")[0] for name in names}
    return found + [
        Device("openvino", name, False, "no such device, or its driver is missing")
        for name in ("GPU", "NPU")
        if name not in kinds
    ]


def _openvino_detail(release: str, name: str, core: Any) -> str:
    return f"openvino {release}, {core.get_property(name, 'FULL_DEVICE_NAME')}"


def _execution_providers(backend: Backend, release: str) -> list[Device]:
    names = backend.load().devices()[1:]
    return [Device(backend.name, name, True, f"execution provider of onnxruntime {release}") for name in names]


def _litert_accelerators() -> list[Device]:
    """LiteRT finds out only with a model in hand."""
    detail = "only a try with an artifact tells: elir-edge bench ARTIFACT.tflite --device"
    return [Device("litert", name, False, f"{detail} {name}") for name in ("GPU", "NPU")]


def _cuda() -> Device:
    import torch

    if torch.cuda.is_available():
        return Device(TORCH, "CUDA", True, f"{torch.cuda.get_device_name()}, in elir-edge bench")
    return Device(TORCH, "CUDA", False, "no CUDA device, or a CPU build of torch")
