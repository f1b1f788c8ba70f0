"""One function over many items in several sessions at once, results in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from elir_edge.runtime.base import Session

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_in_order(
    function: Callable[[Session, Item], Result], items: Iterable[Item], sessions: Sequence[Session]
) -> Generator[tuple[Item, Result], None, None]:
    """(item, function(session, item)) for each item, in order.

    Each session runs one item at a time, in a thread. One item more than there are sessions waits to be run, so that
    the caller reads and writes while the sessions run. Raises what ``function`` or ``items`` raise.
    """
    free: SimpleQueue[Session] = SimpleQueue()
    for session in sessions:
        free.put(session)

    def call(item: Item) -> Result:
        session = free.get()
        try:
            return function(session, item)
        finally:
            free.put(session)

    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(len(sessions)) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(call, item)))
                if len(waiting) > len(sessions) + 1:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
