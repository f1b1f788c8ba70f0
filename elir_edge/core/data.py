"""Plain data and dataclasses: YAML read with care, dataclasses built from it with messages that name the key.

Kept in place of cattrs and msgspec: their errors name neither the nearest known key nor where the value stood.
"""

from __future__ import annotations

import dataclasses
import types
from collections import Counter
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

from elir_edge.errors import ConfigError, did_you_mean

MAX_YAML_BYTES = 64 * 1024
MAX_REASON = 500
MAX_DEPTH = 8


def to_plain(value: Any) -> Any:
    """``value`` with tuples as lists, all the way down."""
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
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


def _chosen(options: list[Any], value: Any, where: str) -> Any:
    """Of several dataclasses the one whose ``kind`` the mapping names; the first where it names none."""
    kinds = {option.kind: option for option in options if hasattr(option, "kind")}
    if len(options) == 1 or not isinstance(value, dict) or "kind" not in value:
        return options[0]
    if value["kind"] not in kinds:
        raise ConfigError(f"{where}: there is no kind '{value['kind']}'", hint=did_you_mean(str(value["kind"]), kinds))
    return kinds[value["kind"]]


def _convert(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        if value is None and len(options) < len(get_args(hint)):
            return None
        return _convert(_chosen(options, value, where), value, where)
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
