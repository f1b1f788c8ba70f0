"""Any number of pictures through an artifact: read, run and written at the same time; one bad one stops no other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from elir_edge.artifacts.artifact import load_artifact, model_sha256, require_runnable
from elir_edge.artifacts.tensors import graph_size
from elir_edge.core.journal import NAME, Journal
from elir_edge.core.lock import hold_lock
from elir_edge.core.storage import storage_errors
from elir_edge.errors import UsageError
from elir_edge.imaging.levels import as_channels
from elir_edge.imaging.tiling import Tile
from elir_edge.runtime.base import Session
from elir_edge.runtime.faces import FaceSessions, check_faces, face_key, run_face_pictures
from elir_edge.runtime.plan import plan_pictures
from elir_edge.runtime.restore import check_overlap, image_input, noise_field, restore_tile
from elir_edge.runtime.session import open_session, require_integer
from elir_edge.runtime.settings import Settings
from elir_edge.runtime.work import Restored, Surroundings, Work
from elir_edge.runtime.works import Pair, run_works

Source = str | Path | np.ndarray


def restore(
    pictures: Source | Iterable[Source],
    artifact: str | Path,
    out: str | Path | None = None,
    *,
    backend: str | None = None,
    jobs: int = 1,
    threads: int | None = None,
    format: str | None = None,
    recursive: bool = False,
    settings: Settings | None = None,
    faces: bool = False,
    background: str | Path | None = None,
) -> Iterator[Restored]:
    """Restore pictures one after the other, as ``elir-edge restore`` does; one ``Restored`` for each, in order.

    Args:
        pictures: files, folders and globs, or arrays: uint8 or uint16, H x W x channels, of any size.
        artifact: path of the artifact. out: file or folder; what is done there is skipped. None: results are arrays.
        jobs: sessions at a time. threads: of each. recursive: into inner folders. format: None: each picture's own.
        faces: restore only faces, each by itself (extra ``faces``). background: artifact for what is around them.

    A picture that cannot be restored is reported in its ``Restored.error``. Raises UsageError, MissingInputError and
    OutputError before any work where the request as a whole cannot be carried out.
    """
    settings = settings or Settings()
    _check(jobs, threads, faces, background, settings)
    model, around = _runnable(artifact), None if background is None else _runnable(background)
    pairs, folder = _targets(pictures, out, format, recursive, settings.force)

    def generate() -> Iterator[Restored]:
        with ExitStack() as stack:
            opened = [stack.enter_context(open_session(model, backend, threads)) for _ in range(jobs)]
            behind = [stack.enter_context(open_session(around, threads=threads)) if around else None for _ in opened]
            journal = None if folder is None else stack.enter_context(locked_journal(folder))
            key = face_key(model_sha256(model), around) if faces else model_sha256(model)
            both = [*map(FaceSessions, opened, behind)] if faces else None
            yield from _run(pairs, opened, both, key, settings, journal)

    return generate()


def _check(jobs: int, threads: int | None, faces: bool, background: str | Path | None, settings: Settings) -> None:
    for name, value in (("jobs", jobs), ("threads", threads)):
        require_integer(name, value)
    if jobs < 1:
        raise UsageError(f"{jobs} jobs: at least one session is needed", hint="give 1 or more")
    check_faces(faces, background, settings)


def _run(
    pairs: list[Pair],
    sessions: list[Session],
    both: list[FaceSessions] | None,
    key: str,
    settings: Settings,
    journal: Journal | None,
) -> Iterator[Restored]:
    if both is None:
        return run_pictures(pairs, sessions, key, settings, journal)
    return run_face_pictures(pairs, both, key, settings, journal)


def _runnable(artifact: str | Path) -> Path:
    loaded = load_artifact(artifact)
    require_runnable(loaded)
    return loaded.path


def _targets(
    pictures: Source | Iterable[Source], place: str | Path | None, format: str | None, recursive: bool, force: bool
) -> tuple[list[Pair], Path | None]:
    """(source, target) for each picture, and the output folder, if there is one."""
    given: list[Source] = [pictures] if isinstance(pictures, str | Path | np.ndarray) else list(pictures)
    others = [type(picture).__name__ for picture in given if not isinstance(picture, str | Path | np.ndarray)]
    if others:
        raise UsageError(f"a picture is a path or an array, not a {others[0]}", hint="make it an array: numpy.asarray")
    if format is not None and place is None:
        raise UsageError("format has no effect: results are arrays without `out`", hint="leave it out, or give `out`")
    out = None if place is None else Path(place)
    arrays = [picture for picture in given if isinstance(picture, np.ndarray)]
    paths = [Path(picture) for picture in given if not isinstance(picture, np.ndarray)]
    if arrays and (paths or out is not None):
        raise UsageError(
            "arrays are restored to arrays: leave out the files and `out`",
            hint="give the pictures' paths to have files written",
        )
    if arrays:
        return [(as_channels(array), None) for array in arrays], None
    plan = plan_pictures(paths, out, format, recursive, force)
    return [*plan.pairs], out if plan.in_folder else None


@contextmanager
def locked_journal(folder: Path) -> Iterator[Journal]:
    """The journal of an output folder; one run at a time has it. Raises LockedError where another run does."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with hold_lock(folder / NAME):
        journal = Journal(folder)
        journal.gather()
        yield journal


def run_pictures(
    pictures: Iterable[Pair],
    sessions: Sequence[Session],
    artifact: str,
    settings: Settings,
    journal: Journal | None = None,
    advance: Callable[[float], None] = lambda share: None,
) -> Generator[Restored, None, None]:
    """Restore (source, target) pairs in ``sessions``; one ``Restored`` for each, in order.

    ``artifact`` stands for the model in keys of the journal. ``advance`` is called with the share of a picture that a
    tile is. Raises UsageError where the sessions take no image or tiles cannot share so much, StorageError.
    """
    image = image_input(sessions[0])
    tile = graph_size(image)
    check_overlap(settings.overlap, tile)
    field = noise_field(sessions[0], settings.seed)
    around = Surroundings(settings, tile, image.dtype == "uint8", artifact, journal)
    works = (Work(source, target, around, place) for place, (source, target) in enumerate(pictures))

    def restore(session: Session, tile: Tile) -> np.ndarray:
        return restore_tile(session, tile, field, settings.alpha == "restore")

    yield from run_works(works, restore, sessions, advance)
