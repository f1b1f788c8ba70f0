"""Filling in templates: text in which @{name} stands for a value."""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACE = re.compile(r"@\{([a-z0-9_]+)\}")  # C, CMake, Kotlin, shell, CSS and scripts use $, %, {} and a plain @


def fill(template: str, values: Mapping[str, object]) -> str:
    """``template`` with every @{name} replaced. Raises ValueError for a name without a value or a value unused."""
    return fill_all({"template": template}, values)["template"]


def fill_all(templates: Mapping[str, str], values: Mapping[str, object]) -> dict[str, str]:
    """Several templates, by name, that share ``values``: each value has to be used in one of them at least.

    Raises ValueError, naming the template, for a placeholder without a value; and for values that none uses.
    """
    used: set[str] = set()
    for where, text in templates.items():
        names = set(PLACE.findall(text))
        if unknown := names - values.keys():
            raise ValueError(f"{where}: no value for {', '.join(sorted(unknown))}")
        used |= names
    if unused := values.keys() - used:
        raise ValueError(f"{', '.join(templates)}: no place for {', '.join(sorted(unused))}")
    return {where: PLACE.sub(lambda place: str(values[place[1]]), text) for where, text in templates.items()}
