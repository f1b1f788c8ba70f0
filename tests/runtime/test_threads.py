"""One session in several threads: each gets the result of its own picture."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from elir_edge import open_session
from elir_edge.errors import UsageError
from elir_edge.runtime.backend import backends_for
from tests.helpers import refusal
from tests.sessions import IdentitySession

THREADS, RUNS = 3, 15


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "openvino", "tflite"])
def test_threads_that_share_a_session_get_their_own_results(target, light_artifact):
    path = light_artifact(target, io="uint8", noise="input").path
    for backend in (backend.name for backend in backends_for(path) if backend.is_installed()):
        with open_session(path, backend) as session:
            feeds = [random_feeds(session, seed) for seed in range(THREADS)]
            expected = [session.run(each)["restored"] for each in feeds]

            def same(number, session=session, feeds=feeds, expected=expected):
                return [np.array_equal(session.run(feeds[number])["restored"], expected[number]) for _ in range(RUNS)]

            with ThreadPoolExecutor(THREADS) as pool:
                found = list(pool.map(same, range(THREADS)))
        assert not np.array_equal(expected[0], expected[1])
        assert np.all(found), (backend, found)


def random_feeds(session, seed):
    rng = np.random.default_rng(seed)
    return {
        tensor.name: rng.integers(0, 256, tensor.shape, np.uint8)
        if tensor.dtype == "uint8"
        else rng.standard_normal(tensor.shape, np.float32)
        for tensor in session.inputs
    }


def test_a_session_is_closed_after_a_run_and_not_in_it():
    began, may_end = threading.Event(), threading.Event()

    def wait(image):
        began.set()
        may_end.wait(20)
        return image

    session = IdentitySession(function=wait)
    feeds = {"image": np.zeros((1, 3, 32, 32), np.float32)}
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(session.run, feeds)
        began.wait(20)
        closing = pool.submit(session.close)
        assert not closing.done() and not running.done()
        may_end.set()
        assert running.result(20)["restored"].shape == (1, 3, 32, 32)
        closing.result(20)
    refusal(UsageError, lambda: session.run(feeds), "closed")
