"""A thread pool of a library that all sessions of the process share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class SharedPool:
    """Resizes the pool, by the library's function ``resize``, only while nothing runs in it."""

    def __init__(self, resize: Callable[[int], object]) -> None:
        self._resize = resize
        self._threads: int | None = None
        self._lock = threading.RLock()

    @contextmanager
    def hold(self, threads: int | None = None) -> Iterator[None]:
        """Have the pool for the block alone, with ``threads`` threads from now on; None leaves their number."""
        with self._lock:
            if threads is not None and threads != self._threads:
                self._resize(threads)
                self._threads = threads
            yield
