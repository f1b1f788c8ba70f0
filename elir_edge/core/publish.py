"""Writing so that nobody ever sees half a result: staged beside the target, synced, then renamed into place."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from elir_edge.core.cache import cache_folder
from elir_edge.errors import ElirEdgeError, LockedError, OutputError, StorageError

DEFAULT_FOLDER = Path("build")
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


def check_place(destination: Path) -> None:
    """Try whether ``destination`` could be written, or files into it where it is a folder, before any long work.

    Leaves nothing behind. Raises OutputError where that is not allowed, StorageError where the disk is full.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            destination.lstat()
        folder = destination if destination.is_dir() else _nearest_folder(destination)
        trial = folder / f".elir-edge.{secrets.token_hex(4)}.part"
        trial.mkdir()
        trial.rmdir()
    except OSError as error:
        raise storage_error(destination, error) from error


def _nearest_folder(destination: Path) -> Path:
    return next(parent for parent in destination.absolute().parents if parent.exists())


@contextmanager
def staging(destination: Path) -> Iterator[Path]:
    """A fresh hidden folder in ``destination``'s folder, gone afterwards; one run at a time for a destination.

    Raises OutputError at once where nothing can be created there, LockedError where another run is at it.
    """
    with _lock(destination):
        folder = destination.parent / f".{destination.name[:40]}.{secrets.token_hex(4)}.part"
        made = [parent for parent in destination.parents if not parent.exists()]
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except OSError as error:
            raise storage_error(destination, error) from error
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # where it failed, the folders made for it are empty
                for parent in made:
                    parent.rmdir()


def copy_in(source: Path, folder: Path) -> Path:
    """Copy a file or folder into a staging folder and sync it. Raises StorageError where the disk is full or fails."""
    target = folder / source.name
    if source.is_dir():
        with storage_errors(target):
            target.mkdir()
        for part in sorted(source.iterdir()):
            copy_in(part, target)
        return target
    with storage_errors(target), source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        _sync(writing.fileno())
    return target


def write_in(folder: Path, name: str, data: bytes) -> Path:
    """Write bytes into a staging folder and sync them. Raises StorageError where the disk is full or fails."""
    target = folder / name
    with storage_errors(target), target.open("xb") as writing:
        writing.write(data)
        _sync(writing.fileno())
    return target


def publish(files: list[Path], folder: Path) -> None:
    """Rename staged files into ``folder``, in the order given: the manifest last. Symlinks there are replaced.

    So is a folder by a folder: the old one goes into the staging folder, and away with it.
    """
    targets = {file: folder / file.name for file in files}
    for file, target in targets.items():
        if target.is_dir() and not target.is_symlink() and not file.is_dir():
            raise OutputError(f"{target}: is a folder", hint="give the name of a file")
    for file, target in targets.items():
        with storage_errors(target):
            if file.is_dir() and target.exists():
                target.replace(file.with_name(f"{file.name}.old"))
            file.replace(target)
    _sync_folder(folder)


def publish_folder(staged: Path, destination: Path) -> None:
    """Rename a staged folder to ``destination``; a folder that is there moves into the staging folder, which goes.

    Where the renaming fails, what was there is put back.
    """
    old = staged.with_name(f"{staged.name}.old")
    with storage_errors(destination):
        if destination.is_dir():
            destination.rename(old)
        try:
            staged.rename(destination)
        except OSError:
            if old.is_dir():
                old.rename(destination)
            raise
    _sync_folder(destination.parent)


def write_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step. Raises OutputError, StorageError or LockedError."""
    with staging(path) as folder:
        publish([write_in(folder, path.name, data)], path.parent)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's write errors into the project's."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def storage_error(path: Path, error: OSError) -> ElirEdgeError:
    """A permission problem is the place's fault, anything else the storage's."""
    if error.errno in NOT_ALLOWED:
        return OutputError(f"{path}: cannot write there ({error.strerror})", hint="choose another place with -o")
    return StorageError(f"{path}: writing failed ({error.strerror})", hint="nothing was replaced; free some space")


@contextmanager
def _lock(destination: Path) -> Iterator[None]:
    place = os.path.realpath(destination.parent)  # two spellings of one place are one lock
    name = hashlib.sha256(os.fsencode(Path(place) / destination.name)).hexdigest()[:32]
    path = cache_folder("locks") / f"{name}.lock"
    while True:
        with _open_lock(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LockedError(f"{destination}: another run is writing it", hint="wait for it to end") from error
            if not _is_still_there(file, path):  # its last holder removed it between our two calls
                continue
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
            return


def _open_lock(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb")


def _is_still_there(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            _sync(handle)
        finally:
            os.close(handle)


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # what cannot be synced, a pipe or some network disks
            raise
