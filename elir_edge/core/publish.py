"""Write files so that readers never see half a result: write beside the target, sync, then rename into place."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from elir_edge.core.commit import SCRATCH_NOTE, SCRATCH_PREFIX, clean_up, commit
from elir_edge.core.lock import Beside, hold_lock
from elir_edge.core.storage import storage_error, storage_errors, sync, sync_folder
from elir_edge.errors import OutputError

DEFAULT_FOLDER = Path("build")


def check_place(destination: Path) -> None:
    """Check before long work that ``destination`` can be written (if it is a folder: that files can be, inside it).

    Leaves nothing behind. Raises OutputError if writing is not allowed, StorageError if the disk is full.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            destination.lstat()
        folder = destination if destination.is_dir() else _nearest_folder(destination)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise storage_error(destination, error) from error


def check_file_place(destination: Path) -> None:
    """``check_place`` for a file, which takes the place of a file or link, but of no folder.

    Raises OutputError for a folder too.
    """
    check_place(destination)
    _refuse_folder(destination)


def refuse_existing(paths: Iterable[Path], force: bool, what: str = "is there already") -> None:
    """Raise OutputError for the first of ``paths`` that exists, also as a dangling link, unless ``force`` is set.

    ``what`` follows the path in the message.
    """
    there = [path for path in paths if path.is_symlink() or path.exists()]
    if there and not force:
        raise OutputError(f"{there[0]}: {what}", hint="--force replaces it")


@contextmanager
def staging(destination: Path, wait: bool = False) -> Iterator[Path]:
    """Hold ``destination``'s lock and yield a new hidden folder beside it, which is removed at the end.

    First finishes or removes what a killed run left. Raises OutputError if nothing can be created there, LockedError if
    another run is writing ``destination``, unless ``wait`` is set.
    """
    if destination.name in ("", ".."):
        raise OutputError(f"{destination}: is no name for something new", hint="give one with -o")
    made = [parent for parent in destination.parents if not parent.exists()]
    try:
        with storage_errors(destination):
            destination.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(destination, wait) as beside:
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
    """Yield a new folder for intermediate files in the system's temporary folder; it is removed at the end.

    Its path is noted in the staging folder ``staged``, so that the next run removes it if this one is killed.
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
    """Copy a file or folder into a staging folder and sync it; returns the copy. Raises StorageError (disk full)."""
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


@contextmanager
def open_in(folder: Path, name: str) -> Iterator[IO[bytes]]:
    """Yield the new file ``name`` of a staging folder, open for writing; it is synced. Raises StorageError."""
    target = folder / name
    with storage_errors(target), target.open("xb") as writing:
        yield writing
        writing.flush()
        sync(writing.fileno())


def write_in(folder: Path, name: str, data: bytes) -> Path:
    """Write ``data`` to the file ``name`` of a staging folder and sync it; returns its path. Raises StorageError."""
    with open_in(folder, name) as writing:
        writing.write(data)
    return folder / name


def publish(destination: Path, files: Sequence[Path], gone: Sequence[Path] = ()) -> None:
    """Move ``files`` from ``destination``'s staging folder into ``destination``'s folder; remove ``gone`` there.

    All or nothing. Files and symlinks are replaced, and a folder is replaced by a folder. Raises OutputError if a
    folder has the name of a file, OutputError or StorageError if renaming fails.
    """
    place = destination.parent
    targets = [place / file.name for file in files]
    for file, target in zip(files, targets, strict=True):
        if not file.is_dir():
            _refuse_folder(target)
    if len(files) == 1 and not files[0].is_dir() and not gone:
        with storage_errors(targets[0]):
            files[0].replace(targets[0])  # one rename as it is
        sync_folder(place)
    else:
        commit(Beside(destination), [file.name for file in files], [path.name for path in gone])


def write_file(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` with one rename. Raises OutputError, StorageError or LockedError."""
    with staging(path) as folder:
        publish(path, [write_in(folder, path.name, data)])


def _refuse_folder(target: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        raise OutputError(f"{target}: is a folder", hint="give the name of a file")


def _nearest_folder(destination: Path) -> Path:
    return next(parent for parent in destination.absolute().parents if parent.exists())
