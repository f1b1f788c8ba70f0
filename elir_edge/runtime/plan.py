"""Which pictures are meant, and where each restored one goes: decided, and refused where needed, before any work."""

from __future__ import annotations

import glob
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from elir_edge.core.files import source_errors
from elir_edge.core.journal import Journal
from elir_edge.core.publish import check_place, refuse_existing
from elir_edge.errors import DataError, MissingInputError, UsageError
from elir_edge.imaging.file_formats import PICTURE_SUFFIXES, format_named, format_of_target, target_suffix

WILD = "*?["


@dataclass(frozen=True)
class Plan:
    """(source, target) pairs; ``in_folder``: whether the targets lie in an output folder, which keeps a journal."""

    pairs: list[tuple[Path, Path | None]]
    in_folder: bool


def plan_pictures(given: list[Path], out: Path | None, format: str | None, recursive: bool, force: bool) -> Plan:
    """Find the pictures of files, folders and globs, and a target for each; ``out`` None: no targets.

    Pictures of a folder keep their place below it; one that is no file, such as a link to nothing, is reported as any
    other that cannot be read. Raises MissingInputError for what is named and not there, DataError for a folder without
    pictures, UsageError where targets collide, are pictures themselves or have the ending of another format than
    ``format``, OutputError where something that no earlier run wrote is in the way.
    """
    if format is not None:
        format_named(format)
    if out is not None:
        check_place(out)
    found, missing = [], []
    for path in given:
        with source_errors(path):
            pairs = _find(path, recursive, out, format)
            missing += [str(path) for picture, _ in pairs if picture == path and not path.is_file()]
            found += pairs
    if missing:
        raise MissingInputError(
            f"no such picture: {', '.join(missing)}", hint="check the name; quote names with spaces"
        )
    if not found:
        raise MissingInputError("no pictures were given", hint="name at least one picture or folder")
    if out is None:
        return Plan([(source, None) for source, _ in found], False)
    single = len(found) == 1 and not given[0].is_dir() and not out.is_dir() and out.suffix != ""
    if not single and len(found) > 1 and out.suffix and not out.is_dir():
        raise UsageError(f"{len(found)} pictures cannot go into one file {out}", hint="give a folder with -o")
    if single and format is not None and format_named(format) != format_of_target(out):
        raise UsageError(
            f"{out} is {format_of_target(out).name.upper()} by its ending, and --format asks for {format.upper()}",
            hint="leave out --format, or change the ending",
        )
    targets = [out] if single else [out / place.with_suffix(target_suffix(place, format)) for _, place in found]
    _refuse([source for source, _ in found], targets, None if single else Journal(out), force)
    return Plan([(source, target) for (source, _), target in zip(found, targets, strict=True)], not single)


def _find(path: Path, recursive: bool, out: Path | None, format: str | None) -> list[tuple[Path, Path]]:
    """(picture, place below the output folder) for a file, a folder or a glob; no results of runs into ``out``."""
    if path.is_dir():
        found = pictures_below(path, recursive)
        if out is not None and out.resolve() == path.resolve():
            results = Journal(path)  # those of the same command, as they were left, are no sources
            found = [
                picture
                for picture in found
                if picture.suffix != target_suffix(picture, format) or not results.is_known(picture)
            ]
        elif out is not None:
            found = [picture for picture in found if not picture.resolve().is_relative_to(out.resolve())]
        return [(picture, picture.relative_to(path)) for picture in found]
    if not path.exists() and any(mark in str(path) for mark in WILD):
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))  # noqa: PTH207  (its ** and absolute paths)
        if matches:
            return [pair for match in matches if match.is_file() for pair in _find(match, False, out, format)]
    return [(path, Path(path.name))]


def pictures_below(folder: Path, recursive: bool) -> list[Path]:
    """Picture files inside ``folder``, and in folders inside it where ``recursive``, sorted; hidden ones are left out.

    Raises DataError where there are none.
    """
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        found += [
            Path(place, name)
            for name in sorted(names)
            if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")
        ]
    if not found:
        hint = "" if recursive else "; --recursive looks into the folders inside"
        raise DataError(f"{folder}: holds no pictures", hint=f"looked for {', '.join(PICTURE_SUFFIXES)}{hint}")
    return found


def refuse_itself(source: Path, target: Path) -> None:
    """Raise UsageError where ``target`` is the file ``source``, under whatever name."""
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"{target}: is the picture itself", hint="choose another name or folder with -o")


def _refuse(sources: list[Path], targets: list[Path], journal: Journal | None, force: bool) -> None:
    for source, target in zip(sources, targets, strict=True):
        format_of_target(target)
        refuse_itself(source, target)
        if journal is None or not journal.lists(target):
            refuse_existing([target], force)
    counts = Counter(map(str, targets))
    twice = sorted(target for target, count in counts.items() if count > 1)
    if twice:
        raise UsageError(f"several pictures would be written to {', '.join(twice)}", hint="restore them separately")
