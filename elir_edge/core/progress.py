"""Progress reporting: the library names the stages of its work, the caller decides how to show them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[float], None]


class Progress(Protocol):
    """Shows stages of work. ``stage(text, total)`` is a context manager that yields a function ``advance(amount)``."""

    def stage(self, text: str, total: float | None = None) -> AbstractContextManager[Advance]:
        """Show one stage; ``total`` is its amount of work, None if that is not known."""
        ...

    def note(self, text: str) -> None:
        """Show one line of text."""
        ...


class Silent:
    """Progress that shows nothing."""

    @contextmanager
    def stage(self, text: str, total: float | None = None) -> Iterator[Advance]:
        """Do nothing."""
        yield lambda amount: None

    def note(self, text: str) -> None:
        """Do nothing."""
