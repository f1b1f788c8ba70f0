"""The runtimes of this machine and their devices."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from elir_edge.errors import UnavailableError, reason_of
from elir_edge.runtime.backend import Backend, backends
from elir_edge.runtime.mode import CPU


@dataclass(frozen=True)
class Device:
    """A device of a backend; ``detail`` describes it, or says why it is not available."""

    backend: str
    name: str
    available: bool
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)


def find_devices() -> list[Device]:
    """The devices of all backends; those of backends that are not installed have the pip command as ``detail``."""
    return [device for backend in backends().values() for device in devices_of(backend)]


def devices_of(backend: Backend) -> list[Device]:
    """The devices of ``backend``; only an unavailable CPU, with the reason, where it cannot list them.

    A backend that is ``cpu_only`` is not imported: TensorFlow takes ten seconds.
    """
    reason = backend.why_not_here()
    if reason is not None:
        return [Device(backend.name, CPU, False, reason)]
    if backend.cpu_only and backend.is_installed():
        return [_cpu(backend)]
    try:
        module = backend.load()
    except UnavailableError as error:
        return [Device(backend.name, CPU, False, f"{error}: {error.hint}")]
    try:
        found = [Device(backend.name, *facts) for facts in module.devices()]
    except Exception as error:  # a driver raises anything
        return [Device(backend.name, CPU, False, f"cannot be listed: {reason_of(error)}")]
    return found if any(device.name == CPU for device in found) else [_cpu(backend), *found]


def _cpu(backend: Backend) -> Device:
    return Device(backend.name, CPU, True, f"{backend.package} {backend.release()}")
