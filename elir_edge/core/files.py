"""The files of a path, the sha256 of a file or folder, names of files, and files that cannot be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from elir_edge.errors import DataError, ElirEdgeError, MissingInputError, is_memory_error, reason_of


@contextmanager
def source_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about a file that is read into MissingInputError."""
    try:
        yield
    except OSError as error:
        raise MissingInputError(f"{path}: cannot be read ({error.strerror})", hint="check its permissions") from error


@contextmanager
def damage_errors(path: Path, then: str) -> Iterator[None]:
    """Turn whatever a library raises about the content of ``path`` into DataError; ``then``: what a new run does."""
    try:
        yield
    except (ElirEdgeError, PermissionError):
        raise
    except Exception as error:
        if is_memory_error(error):
            raise
        raise DataError(f"{path}: damaged or cut short ({reason_of(error)})", hint=f"delete it; {then}") from error


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file's bytes; for a folder, of the list that ``sha256sum`` prints for its files."""
    if path.is_dir():
        lines = [f"{sha256_of(file)}  {file.relative_to(path).as_posix()}\n" for file in files_of(path)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(path: Path) -> list[Path]:
    """``[path]`` for a file; for a folder all files below it, sorted, without hidden ones and folders."""
    if not path.is_dir():
        return [path]
    found = (file for file in path.rglob("[!.]*") if not file.is_dir())
    return sorted(file for file in found if not any(part.startswith(".") for part in file.relative_to(path).parts))


def distinct_names(paths: Sequence[Path]) -> dict[Path, str]:
    """The file name of each path, with as many of its folders as tell it from the others."""

    def name(path: Path) -> str:
        others = [other.parts for other in paths if other != path]
        count = next((n for n in range(1, len(path.parts)) if path.parts[-n:] not in {o[-n:] for o in others}), 0)
        return str(Path(*path.parts[-count:]))

    return {path: name(path) for path in paths}
