"""Writing so that nobody ever sees half a result: staged beside the target, synced, then renamed into place."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from elir_edge.core.commit import SCRATCH_NOTE, SCRATCH_PREFIX, clean_up, commit
from elir_edge.core.lock import Beside, hold_lock
from elir_edge.core.storage import storage_error, storage_errors, sync, sync_folder
from elir_edge.errors import OutputError

DEFAULT_FOLDER = Path("build")


def check_place(destination: Path) -> None:
    """Try whether ``destination`` could be written, or files into it where it is a folder, before any long work.

    Leaves nothing behind. Raises OutputError where that is not allowed, StorageError where the disk is full.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            destination.lstat()
        folder = destination if destination.is_dir() else _nearest_folder(destination)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise storage_error(destination, error) from error


def refuse_existing(paths: Iterable[Path], force: bool, what: str = "is there already") -> None:
    """Raise OutputError for the first of ``paths`` that exists, a dangling link too, unless ``force`` replaces it.

    ``what`` is the message behind the path.
    """
    there = [path for path in paths if path.is_symlink() or path.exists()]
    if there and not force:
        raise OutputError(f"{there[0]}: {what}", hint="--force replaces it")


@contextmanager
def staging(destination: Path) -> Iterator[Path]:
    """A fresh hidden folder in ``destination``'s folder, gone afterwards; one run at a time for a destination.

    What an earlier run that was killed had completed is put in place first, and what else it left is removed.
    Raises OutputError at once where nothing can be created there, LockedError where another run is at it.
    """
    if destination.name in ("", ".."):
        raise OutputError(f"{destination}: is no name for something new", hint="give one with -o")
    made = [parent for parent in destination.parents if not parent.exists()]
    try:
        with storage_errors(destination):
            destination.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(destination) as beside:
            clean_up(beside)
            try:
                with storage_errors(destination):
                    beside.part.mkdir()
                yield beside.part
            finally:
                with contextlib.suppress(Exception):  # what is complete stays where the next run finds it
                    clean_up(beside)
    finally:
        with contextlib.suppress(OSError):  # where it failed, the folders made for it are empty
            for parent in made:
                parent.rmdir()


@contextmanager
def scratch_folder(staged: Path) -> Iterator[Path]:
    """A folder in the system's temporary one for a run's intermediate files, gone afterwards.

    The staging folder ``staged`` notes it down, so that where this run is killed the next one removes it.
    """
    folder = Path(tempfile.gettempdir()) / f"{SCRATCH_PREFIX}{secrets.token_hex(8)}"
    write_in(staged, SCRATCH_NOTE, os.fsencode(folder))
    with storage_errors(folder):
        folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
        writing.flush()
        sync(writing.fileno())
    return target


def write_in(folder: Path, name: str, data: bytes) -> Path:
    """Write bytes into a staging folder and sync them. Raises StorageError where the disk is full or fails."""
    target = folder / name
    with storage_errors(target), target.open("xb") as writing:
        writing.write(data)
        writing.flush()
        sync(writing.fileno())
    return target


def publish(destination: Path, files: Sequence[Path], gone: Sequence[Path] = ()) -> None:
    """Move ``files`` out of ``destination``'s staging folder to where it is, beside it or at it; remove ``gone`` there.

    All of them or, where something fails, none. Symlinks and files are replaced; so is a folder by a folder.
    Raises OutputError where a folder is in the way of a file, OutputError or StorageError where renaming fails.
    """
    place = destination.parent
    targets = [place / file.name for file in files]
    for file, target in zip(files, targets, strict=True):
        if target.is_dir() and not target.is_symlink() and not file.is_dir():
            raise OutputError(f"{target}: is a folder", hint="give the name of a file")
    if len(files) == 1 and not files[0].is_dir() and not gone:
        with storage_errors(targets[0]):
            files[0].replace(targets[0])  # one rename as it is
        sync_folder(place)
    else:
        commit(Beside(destination), [file.name for file in files], [path.name for path in gone])


def write_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` in one step. Raises OutputError, StorageError or LockedError."""
    with staging(path) as folder:
        publish(path, [write_in(folder, path.name, data)])


def _nearest_folder(destination: Path) -> Path:
    return next(parent for parent in destination.absolute().parents if parent.exists())
