"""Frames of equal size through a session, in order: what video files and streams share."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from elir_edge.imaging.raw_frames import read_frames
from elir_edge.runtime.base import Session
from elir_edge.runtime.batch import run_pictures
from elir_edge.runtime.settings import Settings
from elir_edge.runtime.works import Pair


@dataclass(frozen=True)
class Told:
    """How many frames were restored, and how many a second, from the first one read to the last one written."""

    frames: int
    per_second: float


def restore_frames(
    frames: Iterable[np.ndarray], sessions: Sequence[Session], settings: Settings
) -> Generator[np.ndarray, None, None]:
    """Each of ``frames``, uint8 or uint16 H x W x 3, restored, in order; every frame has the same noise.

    Raises the error of the first frame that fails, and an error of ``frames`` after the frames that came before it.
    """
    broken: list[Exception] = []

    def pairs() -> Iterator[Pair]:
        try:
            for frame in frames:
                yield frame, None
        except Exception as error:
            broken.append(error)

    with closing(run_pictures(pairs(), sessions, "", settings)) as results:
        for result in results:
            if result.failure is not None:
                raise result.failure
            assert result.pixels is not None
            yield result.pixels
    if broken:
        raise broken[0]


def restore_raw_frames(
    source: BinaryIO, target: BinaryIO, size: tuple[int, int], sessions: Sequence[Session], settings: Settings
) -> Told:
    """Restore RGB frames of 8 bits, (height, width) each, from ``source`` to ``target`` until ``source`` ends.

    Raises DataError where it ends inside a frame, BrokenPipeError where nobody reads ``target`` any more.
    """

    def write(frame: np.ndarray) -> None:
        target.write(frame.tobytes())
        target.flush()

    return count_frames(restore_frames(read_frames(source, size), sessions, settings), write)


def count_frames(frames: Iterable[np.ndarray], write: Callable[[np.ndarray], None]) -> Told:
    """Give each of ``frames`` to ``write``, and measure."""
    began, count = time.perf_counter(), 0
    for frame in frames:
        write(frame)
        count += 1
    return Told(count, count / max(1e-9, time.perf_counter() - began))
