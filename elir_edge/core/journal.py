"""What a folder of results holds already: a line for each file, so that an interrupted run is gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from elir_edge.core.files import sha256_of
from elir_edge.core.lock import hold_lock
from elir_edge.core.storage import storage_errors, sync
from elir_edge.errors import LockedError

NAME = ".elir-edge-done.jsonl"
PARTS = ".elir-edge-done-*.jsonl"


@dataclass(frozen=True)
class Entry:
    """A finished file: ``key`` stands for all that decides its content, ``sha256`` is that of the content."""

    key: str
    sha256: str


class Journal:
    """The finished files of ``folder`` by their name in it.

    An entry is on the disk before its file is renamed into place: a file without an entry was made by something else,
    an entry without its file counts for nothing. ``writer``: several processes write at once, each under its own name
    into a file of its own; all are read.
    """

    def __init__(self, folder: Path, writer: str = "") -> None:
        self.path = folder / (PARTS.replace("*", writer) if writer else NAME)
        self._folder = folder
        self._entries: dict[str, tuple[Entry, ...]] = {}
        self._torn = False
        for path in {self.path, folder / NAME, *folder.glob(PARTS)}:
            text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
            if path == self.path:  # a run was killed while it wrote the last line
                self._torn = bool(text) and not text.endswith("\n")
            for line in text.splitlines():
                self._read(line)

    def lists(self, target: Path) -> bool:
        """Whether a run began to put ``target`` in place."""
        return self._name(target) in self._entries

    def is_known(self, target: Path) -> bool:
        """Whether ``target`` is as a run left it here."""
        return self._is_one_of(target, self._of(target))

    def is_done(self, target: Path, key: str) -> bool:
        """Whether ``target`` is there, made from ``key``, and unchanged."""
        return self._is_one_of(target, [entry for entry in self._of(target) if entry.key == key])

    def gather(self) -> None:
        """Move what other writers left into this file, where they have ended. Raises OutputError or StorageError."""
        for part in sorted(self._folder.glob(PARTS)):
            with suppress(LockedError), hold_lock(part), storage_errors(self.path):
                self._append(part.read_bytes())
                part.unlink()

    def add(self, target: Path, key: str, sha256: str) -> None:
        """Note ``target`` as finished, just before it is put in place. Raises OutputError or StorageError."""
        name = self._name(target)
        line = json.dumps({"name": name, "key": key, "sha256": sha256})
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._append(f"{line}\n".encode())
        self._note(name, Entry(key, sha256))

    def _append(self, lines: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(b"\n" if self._torn else b"")
            file.write(lines)
            file.flush()
            sync(file.fileno())
        self._torn = bool(lines) and not lines.endswith(b"\n")

    def _of(self, target: Path) -> tuple[Entry, ...]:
        return self._entries.get(self._name(target), ())

    @staticmethod
    def _is_one_of(target: Path, entries: Sequence[Entry]) -> bool:
        return bool(entries) and target.is_file() and sha256_of(target) in {entry.sha256 for entry in entries}

    def _note(self, name: str, entry: Entry) -> None:
        found = self._entries.get(name, ())
        if entry not in found:
            self._entries[name] = (*found, entry)

    def _name(self, target: Path) -> str:
        return os.path.relpath(target, self._folder).replace(os.sep, "/")

    def _read(self, line: str) -> None:
        try:
            data = json.loads(line)
            self._note(str(data["name"]), Entry(str(data["key"]), str(data["sha256"])))
        except (ValueError, KeyError, TypeError):
            return  # the line that a killed run did not finish
