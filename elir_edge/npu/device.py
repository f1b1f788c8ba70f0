"""Devices that artifacts are compiled for: data files with their memory and their ops. Imports no torch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from elir_edge.core.data import MAX_YAML_BYTES, build_dataclass, parse_yaml
from elir_edge.errors import ConfigError, MissingInputError, UsageError, did_you_mean
from elir_edge.families.spec import check_name
from elir_edge.pipeline.target import INTEGER_PRECISIONS

SUFFIXES = (".yaml", ".yml")
MEMORIES = ("sram", "dram", "flash")
FIGURES = ("estimated", "simulated")


@dataclass(frozen=True)
class Memory:
    """KiB of each kind of memory, 0 if there is none. ``arena``: name of the one for activations; ``weights``: of the
    one for weights; an empty name: no limit.
    """

    sram_kib: int = 0
    dram_kib: int = 0
    flash_kib: int = 0
    arena: str = ""
    weights: str = ""

    def __post_init__(self) -> None:
        for part, name in (("arena", self.arena), ("weights", self.weights)):
            if name and not (name in MEMORIES and self.kib(name) > 0):
                hint = f"give {name}_kib" if name in MEMORIES else f"known: {', '.join(MEMORIES)}"
                raise ConfigError(f"memory.{part} is '{name}', of which the device has none", hint=hint)

    def kib(self, name: str) -> int:
        """KiB of the memory called ``name``."""
        return int(getattr(self, f"{name}_kib"))


@dataclass(frozen=True)
class DeviceEntry:
    """One device of a family. ``options``: of the compiler, ``key=value``; ``chip``: a chip that has the device.

    Raises ConfigError for a name with which no file's name may begin: those of compiled artifacts have it.
    """

    name: str
    memory: Memory = dataclasses.field(default_factory=Memory)
    options: tuple[str, ...] = ()
    chip: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)


@dataclass(frozen=True)
class DeviceFile:
    """A device file: a family of devices with one compiler and one set of ops.

    ``figures``: where the compiler's figures come from, ``estimated`` or ``simulated``; ``types``: supported types of
    activations; ``recommended``: the precision to export for the devices; ``mean_elements_int16``: most int16 values
    that MEAN takes, 0: no limit; ``resize_factors``: supported by RESIZE_NEAREST_NEIGHBOR, empty: all.
    """

    family: str
    compiler: str
    figures: str
    about: str
    types: tuple[str, ...]
    ops: tuple[str, ...]
    devices: tuple[DeviceEntry, ...]
    recommended: str = "int8"
    mean_elements_int16: int = 0
    resize_factors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.figures not in FIGURES:
            raise ConfigError(f"figures is '{self.figures}'", hint=f"known: {', '.join(FIGURES)}")
        if self.recommended not in INTEGER_PRECISIONS:
            raise ConfigError(f"recommended is '{self.recommended}'", hint=f"known: {', '.join(INTEGER_PRECISIONS)}")
        if not self.devices:
            raise ConfigError("the file names no device", hint="write name: NAME")


@dataclass(frozen=True)
class KnownDevice:
    """One device, with the facts that its family shares."""

    entry: DeviceEntry
    shared: DeviceFile

    @property
    def name(self) -> str:
        """Name of the device."""
        return self.entry.name

    @property
    def memory(self) -> Memory:
        """Memory of the device."""
        return self.entry.memory

    @property
    def options(self) -> dict[str, str]:
        """Options of the compiler, by name."""
        return dict(option.split("=", 1) for option in self.entry.options)

    def advice_for(self, precision: str) -> str:
        """What to export in place of an artifact of ``precision``, for the end of a sentence; else empty."""
        wanted = self.shared.recommended
        return "" if precision == wanted else f"; --precision {wanted} is recommended for {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        shared = {key: value for key, value in dataclasses.asdict(self.shared).items() if key != "devices"}
        return dataclasses.asdict(self.entry) | shared


def known_devices() -> dict[str, KnownDevice]:
    """The devices that come with the package, by name."""
    folder = resources.files("elir_edge.npu") / "devices"
    found: dict[str, KnownDevice] = {}
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(SUFFIXES):
            found |= _parse(file.read_text(encoding="utf-8"), file.name)
    return found


def get_device(name: str) -> KnownDevice:
    """The known device called ``name``, or the one in the YAML file with that path.

    Raises UsageError for an unknown name (with the nearest one) or a file of several devices, MissingInputError if
    there is no such file, ConfigError if it describes no device.
    """
    if not name.endswith(SUFFIXES):
        known = known_devices()
        if name not in known:
            raise UsageError(f"there is no device '{name}'", hint=did_you_mean(name, known))
        return known[name]
    path = Path(name)
    if not path.is_file():
        raise MissingInputError(
            f"{path}: no such file", hint="elir-edge devices --known lists those that come with the package"
        )
    if path.stat().st_size > MAX_YAML_BYTES:
        raise ConfigError(
            f"{path}: larger than {MAX_YAML_BYTES} bytes, which no device file is", hint="it is no device file"
        )
    found = _parse(path.read_text(encoding="utf-8", errors="replace"), str(path))
    if len(found) != 1:
        raise UsageError(f"{path}: describes {', '.join(found)}", hint="keep the one that is meant")
    return next(iter(found.values()))


def _parse(text: str, where: str) -> dict[str, KnownDevice]:
    try:
        shared: DeviceFile = build_dataclass(DeviceFile, parse_yaml(text, where), where)
    except TypeError as error:  # a key that every file has
        raise ConfigError(
            f"{where}: {error}".replace("DeviceFile.__init__() ", ""),
            hint="mend this key; the files in elir_edge/npu/devices are examples",
        ) from error
    except ConfigError as error:
        if str(error).startswith(where):
            raise
        raise ConfigError(f"{where}: {error}", hint=error.hint) from error
    for entry in shared.devices:
        if not all(option.partition("=")[0] and "=" in option for option in entry.options):
            raise ConfigError(
                f"{where}: the options of '{entry.name}' are not all of the form key=value",
                hint="write each option as key=value",
            )
    found = {entry.name: KnownDevice(entry, shared) for entry in shared.devices}
    if len(found) < len(shared.devices):
        raise ConfigError(f"{where}: two of its devices have one name", hint="give each device a name of its own")
    return found
