"""What runs in a worker of Ray: a session that stays open, and rows of pictures. Imports no Ray."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from elir_edge.artifacts.artifact import model_sha256
from elir_edge.core.journal import Journal
from elir_edge.core.lock import hold_lock
from elir_edge.core.publish import check_place
from elir_edge.errors import DataError, ElirEdgeError, UsageError
from elir_edge.imaging.file_formats import format_of_target, target_suffix
from elir_edge.runtime.batch import Pair, run_pictures
from elir_edge.runtime.plan import refuse_itself
from elir_edge.runtime.session import open_session
from elir_edge.runtime.settings import Settings
from elir_edge.runtime.work import Restored

SOURCE, TARGET = "path", "target"
Batch = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """What every worker has to know.

    Args:
        artifact, out: paths that are the same for all workers. backend, threads, steps: of ``open_session``.
        format: of the files; None keeps each picture's own. key: stands for the model in the journal.
        root: relative paths of pictures are below it.
    """

    artifact: Path
    out: Path
    key: str
    root: Path = Path()
    backend: str | None = None
    threads: int = 1
    steps: int | None = None
    format: str | None = None
    settings: Settings = field(default_factory=Settings)


def place_of(source: Path, named: str | None, format: str | None) -> Path:
    """Where the result of ``source`` goes, below the output folder.

    That is ``named``, if it is not empty, else the path as it is listed, without the root and ``..``. Raises UsageError
    for a place outside of the folder, or an ending that is not a format's.
    """
    if named:
        place = Path(named)
        if place.is_absolute() or ".." in place.parts:
            raise UsageError(
                f"{source}: its target {named} is outside of the output folder", hint="give it a place below"
            )
    else:
        inside = [part for part in source.parts if part not in (source.anchor, "..")]
        if not inside:
            raise UsageError(f"{source}: names no picture", hint="name a file in each line of the list")
        place = Path(*inside).with_suffix(target_suffix(source, format))
    format_of_target(place)
    return place


class RayWorker:
    """Restores batches of rows with ``path`` and ``target``; one row of results for each."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._open = ExitStack()
        self._sources: dict[Path, Path] = {}  # by target
        if model_sha256(job.artifact) != job.key.partition(" ")[0]:
            raise DataError(f"{job.artifact}: another file than where the run began", hint="copy it to all machines")
        session = open_session(job.artifact, job.backend, job.threads, steps=job.steps)
        self._session = self._open.enter_context(session)
        self._journal = Journal(job.out, writer=uuid.uuid4().hex[:12])
        self._open.enter_context(hold_lock(self._journal.path))

    def __call__(self, batch: Batch) -> dict[str, list[Any]]:
        """Rows of results, by column."""
        sources = [str(source) for source in batch[SOURCE]]
        targets = batch.get(TARGET, np.array([""] * len(sources), dtype=object))
        pairs, refused = [], []
        for source, named in zip(sources, targets, strict=True):
            try:
                pairs.append(self._pair(Path(source), named))
            except ElirEdgeError as error:
                code = error.exit_code
                refused.append(Restored(source, error=str(error), hint=error.hint, exit_code=code, failure=error))
        done = run_pictures(pairs, [self._session], self._job.key, self._job.settings, self._journal)
        return columns_of([*refused, *done])

    def _pair(self, source: Path, named: Any) -> Pair:
        text = named if isinstance(named, str) else None
        target = self._job.out / place_of(source, text, self._job.format)
        check_place(target.parent)
        picture = self._job.root / source
        refuse_itself(picture, target)
        if self._sources.setdefault(target, picture) != picture:
            raise UsageError(
                f"{source}: {target} is the target of {self._sources[target]} too",
                hint="name another one in the list, in a column 'target'",
            )
        return picture, target


def columns_of(results: list[Restored]) -> dict[str, list[Any]]:
    """Results as columns of plain values, which go from process to process."""
    return {
        "source": [result.source for result in results],
        "target": ["" if result.target is None else str(result.target) for result in results],
        "lost": ["\n".join(result.lost) for result in results],
        "error": [result.error or "" for result in results],
        "hint": [result.hint or "" for result in results],
        "exit_code": [result.exit_code for result in results],
        "skipped": [result.skipped for result in results],
        "seconds": [result.seconds for result in results],
    }


def result_of(row: Mapping[str, Any]) -> Restored:
    """One row of ``columns_of``, read back."""
    return Restored(
        str(row["source"]),
        target=Path(row["target"]) if row["target"] else None,
        lost=tuple(str(row["lost"]).splitlines()),
        error=row["error"] or None,
        hint=row["hint"] or None,
        exit_code=int(row["exit_code"]),
        skipped=bool(row["skipped"]),
        seconds=float(row["seconds"]),
    )
