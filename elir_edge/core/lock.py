"""The lock of a destination, and the hidden files that a run keeps beside the destination."""

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
    """Paths beside ``destination`` while it is written.

    ``lock`` is held by the run that writes; ``part`` is its folder of unfinished work, to be deleted if the lock is
    free; ``commit`` is a complete result that is being moved in, to be finished by the next holder of the lock.
    """

    destination: Path

    @property
    def lock(self) -> Path:
        """The lock file."""
        return self._path("lock")

    @property
    def part(self) -> Path:
        """The folder of unfinished work."""
        return self._path("part")

    @property
    def commit(self) -> Path:
        """The folder of a complete result that is being moved in."""
        return self._path("commit")

    def _path(self, ending: str) -> Path:
        name = self.destination.name
        key = hashlib.sha256(os.fsencode(name)).hexdigest()[:12]  # long names that begin alike stay apart
        return self.destination.parent / f".{name[:SHOWN_CHARACTERS]}.{key}.{ending}"


@dataclass(frozen=True)
class Inside(Beside):
    """The same inside ``destination``, a folder that is there: the one around it may not be ours to write."""

    def _path(self, ending: str) -> Path:
        return self.destination / super()._path(ending).name


@dataclass(frozen=True)
class Leftover(Beside):
    """The same, found in a folder: ``stem`` is what its names have in common; ``destination`` may be cut short."""

    stem: str

    def _path(self, ending: str) -> Path:
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
def hold_lock(destination: Path, wait: bool = False) -> Iterator[Beside]:
    """Hold ``destination``'s lock. The lock file is beside it, so that other users and machines see it too.

    If another run holds the lock, wait for it with ``wait``, else raise LockedError at once. Raises OutputError or
    StorageError if the lock file cannot be created.
    """
    with hold(Beside(destination), wait) as beside:
        yield beside


@contextmanager
def hold(beside: Beside, wait: bool = False) -> Iterator[Beside]:
    """``hold_lock`` for names that are known already."""
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
