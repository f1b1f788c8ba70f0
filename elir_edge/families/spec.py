"""What a model is: frozen dataclasses, read from and written to YAML. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from elir_edge.errors import ConfigError, MissingInputError, did_you_mean

MAX_STEPS = 100
MAX_YAML_BYTES = 64 * 1024
NORM_GROUPS = 32
MAX_FIELD_WIDTH = 8192
MAX_REASON = 500
MAX_DEPTH = 8
NAME = re.compile(r"\w[\w.+-]{0,99}")


@dataclass(frozen=True)
class AutoencoderSpec:
    """The tiny autoencoder: ``levels`` halvings of the image, ``blocks`` residual blocks at each level.

    ``midblock_pooling`` adds the normalised bottleneck of the FLUX.2 tiny autoencoder to the blocks next to the latent.
    """

    latent_channels: int = 16
    width: int = 64
    levels: int = 3
    blocks: int = 3
    midblock_pooling: bool = False

    def __post_init__(self) -> None:
        _within("autoencoder.latent_channels", self.latent_channels, 1, 256)
        _within("autoencoder.width", self.width, 4, 1024)
        _within("autoencoder.levels", self.levels, 1, 5)
        _within("autoencoder.blocks", self.blocks, 1, 16)


@dataclass(frozen=True)
class EstimatorSpec:
    """The coarse estimator: ``blocks`` RRDB over the latent, dense blocks of ``hidden`` channels."""

    hidden: int = 96
    blocks: int = 3

    def __post_init__(self) -> None:
        _within("estimator.hidden", self.hidden, 1, 1024)
        _within("estimator.blocks", self.blocks, 1, 32)


@dataclass(frozen=True)
class FieldSpec:
    """The vector field: a U-Net over the latent whose width is multiplied by each of ``multipliers`` in turn.

    A multiplier other than 1 also halves the resolution. Widths must divide into 32 normalisation groups.
    """

    hidden: int = 128
    multipliers: tuple[int, ...] = (1, 2, 1, 2)
    mid_blocks: int = 1
    time_features: int = 160

    def __post_init__(self) -> None:
        _within("field.hidden", self.hidden, NORM_GROUPS, 2048)
        if self.hidden % NORM_GROUPS:
            raise ConfigError(
                f"field.hidden is {self.hidden}, which does not divide into {NORM_GROUPS} normalisation groups",
                hint=f"use {_nearest_multiple(self.hidden, NORM_GROUPS)}",
            )
        if not 1 <= len(self.multipliers) <= 8:
            raise ConfigError(f"field.multipliers has {len(self.multipliers)} entries, allowed are 1 to 8")
        for multiplier in self.multipliers:
            _within("field.multipliers", multiplier, 1, 4)
        widest = self.hidden * math.prod(self.multipliers)
        if widest > MAX_FIELD_WIDTH:
            raise ConfigError(
                f"field.hidden times field.multipliers is {widest} channels, allowed are {MAX_FIELD_WIDTH}",
                hint="use a smaller hidden, or fewer multipliers",
            )
        _within("field.mid_blocks", self.mid_blocks, 1, 32)
        _within("field.time_features", self.time_features, 4, 4096)
        if self.time_features % 2:
            raise ConfigError(f"field.time_features is {self.time_features}, and must be even: cosine and sine halves")

    @property
    def stride(self) -> int:
        """How much smaller than the latent the field's coarsest level is."""
        return int(2 ** sum(multiplier != 1 for multiplier in self.multipliers))


@dataclass(frozen=True)
class ModelSpec:
    """A restoration model: encoder, estimator (or none), field walked ``steps`` Euler steps (or none), decoder.

    ``sigma_s`` is the standard deviation of the noise added to the coarse latent; ``size`` the side in pixels of the
    square image that the model is exported at unless another is asked for; ``weights`` where its weights come from by
    default.
    """

    name: str = "custom"
    task: str = "restoration"
    size: int = 256
    steps: int = 3
    sigma_s: float = 0.1
    autoencoder: AutoencoderSpec = dataclasses.field(default_factory=AutoencoderSpec)
    estimator: EstimatorSpec | None = dataclasses.field(default_factory=EstimatorSpec)
    field: FieldSpec | None = dataclasses.field(default_factory=FieldSpec)
    weights: str | None = None

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                f"name is '{self.name[:100]}', which cannot begin the name of a file",
                hint="use up to 100 letters, digits, '_', '-', '+' and '.', not '.' or '-' first",
            )
        if self.field is None and self.steps != 0:
            raise ConfigError(
                f"steps is {self.steps}, but the model has no field to walk", hint="set steps to 0, or give a field"
            )
        if self.field is not None:
            _within("steps", self.steps, 1, MAX_STEPS)
        if not 0 <= self.sigma_s <= 10:
            raise ConfigError(f"sigma_s is {self.sigma_s}, allowed is 0 to 10")
        self.check_size(self.size, self.size)

    @property
    def latent_stride(self) -> int:
        """Image pixels per latent pixel along each side."""
        return int(2**self.autoencoder.levels)

    @property
    def size_multiple(self) -> int:
        """Heights and widths must be multiples of this."""
        return self.latent_stride * (self.field.stride if self.field else 1)

    def check_size(self, height: int, width: int) -> None:
        """Raise ConfigError unless the network can take ``height`` x ``width`` pixels."""
        multiple = self.size_multiple
        for side, value in (("height", height), ("width", width)):
            if value % multiple or not multiple <= value <= 16384:
                raise ConfigError(
                    f"{side} {value} is not a multiple of {multiple} between {multiple} and 16384",
                    hint=f"the nearest allowed is {min(16384, _nearest_multiple(value, multiple))}",
                )

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Shape 1 x C x h x w of the latent (and of the noise) for an image of ``height`` x ``width``."""
        stride = self.latent_stride
        return (1, self.autoencoder.latent_channels, height // stride, width // stride)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers; ``from_dict`` gives the equal spec back."""
        return _plain(dataclasses.asdict(self))

    def to_yaml(self) -> str:
        """The spec as a YAML document."""
        import yaml

        return str(yaml.safe_dump(self.to_dict(), sort_keys=False))

    @classmethod
    def from_dict(cls, data: Any, where: str = "spec") -> ModelSpec:
        """Build a spec from plain data. Raises ConfigError naming the key that is unknown or of the wrong type."""
        try:
            return build_dataclass(cls, data, where)
        except ConfigError as error:
            if str(error).startswith(where):
                raise
            raise ConfigError(f"{where}: {error}", hint=error.hint) from error

    @classmethod
    def from_yaml(cls, text: str, where: str = "spec") -> ModelSpec:
        """Parse a YAML document. Raises ConfigError for bad YAML, tags, aliases, unknown keys and wrong types."""
        return cls.from_dict(parse_yaml(text, where), where)


def preset_names() -> list[str]:
    """Names of the presets that come with the package."""
    folder = resources.files("elir_edge.families.elir") / "presets"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_spec(spec: ModelSpec | str | Path) -> ModelSpec:
    """A spec, the name of a preset, or the path of a YAML file -> the spec.

    Raises ConfigError for an unknown preset or a file that describes no model, MissingInputError for a missing file.
    """
    if isinstance(spec, ModelSpec):
        return spec
    text = str(spec)
    if text in preset_names():
        resource = resources.files("elir_edge.families.elir") / "presets" / f"{text}.yaml"
        return ModelSpec.from_yaml(resource.read_text(encoding="utf-8"), where=f"preset {text}")
    if not text.endswith((".yaml", ".yml")):
        raise ConfigError(f"there is no preset '{text}'", hint=did_you_mean(text, preset_names()))
    path = Path(text)
    if not path.is_file():
        raise MissingInputError(f"{path}: no such file")
    if path.stat().st_size > MAX_YAML_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_YAML_BYTES} bytes, which no model specification is")
    try:
        return ModelSpec.from_yaml(path.read_text(encoding="utf-8"), where=str(path))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}, allowed is {low} to {high}")


def _nearest_multiple(value: int, multiple: int) -> int:
    return max(multiple, (value + multiple // 2) // multiple * multiple)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def parse_yaml(text: str, where: str) -> Any:
    """Plain data of a YAML document. Raises ConfigError for bad YAML, tags and aliases, naming ``where``."""
    import yaml

    try:
        _refuse_aliases_and_depth(text, where)
        twice = sorted(set(_keys_given_twice(yaml.compose(text, Loader=yaml.SafeLoader))))
        if twice:
            raise ConfigError(f"{where}: given twice: {', '.join(map(repr, twice))}")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: an impossible date or number
        reason = " ".join(str(error).split())[:MAX_REASON]
        raise ConfigError(f"{where}: not usable YAML: {reason}") from error


def _refuse_aliases_and_depth(text: str, where: str) -> None:
    """A few lines of either can cost the parser hours."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{where}: YAML aliases are not allowed in a model specification")
        if depth > MAX_DEPTH:
            raise ConfigError(f"{where}: nested more than {MAX_DEPTH} deep, which no model specification is")


def _keys_given_twice(node: Any) -> Iterator[str]:
    """Keys that a mapping inside ``node`` holds twice; YAML forbids that, and PyYAML takes the last one."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        counts = Counter(str(key.value) for key, _ in node.value)
        yield from (key for key, count in counts.items() if count > 1)
        for _, value in node.value:
            yield from _keys_given_twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _keys_given_twice(value)


def build_dataclass(cls: type, data: Any, where: str) -> Any:
    """An instance of a dataclass of this package from plain data. Raises ConfigError naming the key that is wrong."""
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping, got {type(data).__name__}")
    hints = get_type_hints(cls)
    for key in data:
        if key not in hints:
            raise ConfigError(f"{where}: unknown key '{key}'", hint=did_you_mean(str(key), hints))
    return cls(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in data.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        return None if value is None else _convert(options[0], value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build_dataclass(hint, value, where)
    if get_origin(hint) is tuple:
        item_hint = get_args(hint)[0]
        if not isinstance(value, list | tuple):
            kind = "whole numbers" if item_hint is int else "mappings"
            raise ConfigError(f"{where}: expected a list of {kind}, got {value!r:.100}")
        places = [where if item_hint is int else f"{where}[{i}]" for i in range(len(value))]
        return tuple(_convert(item_hint, item, place) for item, place in zip(value, places, strict=True))
    if hint is float and (type(value) is float or (type(value) is int and abs(value) < 2**63)):
        return float(value)
    if type(value) is int and abs(value) >= 2**63:
        raise ConfigError(f"{where}: a whole number beyond 64 bits")
    if type(value) is not hint:
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r:.100}")
    return value
