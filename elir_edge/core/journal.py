"""What a folder of results holds already: a line for each file, so that an interrupted run is gone on with."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from elir_edge.core.files import sha256_of
from elir_edge.core.storage import storage_errors, sync

NAME = ".elir-edge-done.jsonl"


@dataclass(frozen=True)
class Entry:
    """A finished file: ``key`` stands for all that decides its content, ``sha256`` is that of the content."""

    key: str
    sha256: str


class Journal:
    """The finished files of ``folder`` by their name in it.

    An entry is on the disk before its file is renamed into place: a file without an entry was made by something else,
    an entry without its file counts for nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._folder = folder
        self._entries: dict[str, Entry] = {}
        text = self.path.read_text(encoding="utf-8", errors="replace") if self.path.is_file() else ""
        self._torn = bool(text) and not text.endswith("\n")  # a run was killed while it wrote the last line
        for line in text.splitlines():
            self._read(line)

    def lists(self, target: Path) -> bool:
        """Whether a run began to put ``target`` in place."""
        return self._name(target) in self._entries

    def is_known(self, target: Path) -> bool:
        """Whether ``target`` is as a run left it here."""
        entry = self._entries.get(self._name(target))
        return entry is not None and target.is_file() and sha256_of(target) == entry.sha256

    def is_done(self, target: Path, key: str) -> bool:
        """Whether ``target`` is there, made from ``key``, and unchanged."""
        entry = self._entries.get(self._name(target))
        return entry is not None and entry.key == key and self.is_known(target)

    def add(self, target: Path, key: str, sha256: str) -> None:
        """Note ``target`` as finished, just before it is put in place. Raises OutputError or StorageError."""
        name = self._name(target)
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                line = json.dumps({"name": name, "key": key, "sha256": sha256})
                file.write(b"\n" if self._torn else b"")
                file.write(f"{line}\n".encode())
                file.flush()
                sync(file.fileno())
        self._torn = False
        self._entries[name] = Entry(key, sha256)

    def _name(self, target: Path) -> str:
        return os.path.relpath(target, self._folder).replace(os.sep, "/")

    def _read(self, line: str) -> None:
        try:
            data = json.loads(line)
            self._entries[str(data["name"])] = Entry(str(data["key"]), str(data["sha256"]))
        except (ValueError, KeyError, TypeError):
            return  # the line that a killed run did not finish
