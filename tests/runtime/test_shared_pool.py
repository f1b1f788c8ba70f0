"""The pool of threads that sessions share: resized only where needed, and never while another thread computes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait

from elir_edge.runtime.shared_pool import SharedPool


def test_the_pool_is_resized_only_for_another_number():
    asked = []
    pool = SharedPool(asked.append)
    for threads in (None, 2, 2, None, 1, 2):
        with pool.hold(threads):
            pass
    assert asked == [2, 1, 2]


def test_the_pool_is_not_resized_while_another_thread_computes():
    began, may_end, asked = threading.Event(), threading.Event(), []
    pool = SharedPool(asked.append)

    def compute():
        with pool.hold():
            began.set()
            may_end.wait(20)
            return list(asked)

    def resize():
        with pool.hold(2):
            pass

    with ThreadPoolExecutor(2) as threads:
        computing = threads.submit(compute)
        began.wait(20)
        resizing = threads.submit(resize)
        wait([resizing], timeout=0.3)
        may_end.set()
        assert computing.result(20) == []
        resizing.result(20)
    assert asked == [2]
