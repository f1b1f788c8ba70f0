"""Write a package: an artifact, sources that run it, and a self-test, as one folder, all or nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from elir_edge.artifacts.artifact import Artifact, load_artifact
from elir_edge.artifacts.golden import PACKAGE_RECORD as RECORD
from elir_edge.core.files import sha256_of
from elir_edge.core.progress import Progress, Silent
from elir_edge.core.publish import publish, refuse_existing, staging, write_in
from elir_edge.core.storage import storage_errors
from elir_edge.errors import OutputError, UsageError, did_you_mean
from elir_edge.packaging.android import kotlin_files
from elir_edge.packaging.c_host import c_files, cpp_files
from elir_edge.packaging.facts import Facts, gather_facts

RECORD_SCHEMA = 1
BUILT = ("build", ".gradle")  # folders inside a package that its own tools write
MOST_NAMED = 3


@dataclass(frozen=True)
class Language:
    """``files(facts, embed)`` returns a package's files by name; ``embeds``: programs can have the model linked in."""

    files: Callable[[Facts, bool], dict[str, bytes]]
    embeds: bool


LANGUAGES = {
    "c": Language(c_files, embeds=True),
    "cpp": Language(cpp_files, embeds=True),
    "kotlin": Language(kotlin_files, embeds=False),
}


def package(
    artifact: Artifact | str | Path,
    lang: str,
    out: str | Path,
    embed: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    name: str | None = None,
) -> Path:
    """Write a folder that runs a .tflite artifact in a program of another language; returns it.

    Args:
        artifact: an artifact, or its path.
        lang: ``c``, ``cpp`` or ``kotlin``. out: the folder to write. force: replace an existing package.
        embed: link the model into the program (C and C++ only). progress: gets the stages of the work.
        name: what the model is called in file names and sources (a-z, 0-9, _); None: by the model's own name.

    Raises:
        UsageError: an unknown language, a name that is none, or an artifact that cannot be packaged. DataError,
        MissingInputError: the artifact, or the golden file beside it, is damaged or missing.
        OutputError: ``out`` is there, holds the user's own files, or cannot be written. UnavailableError: no golden
        file, and no LiteRT to run the artifact. StorageError: the disk is full. LockedError: another run writes it.
    """
    progress, destination = progress or Silent(), Path(out)
    language = get_language(lang, embed)
    with staging(destination) as staged:
        _refuse_existing(destination, force)
        artifact = artifact if isinstance(artifact, Artifact) else load_artifact(artifact)
        with progress.stage("reading the artifact"):
            facts = gather_facts(artifact, name)
        files = language.files(facts, embed)
        files[RECORD] = _record(facts, lang, embed, files)
        folder = staged / destination.name
        for file in sorted(files):
            place = folder / file
            with storage_errors(place):
                place.parent.mkdir(parents=True, exist_ok=True)
            write_in(place.parent, place.name, files[file])
        publish(destination, [folder])
    return destination


def get_language(name: str, embed: bool = False) -> Language:
    """The language called ``name``. Raises UsageError if there is none, or if ``embed`` is set and it cannot embed."""
    if name not in LANGUAGES:
        raise UsageError(f"there is no language '{name}' to package for", hint=did_you_mean(name, LANGUAGES))
    if embed and not LANGUAGES[name].embeds:
        raise UsageError(
            f"--embed has no meaning with --lang {name}", hint="leave it out: the model is an asset of the module"
        )
    return LANGUAGES[name]


def _refuse_existing(destination: Path, force: bool) -> None:
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        raise OutputError(f"{destination}: is there already, and is no folder", hint="choose another place with -o")
    refuse_existing([destination], force)
    if not destination.is_dir() or not any(destination.iterdir()):
        return
    if not (destination / RECORD).is_file():
        raise OutputError(
            f"{destination}: is no package of elir-edge, and is not replaced", hint="choose another place with -o"
        )
    if others := _others(destination):
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        raise OutputError(
            f"{destination}: holds files that elir-edge did not write, or that were changed since: "
            f"{', '.join(others[:MOST_NAMED])}{more}",
            hint="move them away, or choose another place with -o",
        )


def _others(folder: Path) -> list[str]:
    """Files in the package at ``folder`` that its record does not have with this content, ``BUILT`` excepted."""
    try:
        written = dict(json.loads((folder / RECORD).read_bytes())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        written = {}
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] in BUILT or name == Path(RECORD) or (path.is_dir() and not path.is_symlink()):
            continue
        with storage_errors(path):
            if path.is_symlink() or written.get(name.as_posix()) != sha256_of(path):
                found.append(name.as_posix())
    return found


def _record(facts: Facts, lang: str, embed: bool, files: dict[str, bytes]) -> bytes:
    """JSON of the folder's files. It also marks the folder as a package, which --force may replace."""
    record = {
        "schema": RECORD_SCHEMA,
        "lang": lang,
        "embed": embed,
        "model": facts.model_file,
        "request": facts.manifest.request,
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    return (json.dumps(record, sort_keys=True, indent=1) + "\n").encode()
