"""Read YAML safely and build dataclasses from it, with errors that name the key.

Kept in place of cattrs and msgspec: their errors give neither the nearest known key nor the path of the value.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from elir_edge.errors import ConfigError, did_you_mean

MAX_YAML_BYTES = 64 * 1024
MAX_REASON = 500
MAX_DEPTH = 8
EXPONENT = re.compile(r"[+-]?\d+[eE][+-]?\d+")  # 1e-3, which YAML 1.1 takes for text: it wants 1.0e-3
VALUES = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
LISTS = {
    int: ("whole numbers", "it as [1, 2]"),
    str: ("names", "it as [a, b]"),
    dict: ("mappings", "- KEY: VALUE lines"),
}


def to_plain(value: Any) -> Any:
    """``value`` with tuples as lists and members of enumerations as their values, also inside dicts and tuples."""
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, Enum):
        return to_plain(value.value)
    return [to_plain(item) for item in value] if isinstance(value, tuple | list) else value


def parse_yaml(text: str, where: str) -> Any:
    """Plain data of a YAML document. Raises ConfigError, which names ``where``, for bad YAML, tags and aliases."""
    import yaml

    try:
        _refuse_aliases_and_depth(text, where)
        twice = sorted(set(_duplicate_keys(yaml.compose(text, Loader=yaml.SafeLoader))))
        if twice:
            raise ConfigError(f"{where}: given twice: {', '.join(map(repr, twice))}", hint="keep one of them")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # ValueError: an impossible date or number
        reason = " ".join(str(error).split())[:MAX_REASON]
        raise ConfigError(
            f"{where}: not usable YAML: {reason}",
            hint="mend the file; only plain mappings, lists, numbers and text are read",
        ) from error


def _refuse_aliases_and_depth(text: str, where: str) -> None:
    """Raise ConfigError for aliases and deep nesting: a few lines of either can keep the parser busy for hours."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{where}: YAML aliases are not allowed", hint="write the value out in full")
        if depth > MAX_DEPTH:
            raise ConfigError(
                f"{where}: nested more than {MAX_DEPTH} deep, which no such file is", hint="mend the file"
            )


def _duplicate_keys(node: Any) -> Iterator[str]:
    """Keys that occur twice in a mapping inside ``node``: YAML forbids them, PyYAML takes the last one."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        counts = Counter(str(key.value) for key, _ in node.value)
        yield from (key for key, count in counts.items() if count > 1)
        for _, value in node.value:
            yield from _duplicate_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _duplicate_keys(value)


def build_dataclass(cls: type, data: Any, where: str) -> Any:
    """Build an instance of the dataclass ``cls`` from plain data. Raises ConfigError, which names the wrong key.

    Fields are int, float, str, bool, dataclasses, enumerations, ``Literal``, tuples and lists of one kind of these, or
    ``None`` beside one of them; of several dataclasses each has a field ``kind``.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected a mapping, got {type(data).__name__}", hint="write KEY: VALUE lines")
    hints = get_type_hints(cls)
    for key in data:
        if key not in hints:
            raise ConfigError(f"{where}: unknown key '{key}'", hint=did_you_mean(str(key), hints))
    return cls(**{key: _convert(hints[key], value, f"{where}.{key}") for key, value in data.items()})


def _choose_option(options: list[Any], value: Any, where: str) -> Any:
    """Of several dataclasses the one whose ``kind`` the mapping names; the first where it names none."""
    kinds = {option.kind: option for option in options if hasattr(option, "kind")}
    if len(options) == 1 or not isinstance(value, dict) or "kind" not in value:
        return options[0]
    kind = str(value["kind"])
    if kind not in kinds:
        raise ConfigError(f"{where}: there is no kind '{kind:.100}'", hint=did_you_mean(kind, kinds))
    return kinds[kind]


def _choose_value(options: tuple[Any, ...], value: Any, where: str) -> Any:
    """The one of ``options``, whose plain value is ``value``."""
    for option in options:
        if type(to_plain(option)) is type(value) and to_plain(option) == value:
            return option
    known = [str(to_plain(option)) for option in options]
    raise ConfigError(f"{where}: {value!r:.100} is none of {', '.join(known)}", hint=did_you_mean(str(value), known))


def _convert(hint: Any, value: Any, where: str) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        if value is None and len(options) < len(get_args(hint)):
            return None
        return _convert(_choose_option(options, value, where), value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build_dataclass(hint, value, where)
    if get_origin(hint) is Literal or (isinstance(hint, type) and issubclass(hint, Enum)):
        return _choose_value(get_args(hint) or tuple(hint), value, where)
    if get_origin(hint) in (tuple, list):
        return _convert_list(hint, value, where)
    return _convert_scalar(hint, value, where)


def _convert_list(hint: Any, value: Any, where: str) -> Any:
    item_hint = get_args(hint)[0]
    if not isinstance(value, list | tuple):
        kind, example = LISTS.get(item_hint, LISTS[dict])
        raise ConfigError(f"{where}: expected a list of {kind}, got {value!r:.100}", hint=f"write {example}")
    places = [where if item_hint is int else f"{where}[{i}]" for i in range(len(value))]
    items = [_convert(item_hint, item, place) for item, place in zip(value, places, strict=True)]
    return items if get_origin(hint) is list else tuple(items)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, str) and EXPONENT.fullmatch(value):
        return float(value)
    if hint is float and (type(value) is float or (type(value) is int and abs(value) < 2**63)):
        return float(value)
    if type(value) is int and abs(value) >= 2**63:
        raise ConfigError(f"{where}: a whole number beyond 64 bits", hint="write a smaller number")
    if type(value) is not hint:
        raise ConfigError(
            f"{where}: expected {getattr(hint, '__name__', hint)}, got {value!r:.100}",
            hint=f"mend this key: write {VALUES.get(hint, 'another value')}",
        )
    return value
