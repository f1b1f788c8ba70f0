"""Templates: text in which @{name} stands for a value."""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACE = re.compile(r"@\{([a-z0-9_]+)\}")  # C, CMake, Kotlin, shell, CSS and scripts use $, %, {} and a plain @


def fill(template: str, values: Mapping[str, object]) -> str:
    """``template`` with every @{name} replaced. Raises ValueError for names without a value and for unused values."""
    return fill_all({"template": template}, values)["template"]


def fill_all(templates: Mapping[str, str], values: Mapping[str, object]) -> dict[str, str]:
    """Fill several templates, by name, that share ``values``; returns the texts by the same names.

    Raises ValueError, which names the template, for a placeholder without a value, and for values that no template
    uses.
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
