"""Files and folders as one thing: what they hold, and the digest of it."""

from __future__ import annotations

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes; of a folder, that of the listing which ``sha256sum`` would give of its files."""
    if path.is_dir():
        lines = [f"{sha256_of(file)}  {file.relative_to(path).as_posix()}\n" for file in files_of(path)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(path: Path) -> list[Path]:
    """A file itself; all files below a folder, sorted, but hidden ones, which file managers leave there."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("[!.]*") if not file.is_dir())
