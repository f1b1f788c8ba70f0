"""The errors that the tool raises on purpose, each with its exit code."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ElirEdgeError(Exception):
    """Base class of the project's errors.

    ``str(error)`` says what was given and why it cannot be used; ``hint`` says what to do next.
    """

    exit_code = 70

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class GateError(ElirEdgeError):
    """The result does not pass its quality gate."""

    exit_code = 1


class UsageError(ElirEdgeError):
    """Options or arguments are wrong, alone or together."""

    exit_code = 2


class DataError(ElirEdgeError):
    """A file's content cannot be used."""

    exit_code = 65


class MissingInputError(ElirEdgeError):
    """An input file or folder does not exist."""

    exit_code = 66


class UnavailableError(ElirEdgeError):
    """A package, a device or a server that is needed is missing."""

    exit_code = 69


class ResourceError(ElirEdgeError):
    """Not enough memory."""

    exit_code = 71


class OutputError(ElirEdgeError):
    """The output cannot be created at its path."""

    exit_code = 73


class StorageError(ElirEdgeError):
    """Reading or writing failed, for instance because the disk is full."""

    exit_code = 74


class LockedError(ElirEdgeError):
    """Another run is writing the same output."""

    exit_code = 75


class ConfigError(ElirEdgeError):
    """A model specification is not valid."""

    exit_code = 78


NO_MEMORY = ("can't allocate memory", "Failed to allocate memory", "bad_alloc", "bad allocation", "out of memory")


def is_memory_error(error: BaseException) -> bool:
    """Whether an error of a library means that memory ran out: most libraries have no class for that."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the name in ``known`` that is nearest to ``word``; with all of them if none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def missing_package(package: str, extra: str) -> UnavailableError:
    """The error for an optional package that is not installed, with the pip command that installs it."""
    return UnavailableError(
        f"this needs the package '{package}', which is not installed",
        hint=f"pip install 'elir-edge[{extra}]'",
    )
