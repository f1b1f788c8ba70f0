"""The devices of a benchmark: those that were asked for, those that are found, and those that are missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from elir_edge.errors import UsageError, did_you_mean
from elir_edge.runtime.backend import backends, get_backend
from elir_edge.runtime.hardware import devices_of
from elir_edge.runtime.mode import CPU

TRIED_DEVICES = {"litert": ("GPU",)}


def devices_called(words: Sequence[str]) -> tuple[str, ...]:
    """The devices that ``words`` name, each once, as their backends write them: ``cpu`` is CPU.

    Backends are asked only for what is not the CPU. Raises UsageError, with the nearest name, for a word that no
    backend knows, neither as a device that is there nor as one that is missing.
    """
    known = {CPU.casefold(): CPU}
    if any(word.casefold() not in known for word in words):
        for backend in backends().values():
            for device in devices_of(backend):
                known.setdefault(device.name.casefold(), device.name)
    for word in words:
        if word.casefold() not in known:
            raise UsageError(f"no backend knows a device '{word}'", hint=did_you_mean(word.upper(), known.values()))
    return tuple(dict.fromkeys(known[word.casefold()] for word in words))


def devices_to_time(backend: str, wanted: Sequence[str]) -> list[str]:
    """The devices ``wanted``, else all that are found, and those that only a trial can find."""
    if wanted:
        return list(wanted)
    found = [device.name for device in devices_of(get_backend(backend)) if device.available]
    return list(dict.fromkeys([*found, *TRIED_DEVICES.get(backend, ())]))


def missing_devices(names: Iterable[str]) -> list[str]:
    """Missing devices of the backends called ``names``, each with the reason."""
    return [
        f"{name} {device.name}: {device.detail}"
        for name in names
        for device in devices_of(get_backend(name))
        if not device.available and name not in TRIED_DEVICES
    ]
