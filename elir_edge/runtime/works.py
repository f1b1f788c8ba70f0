"""Many pictures on their way at once: read, run and written at the same time; one bad one stops no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np

from elir_edge.errors import (
    DataError,
    LockedError,
    MissingInputError,
    OutputError,
    ResourceError,
    UnavailableError,
)
from elir_edge.imaging.tiling import Tile
from elir_edge.runtime.in_order import run_in_order
from elir_edge.runtime.work import Restored, Work

Pair = tuple[Path | np.ndarray, Path | None]
Runner = TypeVar("Runner")
Step = tuple[Work, Tile | None]
OF_THE_PICTURE = (DataError, MissingInputError, UnavailableError, OutputError, LockedError, ResourceError, MemoryError)
WRITERS = 2


def run_works(
    works: Iterable[Work],
    restore: Callable[[Runner, Tile], np.ndarray],
    runners: Sequence[Runner],
    advance: Callable[[float], None],
) -> Generator[Restored, None, None]:
    """Run ``restore`` on each tile of each of ``works`` in a free one of ``runners``; one ``Restored`` each, in order.

    ``advance`` is called with the share of a picture that a tile is, and at a picture's end with what is left of it:
    all of one that was done before. Raises StorageError.
    """

    def run(runner: Runner, step: Step) -> np.ndarray | Exception | None:
        work, tile = step
        if tile is None or work.error is not None:
            return None
        try:
            return restore(runner, tile)
        except OF_THE_PICTURE as error:
            return error

    with ThreadPoolExecutor(WRITERS) as writers, closing(run_in_order(run, _steps(works), runners)) as results:
        waiting: deque[Future[Restored]] = deque()
        for (work, tile), result in results:
            if isinstance(result, Exception):
                work.error = work.error or result
            elif tile is not None and result is not None and work.error is None:
                _add(work, tile, result)
            if tile is not None:
                advance(1 / work.tile_count)
                work.shown_count += 1
                continue
            advance(1 - work.shown_count / work.tile_count)
            waiting.append(writers.submit(_end, work))
            while len(waiting) > WRITERS:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _steps(works: Iterable[Work]) -> Iterator[Step]:
    """All tiles of all pictures, and after those of each a step without a tile."""
    for work in works:
        try:
            for tile in work.tiles():
                yield work, tile
                if work.error is not None:
                    break
        except OF_THE_PICTURE as error:
            work.error = work.error or error
        yield work, None


def _add(work: Work, tile: Tile, part: np.ndarray) -> None:
    try:
        work.add(tile, part)
    except OF_THE_PICTURE as error:
        work.error = error


def _end(work: Work) -> Restored:
    try:
        return work.finish() if work.error is None else work.fail(work.error)
    except OF_THE_PICTURE as error:
        return work.fail(error)
