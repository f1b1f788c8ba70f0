"""Walks through a graph against the direction of its data, the same for every format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Sources = Callable[[Key], Iterable[Key]]


def upstream(ends: Iterable[Key], sources: Sources[Key], known: Collection[Key] = ()) -> set[Key]:
    """``ends`` and everything that they depend on, without ``known`` and what only ``known`` depends on.

    ``sources(key)`` returns what ``key`` is computed from; nothing for inputs and constants.
    """
    found: set[Key] = set()
    waiting = list(ends)
    while waiting:
        key = waiting.pop()
        if key not in found and key not in known:
            found.add(key)
            waiting += sources(key)
    return found


def upstream_by_stage(ends: Mapping[str, Key], sources: Sources[Key]) -> dict[str, set[Key]]:
    """What each stage depends on and no stage before it does.

    ``ends`` maps each stage, in the order of execution, to what computes it.
    """
    known: set[Key] = set()
    found: dict[str, set[Key]] = {}
    for stage, end in ends.items():
        found[stage] = upstream([end], sources, known)
        known |= found[stage]
    return found
