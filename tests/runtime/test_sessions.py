"""What every session checks before it runs, once or many times, and what ``open_session`` refuses at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elir_edge import open_session
from elir_edge.errors import DataError, DeviceError, UnavailableError, UsageError
from elir_edge.runtime.backend import get_backend
from elir_edge.runtime.mode import Mode
from tests.helpers import refusal
from tests.sessions import IdentitySession

SHAPE = (1, 3, 32, 32)
FEEDS = {"image": np.zeros(SHAPE, np.float32)}
THROUGHPUT = Mode(hint="throughput")


def openvino_session(folder: Path):
    """A session for throughput on a graph of one ReLU."""
    openvino = pytest.importorskip("openvino")
    ops = openvino.opset13
    given = ops.parameter(SHAPE, np.float32, name="image")
    made = ops.relu(given, name="restored")
    for node, name in ((given, "image"), (made, "restored")):
        node.output(0).set_names({name})
    openvino.save_model(openvino.Model([made], [given]), folder / "relu.xml", compress_to_fp16=False)
    return open_session(folder / "relu.xml", "openvino", threads=1, mode=THROUGHPUT)


@pytest.fixture(params=["identity", "openvino"])
def session(request, tmp_path):
    return IdentitySession() if request.param == "identity" else openvino_session(tmp_path)


def test_many_runs_are_checked_as_one_is(session):
    session.run_many(FEEDS, 3)
    wrong = [{}, {"picture": FEEDS["image"]}, {"image": np.zeros(SHAPE)}, {"image": np.zeros((1, 3, 8, 8), np.float32)}]
    for feeds in wrong:
        for call in (session.run, lambda feeds: session.run_many(feeds, 2)):
            refusal(UsageError, lambda f=feeds, c=call: c(f), "image")
    session.close()
    for call in (session.run, lambda feeds: session.run_many(feeds, 2)):
        refusal(UsageError, lambda c=call: c(FEEDS), "session is closed")


def test_many_runs_that_fail_are_an_error_of_ours():
    session = IdentitySession(function=lambda image: 1 // 0)
    refusal(DataError, lambda: session.run_many(FEEDS, 2), "identity failed to run the artifact")


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_below_one_is_refused(tmp_path, threads):
    (tmp_path / "a.onnx").write_bytes(b"")
    refusal(UsageError, lambda: open_session(tmp_path / "a.onnx", threads=threads), f"threads is {threads}", "or None")


def test_split_artifacts_have_no_throughput(tmp_path):
    if not get_backend("openvino").is_installed():
        pytest.skip("no runtime with modes")
    (tmp_path / "a.split").mkdir()
    (tmp_path / "a.split" / "step.xml").write_text("")
    refusal(
        *(UnavailableError, lambda: open_session(tmp_path / "a.split", "openvino", mode=THROUGHPUT)),
        *("one picture at a time", "without --split"),
    )


def test_runtimes_tell_a_missing_device_from_another_reason():
    for name in ("onnxruntime", "litert"):
        if get_backend(name).is_installed():
            backend = get_backend(name).load()
            refusal(DeviceError, lambda b=backend: b.open_session(Path("a"), None, (), mode=Mode("NoSuch")), "NoSuch")
