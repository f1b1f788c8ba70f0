"""The interface of sessions, with the checks that all of them share."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from elir_edge.artifacts.signature import TensorSpec
from elir_edge.errors import MORE_MEMORY, DataError, ElirEdgeError, ResourceError, UsageError, is_memory_error

Feeds = Mapping[str, np.ndarray]
Result = TypeVar("Result")
AGAIN = "it is damaged, or made for another version: copy it again, or export it again"


def unusable(path: Path, what: str, error: BaseException) -> ElirEdgeError:
    """The error for an artifact that a runtime refuses: a damaged file, unless memory ran out."""
    if is_memory_error(error):
        return ResourceError(f"{path}: not enough memory to open it", hint=MORE_MEMORY)
    return DataError(f"{path}: {what}: {error}", hint=AGAIN)


class Session(ABC):
    """A loaded artifact that runs: ``with open_session(path) as session: session.run({"image": array})``.

    ``inputs`` and ``outputs`` describe its tensors; ``backend`` and ``device`` name what runs it.
    """

    backend: str
    device: str = "CPU"

    def __init__(self, inputs: list[TensorSpec], outputs: list[TensorSpec]) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._open = True
        self._running = False
        self._lock = threading.RLock()  # a signal's handler may close a session in whose run its thread is

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run once; returns all outputs by name. ``feeds`` has all inputs by name, of their shape and dtype.

        Threads may share a session; they take turns. Sessions of their own let them run at the same time.

        Raises UsageError where ``feeds`` do not fit or the session is closed, ResourceError where memory runs out,
        DataError where the runtime fails for another reason.
        """
        return self._guard(feeds, self._run)

    def run_many(self, feeds: Mapping[str, np.ndarray], count: int) -> None:
        """Run ``count`` times and discard the outputs; sessions for throughput run in parallel.

        Raises what ``run`` raises.
        """
        self._guard(feeds, lambda arrays: self._run_many(arrays, count))

    def placement(self) -> dict[str, int]:
        """Number of ops by device; empty where all run on ``device`` or the runtime does not report it."""
        return {}

    def close(self) -> None:
        """Release the runtime's resources; after a run, if one is under way. May be called twice."""
        with self._lock:
            if self._open:
                self._open = False
                if not self._running:
                    self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @abstractmethod
    def _run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]: ...

    def _run_many(self, feeds: Mapping[str, np.ndarray], count: int) -> None:
        for _ in range(count):
            self._run(feeds)

    @abstractmethod
    def _close(self) -> None: ...

    def _guard(self, feeds: Mapping[str, np.ndarray], work: Callable[[Feeds], Result]) -> Result:
        """Call ``work`` with ``feeds`` as arrays if they fit and the session is open, alone; its errors become ours."""
        arrays = {name: np.asarray(value) for name, value in feeds.items()}
        self._check(arrays)
        try:
            with self._lock:
                return self._alone(lambda: work(arrays))
        except ElirEdgeError:
            raise
        except Exception as error:  # each runtime has errors of its own
            if is_memory_error(error):
                raise ResourceError(f"{self.backend} ran out of memory", hint=MORE_MEMORY) from error
            raise DataError(f"{self.backend} failed to run the artifact: {error}", hint=AGAIN) from error

    def _alone(self, work: Callable[[], Result]) -> Result:
        self._require_open()
        if self._running:  # in this very thread: a signal's handler came into it
            raise UsageError(f"this {self.backend} session is in a run", hint="open a session of its own")
        self._running = True
        try:
            return work()
        finally:
            self._running = False
            if not self._open:
                self._close()

    def _require_open(self) -> None:
        if not self._open:
            raise UsageError(f"this {self.backend} session is closed", hint="open another one")

    def _check(self, feeds: Mapping[str, np.ndarray]) -> None:
        names = [tensor.name for tensor in self.inputs]
        if sorted(feeds) != sorted(names):
            raise UsageError(
                f"inputs given: {', '.join(sorted(feeds)) or 'none'}; the artifact takes {', '.join(names)}",
                hint="feed exactly these, by name",
            )
        for tensor in self.inputs:
            given = feeds[tensor.name]
            if given.shape != tensor.shape or given.dtype != np.dtype(tensor.dtype):
                raise UsageError(
                    f"input '{tensor.name}' is {given.dtype} {given.shape}; "
                    f"the artifact takes {tensor.dtype} {tensor.shape} ({tensor.layout}, {tensor.values})",
                    hint="elir_edge.restore_picture brings pictures of any size into this form",
                )
