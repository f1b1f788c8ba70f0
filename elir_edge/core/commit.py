"""Publish several files, or a folder, all or nothing.

The new files and a journal are written into the folder of unfinished work. One rename turns it into the commit folder:
from then on the result is final. The run that holds the lock moves the files to their places; if it is killed, the next
run for the same destination does. Replaced files are kept until all new ones are in place, so that an error can restore
them. A reader may see a mix of old and new files meanwhile; the hashes in the manifest do not match it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from elir_edge.core.lock import Beside, hold, hold_lock, leftovers
from elir_edge.core.storage import storage_error, storage_errors, sync, sync_folder, sync_folders
from elir_edge.errors import ElirEdgeError

JOURNAL = ".elir-edge-journal.json"
REPLACED = ".elir-edge-replaced"
SCRATCH_NOTE = ".elir-edge-scratch"
SCRATCH_PREFIX = "elir-edge-"
Moves = list[tuple[Path, Path]]  # each from where, to where


def commit(beside: Beside, names: Sequence[str], gone: Iterable[str] = ()) -> None:
    """Move ``names`` from the folder of unfinished work into the destination's folder, and remove ``gone`` there.

    All or nothing: after an error the old files are restored; if the run is killed, the next one finishes the move.
    Raises OutputError or StorageError.
    """
    with storage_errors(beside.destination):
        _write_journal(beside.part, names, gone)
        for name in names:
            sync_folders(beside.part / name)
        sync_folder(beside.part)
        beside.part.rename(beside.commit)
        sync_folder(beside.destination.parent)
    moves: Moves = []
    try:
        _move_in(beside, moves)
    except OSError as error:
        _move_back(beside, moves)
        raise storage_error(beside.destination, error) from error


def clean_up(beside: Beside) -> None:
    """Move in a complete result that a killed run left, and remove its unfinished work. The caller holds the lock.

    Raises OutputError or StorageError if a complete result cannot be moved in.
    """
    _discard(beside.part)
    if beside.commit.is_dir() and not beside.commit.is_symlink():
        with storage_errors(beside.destination):
            _move_in(beside, [])
        _discard(beside.part)


def recover(destination: Path) -> None:
    """Finish or remove what killed runs left beside ``destination``.

    Does nothing if another run holds the lock, or if the folder cannot be written.
    """
    beside = Beside(destination)
    if any(os.path.lexists(path) for path in (beside.part, beside.commit, beside.lock)):
        with contextlib.suppress(ElirEdgeError), hold_lock(destination):
            clean_up(beside)


def sweep(folder: Path) -> None:
    """``recover`` for every destination in ``folder``, whatever its name: what killed runs left does not pile up."""
    for left in leftovers(folder):
        with contextlib.suppress(ElirEdgeError), hold(left):
            clean_up(left)


def _discard(part: Path) -> None:
    """Remove a folder of unfinished work, and the scratch folder whose path is noted in it."""
    with contextlib.suppress(OSError):
        scratch = Path(os.fsdecode((part / SCRATCH_NOTE).read_bytes()))
        if scratch.parent == Path(tempfile.gettempdir()) and scratch.name.startswith(SCRATCH_PREFIX):
            shutil.rmtree(scratch, ignore_errors=True)  # whatever else the note says is not ours to remove
    shutil.rmtree(part, ignore_errors=True)


def _write_journal(folder: Path, names: Sequence[str], gone: Iterable[str]) -> None:
    (folder / REPLACED).mkdir()
    with (folder / JOURNAL).open("x", encoding="utf-8") as file:
        json.dump({"names": list(names), "gone": sorted(gone)}, file)
        file.flush()
        sync(file.fileno())


def _move_in(beside: Beside, moves: Moves) -> None:
    """Move the rest of the commit folder into place, then rename it to unfinished work. Adds each move to ``moves``."""
    place, source = beside.destination.parent, beside.commit
    names, gone = _read_journal(source)
    for name in names:
        if os.path.lexists(source / name):
            _set_aside(place / name, source / REPLACED, moves)
            _move(source / name, place / name, moves)
    for name in gone:
        _set_aside(place / name, source / REPLACED, moves)
    sync_folder(place)
    source.rename(beside.part)
    sync_folder(place)


def _move_back(beside: Beside, moves: Moves) -> None:
    """Undo ``moves``. If that fails, the result stays committed and the next run moves it in."""
    with contextlib.suppress(OSError):
        for source, target in reversed(moves):
            target.rename(source)
        beside.commit.rename(beside.part)


def _set_aside(target: Path, folder: Path, moves: Moves) -> None:
    if os.path.lexists(target):
        _move(target, folder / str(len(list(folder.iterdir()))), moves)


def _move(source: Path, target: Path, moves: Moves) -> None:
    source.rename(target)
    moves.append((source, target))


def _read_journal(folder: Path) -> tuple[list[str], list[str]]:
    """The names to move in and the names to remove; both empty if the journal has other than plain file names."""
    try:
        data = json.loads((folder / JOURNAL).read_text(encoding="utf-8"))
        return _plain(data["names"]), _plain(data["gone"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return [], []  # none that this tool wrote: it renames the folder only when its journal is on the disk


def _plain(names: list[str]) -> list[str]:
    if not all(name not in ("", "..") and Path(name).name == name for name in names):
        raise ValueError(f"not plain names: {names}")
    return names
