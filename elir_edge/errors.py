"""Everything that can go wrong on purpose, each with the exit code a shell sees."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ElirEdgeError(Exception):
    """Base of all errors the tool raises on purpose.

    ``str(error)`` names what was given and why it cannot be used; ``hint`` says what to do next.
    """

    exit_code = 70

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class GateError(ElirEdgeError):
    """The work ran, and the result is not good enough."""

    exit_code = 1


class UsageError(ElirEdgeError):
    """Options or arguments that make no sense, alone or together."""

    exit_code = 2


class DataError(ElirEdgeError):
    """A file was read and its content cannot be used."""

    exit_code = 65


class MissingInputError(ElirEdgeError):
    """An input file or folder is not there."""

    exit_code = 66


class UnavailableError(ElirEdgeError):
    """An extra, a device or a server that is needed is not there."""

    exit_code = 69


class ResourceError(ElirEdgeError):
    """Not enough memory."""

    exit_code = 71


class OutputError(ElirEdgeError):
    """The output cannot be created at the place asked for."""

    exit_code = 73


class StorageError(ElirEdgeError):
    """Reading or writing failed half way, for instance on a full disk."""

    exit_code = 74


class LockedError(ElirEdgeError):
    """Another run is writing the same output."""

    exit_code = 75


class ConfigError(ElirEdgeError):
    """A model specification that describes no model."""

    exit_code = 78


NO_MEMORY = ("can't allocate memory", "Failed to allocate memory", "bad_alloc", "bad allocation", "out of memory")


def is_memory_error(error: BaseException) -> bool:
    """Whether a library's error means that memory ran out: most have no class of their own for it."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The nearest of ``known`` names as a sentence, else the whole list of them."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def missing_package(package: str, extra: str) -> UnavailableError:
    """The error for an optional library that is not installed, with the command that mends it."""
    return UnavailableError(
        f"this needs the package '{package}', which is not installed",
        hint=f"pip install 'elir-edge[{extra}]'",
    )
