"""One run at a time for a destination, and the names of the hidden things that such a run keeps beside it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from elir_edge.core.storage import storage_error
from elir_edge.errors import LockedError

SHOWN_CHARACTERS = 40
FOREVER = -1
HIDDEN = re.compile(r"(?P<stem>\.(?P<name>.{1,40})\.[0-9a-f]{12})\.(lock|part|commit)", re.DOTALL)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@dataclass(frozen=True)
class Beside:
    """What lies beside ``destination`` while it is written.

    ``lock`` is held by the run that writes it; ``part`` is that run's folder of unfinished work: rubbish where the
    lock is free; ``commit`` holds a complete result that is being moved in: whoever gets the lock next finishes that.
    """

    destination: Path

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self._named("lock")

    @property
    def part(self) -> Path:
        """The folder of unfinished work."""
        return self._named("part")

    @property
    def commit(self) -> Path:
        """The folder of a complete result."""
        return self._named("commit")

    def _named(self, ending: str) -> Path:
        name = self.destination.name
        key = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]  # long names that begin alike stay apart
        return self.destination.parent / f".{name[:SHOWN_CHARACTERS]}.{key}.{ending}"


@dataclass(frozen=True)
class Leftover(Beside):
    """The same, found in a folder: ``stem`` is what its names have in common; ``destination`` may be cut short."""

    stem: str

    def _named(self, ending: str) -> Path:
        return self.destination.parent / f"{self.stem}.{ending}"


def leftovers(folder: Path) -> list[Leftover]:
    """What runs keep, or have left, beside the destinations in ``folder``; none where that cannot be read."""
    try:
        found = [HIDDEN.fullmatch(name) for name in (path.name for path in folder.iterdir())]
    except OSError:
        return []
    stems = {match["stem"]: match["name"] for match in found if match}
    return [Leftover(folder / name, stem) for stem, name in sorted(stems.items())]


@contextmanager
def locked(destination: Path, wait: bool = False) -> Iterator[Beside]:
    """Hold ``destination``'s lock. The lock lies beside it, so that other users and machines see it too.

    Raises LockedError at once where another run holds it, unless it is to ``wait``; OutputError or StorageError where
    the lock cannot be made there.
    """
    with hold(Beside(destination), wait) as beside:
        yield beside


@contextmanager
def hold(beside: Beside, wait: bool = False) -> Iterator[Beside]:
    """``locked`` for names that are known already."""
    try:
        lock = _acquire(beside.lock, FOREVER if wait else 0)
    except Timeout as error:
        raise LockedError(f"{beside.destination}: another run is writing it", hint="wait for it to end") from error
    except OSError as error:
        raise storage_error(beside.destination, error) from error
    try:
        yield beside
    finally:
        if not isinstance(lock, SoftFileLock):
            with contextlib.suppress(OSError):  # while it is held: afterwards it may be somebody else's
                beside.lock.unlink()
        lock.release()


def _acquire(path: Path, timeout: float) -> BaseFileLock:
    lock: BaseFileLock = FileLock(path, timeout=timeout)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        lock = SoftFileLock(path, timeout=timeout)  # a network disk without locks: there the file itself is the lock
        lock.acquire()
    return lock
