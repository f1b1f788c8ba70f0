"""Families of models by name: those of this package, then those of entry points of installed packages."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from elir_edge.core.plugins import load_entry, require_kind
from elir_edge.errors import ConfigError, did_you_mean
from elir_edge.families.base import Family

ENTRY_POINTS = "elir_edge.families"
DEFAULT_FAMILY = "elir"
BUILTIN = {
    "elir": "elir_edge.families.elir.family",
    "latent_pmrf": "elir_edge.families.latent_pmrf.family",
}


def get_family(name: str) -> Family:
    """The family called ``name``; no other one is imported.

    Raises ConfigError, with the nearest name, where there is none, ElirEdgeError for a broken entry point.
    """
    if name in BUILTIN:
        return _as_family(importlib.import_module(BUILTIN[name]).FAMILY, BUILTIN[name])
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            return _as_family(load_entry(entry), f"entry point {entry.value}")
    raise ConfigError(f"there is no family of models '{name}'", hint=did_you_mean(name, family_names()))


def family_names() -> list[str]:
    """Names of all families; none of them is imported."""
    return [*BUILTIN, *(entry.name for entry in entry_points(group=ENTRY_POINTS) if entry.name not in BUILTIN)]


def package_of(name: str) -> str | None:
    """The distribution that brings the family ``name``; None for those of this package."""
    for entry in entry_points(group=ENTRY_POINTS) if name not in BUILTIN else ():
        if entry.name == name and entry.dist is not None:
            return entry.dist.name
    return None


def _as_family(family: object, where: str) -> Family:
    return require_kind(family, Family, where)  # type: ignore[type-abstract]
