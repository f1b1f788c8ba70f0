"""What installed packages announce by entry points, checked before it is used."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, TypeVar

from elir_edge.errors import ElirEdgeError, reason_of


class Named(Protocol):
    """What a registry holds."""

    @property
    def name(self) -> str: ...


Item = TypeVar("Item", bound=Named)
MEND = "the package that has this entry point has to mend it, or be removed"


def add_announced(found: dict[str, Item], group: str, kind: type[Item]) -> None:
    """Add to ``found`` what installed packages announce under the entry points ``group``, see ``add_named``."""
    for entry in entry_points(group=group):
        add_named(found, load_entry(entry), kind, f"entry point {entry.value}")


def load_entry(entry: EntryPoint) -> object:
    """What ``entry`` names. Raises ElirEdgeError, with the entry point and its package, where that cannot be loaded."""
    try:
        return entry.load()
    except Exception as error:  # the package of someone else is imported: anything may come out of it
        package = f" of the package {entry.dist.name}" if entry.dist is not None else ""
        raise ElirEdgeError(
            f"entry point {entry.value}{package}: cannot be loaded ({reason_of(error)[:300]})", hint=MEND
        ) from error


def add_named(found: dict[str, Item], item: object, kind: type[Item], where: str) -> None:
    """Add ``item`` under its name. Raises ElirEdgeError where it is no ``kind``, or the name is in ``found``."""
    checked = require_kind(item, kind, where)
    if checked.name in found:
        raise ElirEdgeError(
            f"{where}: the name '{checked.name}' is taken by another {kind.__name__.lower()}",
            hint="one of the two packages has to be removed",
        )
    found[checked.name] = checked


def require_kind(item: object, kind: type[Item], where: str) -> Item:
    """``item``, which comes from ``where``. Raises ElirEdgeError where it is no ``kind``."""
    if not isinstance(item, kind):
        raise ElirEdgeError(
            f"{where}: is {type(item).__name__}, not a {kind.__name__}",
            hint=MEND,
        )
    return item
