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


def test_arrays_are_made_of_what_is_given():
    session = IdentitySession()
    zeros = FEEDS["image"]

    class Given:
        def __array__(self, dtype=None, copy=None):
            return zeros

    assert session.run({"image": Given()})["restored"] is zeros


def test_a_session_that_is_closed_in_its_own_run_closes_after_it():
    closed = []

    class Closes(IdentitySession):
        def _close(self):
            closed.append(self.asked)

    def stop(image):
        session.close()
        refusal(UsageError, lambda: session.run(FEEDS), "session is closed")
        assert closed == []
        return image

    session = Closes(function=stop)
    assert session.run(FEEDS)["restored"].shape == SHAPE
    session.close()
    assert closed == [1]


def test_a_run_inside_of_a_run_is_refused():
    session = IdentitySession(function=lambda image: session.run(FEEDS)["restored"])
    refusal(UsageError, lambda: session.run(FEEDS), "in a run")


@pytest.mark.parametrize(
    ("wrong", "kind", "said"),
    [({"threads": 1.5}, UsageError, "whole number"), ({"steps": "1"}, UsageError, "whole number"),
     ({"steps": 2}, UsageError, "unrolled"), ({"backend": "onnxruntime"}, UsageError, "not in onnxruntime"),
     ({"mode": THROUGHPUT}, UnavailableError, "CPU only"),
     ({"entry": "encoded"}, UnavailableError, "start at a stage")],
)  # fmt: skip
def test_what_lowered_models_do_not_take_is_refused(wrong, kind, said):
    refusal(kind, lambda: open_session(object(), **wrong), said)


@pytest.mark.slow
def test_lowered_models_know_their_stages_and_take_any_array(light_restorer):
    from elir_edge import lower

    graph = lower(light_restorer)
    refusal(UsageError, lambda: open_session(graph, stages=("nope",)), "no stage called nope")
    pixels = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    with open_session(graph, threads=1) as session:
        expected = session.run({"image": pixels[:, ::-1].copy()})["restored"]
        assert np.array_equal(session.run({"image": pixels[:, ::-1]})["restored"], expected)


def test_an_artifact_without_all_of_its_files_is_told(tmp_path, monkeypatch):
    def fail(*given, **more):
        raise FileNotFoundError(2, "No such file or directory", "decoder.onnx")

    path = tmp_path / "a.onnx"
    path.write_bytes(b"")
    monkeypatch.setattr("elir_edge.runtime.session.is_split_file", fail)
    refusal(DataError, lambda: open_session(path), "incomplete", "decoder.onnx", "copy the whole artifact again")


def test_a_name_that_is_not_utf8_is_refused():
    refusal(UsageError, lambda: open_session("caf\udce9.onnx"), "caf\\udce9.onnx", "not UTF-8")


def test_an_openvino_session_that_is_closed_says_so(tmp_path):
    session = openvino_session(tmp_path)
    session.close()
    refusal(UsageError, session.placement, "closed")


def test_accelerators_of_litert_refuse_stages():
    if get_backend("litert").is_installed():
        module = get_backend("litert").load()
        for stages, entry in ((("encoded",), None), ((), "encoded")):
            refusal(
                UnavailableError,
                lambda s=stages, e=entry: module.open_session(Path("a"), None, s, mode=Mode("GPU"), entry=e),
                "stage",
            )
