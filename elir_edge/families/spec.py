"""Specifications of models: frozen dataclasses, read from and written to YAML. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from elir_edge.core.data import MAX_YAML_BYTES, build_dataclass, parse_yaml, to_plain
from elir_edge.errors import ConfigError, ElirEdgeError, MissingInputError, did_you_mean
from elir_edge.families.base import Family
from elir_edge.families.networks.specs import nearest_multiple, within
from elir_edge.families.registry import BUILTIN, DEFAULT_FAMILY, family_names, get_family

MAX_STEPS = 100
MAX_SIDE = 16384
OTHER_FIELDS = "the family's package has to give its fields types that CONTRIBUTING.md names"
NAME = re.compile(r"\w[\w.+-]{0,99}")


@dataclass(frozen=True)
class ModelSpec(ABC):
    """Fields that all families share; each family adds its parts.

    ``steps``: K, the number of Euler steps. ``sigma_s``: standard deviation of the noise added before the first step.
    ``size``: side in pixels of the square image of an export, unless it asks for another. ``weights``: default source
    of the weights, as for ``load_restorer``. Raises ConfigError for values out of range.
    """

    name: str = "custom"
    task: str = "restoration"
    size: int = 256
    steps: int = 3
    sigma_s: float = 0.1
    weights: str | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        if not self.has_flow and self.steps != 0:
            raise ConfigError(
                f"steps is {self.steps}, but the model has no field", hint="set steps to 0, or add a field"
            )
        if self.has_flow:
            within("steps", self.steps, 1, MAX_STEPS)
        if not 0 <= self.sigma_s <= 10:
            raise ConfigError(f"sigma_s is {self.sigma_s}, allowed is 0 to 10", hint="choose a value in this range")
        self.check_size(self.size, self.size)

    @property
    @abstractmethod
    def family_name(self) -> str:
        """Name of its family."""

    @property
    @abstractmethod
    def has_flow(self) -> bool:
        """Whether the model has a field."""

    @property
    @abstractmethod
    def latent_channels(self) -> int:
        """Channels of the latent."""

    @property
    @abstractmethod
    def latent_stride(self) -> int:
        """Image pixels per latent pixel along each axis."""

    @property
    @abstractmethod
    def size_multiple(self) -> int:
        """Heights and widths must be multiples of this."""

    @property
    def takes_noise(self) -> bool:
        """Whether noise is added before the first Euler step."""
        return self.has_flow and self.sigma_s > 0

    @property
    def family(self) -> Family:
        """Its family."""
        return get_family(self.family_name)

    @property
    def foreign_parts(self) -> tuple[str, ...]:
        """Names of parts that are a user's own modules: nothing is known of them but what they take and give."""
        return ()

    def side_within(self, most: int) -> int:
        """The largest allowed side of at most ``most`` pixels; the smallest allowed one where that is larger."""
        return max(1, most // self.size_multiple) * self.size_multiple

    def check_size(self, height: int, width: int) -> None:
        """Raise ConfigError unless ``height`` and ``width`` are allowed multiples of ``size_multiple``."""
        multiple = self.size_multiple
        for side, value in (("height", height), ("width", width)):
            if value % multiple or not multiple <= value <= MAX_SIDE:
                raise ConfigError(
                    f"{side} {value} is not a multiple of {multiple} between {multiple} and {MAX_SIDE}",
                    hint=f"the nearest allowed is {min(self.side_within(MAX_SIDE), nearest_multiple(value, multiple))}",
                )

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Shape 1 x C x h x w of the latent and of the noise for an image of ``height`` x ``width`` pixels."""
        return (1, self.latent_channels, height // self.latent_stride, width // self.latent_stride)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, the inverse of ``from_dict``; the default family is left out.

        Raises ConfigError where a field has a type that cannot be read back, see ``build_dataclass``.
        """
        fields: dict[str, Any] = to_plain(dataclasses.asdict(self))
        try:
            back = build_dataclass(type(self), json.loads(json.dumps(fields)), type(self).__name__)
            lost = [name for name, value in to_plain(dataclasses.asdict(back)).items() if value != fields[name]]
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"the specification cannot be read back: {error}", hint=OTHER_FIELDS) from error
        if lost:
            raise ConfigError(f"the specification cannot be read back: {', '.join(lost)}", hint=OTHER_FIELDS)
        return fields if self.family_name == DEFAULT_FAMILY else {"family": self.family_name} | fields

    def to_yaml(self) -> str:
        """The spec as a YAML document."""
        import yaml

        return str(yaml.safe_dump(self.to_dict(), sort_keys=False))

    @staticmethod
    def from_dict(data: Any, where: str = "spec") -> ModelSpec:
        """Build a spec of the family ``data["family"]`` (default ``elir``) from plain data.

        Raises ConfigError, with ``where`` and the key, for an unknown key or a value of the wrong type.
        """
        try:
            family = _family_of(data) if isinstance(data, dict) else None
            kind = family.spec if family is not None else ModelSpec
            rest = {key: value for key, value in data.items() if key != "family"} if family is not None else data
            spec: ModelSpec = build_dataclass(kind, rest, where)
            return spec
        except ConfigError as error:
            if str(error).startswith(where):
                raise
            raise ConfigError(f"{where}: {error}", hint=error.hint) from error

    @staticmethod
    def from_yaml(text: str, where: str = "spec") -> ModelSpec:
        """Parse a YAML document. Raises ConfigError for bad YAML, tags, aliases, unknown keys and wrong types."""
        return ModelSpec.from_dict(parse_yaml(text, where), where)


def check_name(name: str) -> None:
    """Raise ConfigError unless names of files may begin with ``name``."""
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"name is '{name[:100]}', which is not a valid start of a file name",
            hint="use up to 100 letters, digits, '_', '-', '+' and '.', not '.' or '-' first",
        )


def _family_of(data: dict[str, Any]) -> Family:
    name = data.get("family", DEFAULT_FAMILY)
    if not isinstance(name, str):
        raise ConfigError(f"family is {name!r:.100}, which is no name", hint=f"known: {', '.join(family_names())}")
    return get_family(name)


def preset_names() -> list[str]:
    """Names of all presets, sorted. Raises ElirEdgeError as ``find_preset`` does."""
    return sorted(_presets(family_names()))


def find_preset(name: str) -> Path | None:
    """The file of the preset called ``name``, None where there is none.

    Other packages are only asked for a name that this package does not have. Raises ElirEdgeError where one of them has
    a broken entry point, or a preset whose name is taken.
    """
    return _presets(BUILTIN).get(name) or _presets(family_names()).get(name)


def load_spec(spec: ModelSpec | str | Path) -> ModelSpec:
    """The spec for a spec, the name of a preset, or the path of a YAML file.

    Raises ConfigError for an unknown preset or an invalid file, MissingInputError for a missing file, and what
    ``find_preset`` raises.
    """
    if isinstance(spec, ModelSpec):
        return spec
    text = str(spec)
    if not text.endswith((".yaml", ".yml")):
        preset = find_preset(text)
        if preset is None:
            raise ConfigError(f"there is no preset '{text}'", hint=did_you_mean(text, preset_names()))
        return ModelSpec.from_yaml(preset.read_text(encoding="utf-8"), where=f"preset {text}")
    path = Path(text)
    if not path.is_file():
        raise MissingInputError(
            f"{path}: no such file",
            hint="check the name; elir-edge presets lists the models that come with the package",
        )
    if path.stat().st_size > MAX_YAML_BYTES:
        raise ConfigError(
            f"{path}: larger than {MAX_YAML_BYTES} bytes, the limit of a specification",
            hint="it is no model specification",
        )
    try:
        return ModelSpec.from_yaml(path.read_text(encoding="utf-8"), where=str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text", hint="save it as UTF-8") from error


def packaged_file(family: Family, folder: str, name: str) -> Path:
    """Path of the file ``name`` in ``folder`` (presets, weights) of the family's package; it may not exist."""
    return Path(str(resources.files(family.package) / folder / name))


def _presets(families: Iterable[str]) -> dict[str, Path]:
    """The presets of ``families`` by name. Raises ElirEdgeError where two of them have one of the same name."""
    found: dict[str, Path] = {}
    for family in dict.fromkeys(families):
        folder = packaged_file(get_family(family), "presets", "")
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if file.suffix == ".yaml" and found.setdefault(file.stem, file) != file:
                raise ElirEdgeError(
                    f"the family '{family}' has a preset '{file.stem}', and this name is taken by another family's",
                    hint="the package of the family has to name it differently, or be removed",
                )
    return found
