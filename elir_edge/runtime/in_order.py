"""One function over many items in several sessions at once, results in the order of the items."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

Runner = TypeVar("Runner")
Item = TypeVar("Item")
Result = TypeVar("Result")


def run_in_order(
    function: Callable[[Runner, Item], Result], items: Iterable[Item], runners: Sequence[Runner]
) -> Generator[tuple[Item, Result], None, None]:
    """(item, function(runner, item)) for each item, in order.

    Each of ``runners``, mostly sessions, runs one item at a time, in a thread. One item more than there are of them
    waits to be run, so that the caller reads and writes while they run. Raises what ``function`` or ``items`` raise.
    """
    free: SimpleQueue[Runner] = SimpleQueue()
    for runner in runners:
        free.put(runner)

    def call(item: Item) -> Result:
        runner = free.get()
        try:
            return function(runner, item)
        finally:
            free.put(runner)

    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(len(runners)) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(call, item)))
                if len(waiting) > len(runners) + 1:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        finally:
            for _, future in waiting:
                future.cancel()
