"""Families of models by name: those of this package, then those of entry points of installed packages."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from elir_edge.errors import ConfigError, ElirEdgeError, did_you_mean
from elir_edge.families.base import Family

ENTRY_POINTS = "elir_edge.families"
DEFAULT_FAMILY = "elir"
BUILTIN = {
    "elir": "elir_edge.families.elir.family",
    "latent_pmrf": "elir_edge.families.latent_pmrf.family",
}


def get_family(name: str) -> Family:
    """The family called ``name``. Raises ConfigError, with the nearest name, where there is none."""
    if name in BUILTIN:
        return _as_family(importlib.import_module(BUILTIN[name]).FAMILY, BUILTIN[name])
    announced = entry_points(group=ENTRY_POINTS)
    for entry in announced:
        if entry.name == name:
            return _as_family(entry.load(), f"entry point {entry.value}")
    known = family_names()
    raise ConfigError(f"there is no family of models '{name}'", hint=did_you_mean(name, known))


def family_names() -> list[str]:
    """Names of all families; none of them is imported."""
    return [*BUILTIN, *(entry.name for entry in entry_points(group=ENTRY_POINTS) if entry.name not in BUILTIN)]


def _as_family(family: object, where: str) -> Family:
    if not isinstance(family, Family):
        raise ElirEdgeError(
            f"{where}: is {type(family).__name__}, not a Family",
            hint="the package that has this entry point has to mend it, or be removed",
        )
    return family
