"""Turn the operating system's write errors into the project's, and sync files and folders to the disk."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from elir_edge.errors import ElirEdgeError, OutputError, StorageError

NOT_ALLOWED = (
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's write errors into the project's."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> ElirEdgeError:
    """OutputError if ``path`` may not be written, StorageError for anything else (disk full, disk broken)."""
    if error.errno in NOT_ALLOWED:
        return OutputError(f"{path}: cannot write there ({error.strerror})", hint="choose another place with -o")
    return StorageError(f"{path}: writing failed ({error.strerror})", hint="nothing was replaced; free some space")


def sync(handle: int) -> None:
    """Sync an open file to the disk, if it can be synced. Raises OSError if the disk fails."""
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what cannot be synced, a pipe or some network disks
            raise


def allocate(handle: int, size: int) -> None:
    """Take ``size`` bytes of the disk for an open file, where the system can. Raises OSError where it is full.

    Without it, a full disk ends the program by SIGBUS where the file is mapped.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle, 0, size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what cannot be allocated, some network disks
                raise


def sync_folder(folder: Path) -> None:
    """Sync a folder's list of names to the disk. Does nothing on Windows, which cannot."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            sync(handle)
        finally:
            os.close(handle)


def sync_folders(path: Path) -> None:
    """``sync_folder`` for the folder ``path`` and every folder below it; nothing for a file."""
    if path.is_dir():
        for folder, _, _ in os.walk(path):
            sync_folder(Path(folder))
