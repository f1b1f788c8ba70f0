"""The errors that the tool raises on purpose, each with its exit code."""

from __future__ import annotations

import difflib
import errno
import importlib.util
import sys
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


class DeviceError(UnavailableError):
    """A device does not exist here, or does not start, whatever is to run on it."""


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


NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
    "out of memory",
    "failed to map segment",
    "can't start new thread",
    "unable to allocate",
)


def is_memory_error(error: BaseException | None) -> bool:
    """Whether a library's error, or one that led to it, means that memory ran out: most have no class for it."""
    while error is not None:
        said = str(error).lower()
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            return True
        if any(words in said for words in NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


MORE_MEMORY = "close other programs, raise the limit (ulimit -v), or use a model or an artifact of a smaller size"


def reason_of(error: Exception) -> str:
    """What somebody else's code raised, in one line: the kind, and the first line of the message."""
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the name in ``known`` that is nearest to ``word``; with all of them if none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def missing_package(package: str, extra: str) -> ElirEdgeError:
    """The error for an optional library that cannot be imported, with what mends it.

    Inside an ``except``, the import's own error tells a package that is not installed from one for which memory ran
    out (ResourceError) and one that is broken.
    """
    error = sys.exception()
    if is_memory_error(error):
        return ResourceError(f"not enough memory to load the package '{package}'", hint=MORE_MEMORY)
    if error is not None and _is_installed(package):
        return UnavailableError(
            f"the package '{package}' is installed, but cannot be loaded: {error}",
            hint=f"install it again: pip install --force-reinstall '{package}'",
        )
    return UnavailableError(
        f"this needs the package '{package}', which is not installed",
        hint=f"pip install 'elir-edge[{extra}]'",
    )


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package.replace("-", "_")) is not None
    except (ImportError, ValueError):  # ValueError: None in sys.modules, the import is blocked
        return False
