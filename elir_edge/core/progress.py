"""How long work tells of itself: the library names its stages, whoever calls it decides how to show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[float], None]


class Progress(Protocol):
    """Shows stages of work. ``stage(text, total)`` is a context manager that gives a function to advance by."""

    def stage(self, text: str, total: float | None = None) -> AbstractContextManager[Advance]:
        """Announce one stage, of ``total`` units where that is known."""
        ...

    def note(self, text: str) -> None:
        """Say one thing worth knowing."""
        ...


class Silent:
    """Progress that nobody sees."""

    @contextmanager
    def stage(self, text: str, total: float | None = None) -> Iterator[Advance]:
        """Do nothing."""
        yield lambda amount: None

    def note(self, text: str) -> None:
        """Do nothing."""
