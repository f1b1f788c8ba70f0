"""Errors as the shell sees them: a message on stderr, with what to do next, and an exit status."""

from __future__ import annotations

import errno
import sys

import click

from elir_edge.core.memory import memory_facts
from elir_edge.core.streams import silence
from elir_edge.errors import MORE_MEMORY, ElirEdgeError, MissingInputError, ResourceError, StorageError, is_memory_error

INTERRUPTED, TERMINATED, HUNG_UP = 130, 143, 129
WORDS = {INTERRUPTED: "interrupted", TERMINATED: "terminated", HUNG_UP: "the terminal was closed"}
NOT_READABLE = (errno.ENOENT, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM)
FULL = (errno.ENOSPC, errno.EDQUOT)


def report(error: Exception, used_bytes: int | None = None) -> int:
    """Say what is wrong and what to do about it; returns the exit status.

    ``used_bytes`` is the memory of the process that did the work, where that was another one.
    """
    if isinstance(error, ResourceError) or is_memory_error(error):
        said = str(error) if isinstance(error, ElirEdgeError) else "not enough memory"
        hint = error.hint if isinstance(error, ElirEdgeError) else None
        _say(f"{said}{memory_facts(used_bytes)}\n  -> {hint or MORE_MEMORY}")
        return ResourceError.exit_code
    if isinstance(error, ElirEdgeError):
        _say(f"{error}" + (f"\n  -> {error.hint}" if error.hint else ""))
        return error.exit_code
    if isinstance(error, OSError):
        return _report_of_the_system(error)
    _say(f"a bug in elir-edge: {type(error).__name__}: {error}\n  -> run again with --debug first, and report it")
    return ElirEdgeError.exit_code


def report_end(status: int) -> int:
    """Say that a signal ended the work; returns ``status``."""
    _say(f"{WORDS.get(status, 'ended by a signal')}; nothing was left half done")
    return status


def show(error: click.ClickException) -> None:
    """A usage error, as click words it."""
    try:
        error.show()
    except OSError:
        silence(2)


def _report_of_the_system(error: OSError) -> int:
    reason = f"{error.filename or 'input or output'}: {error.strerror or error}"
    if error.errno in NOT_READABLE:
        _say(f"{reason}\n  -> check the name, and whether you may read it")
        return MissingInputError.exit_code
    _say(f"{reason}\n  -> " + ("free some space" if error.errno in FULL else "check the disk, and try again"))
    return StorageError.exit_code


def _say(text: str) -> None:
    try:
        click.echo(f"elir-edge: {text}", err=True)
        sys.stderr.flush()
    except OSError:  # nobody listens, and the exit status still counts
        silence(2)
