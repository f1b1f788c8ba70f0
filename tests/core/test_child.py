"""Child processes: answers, errors, crashes, and what each becomes in the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import elir_edge
from elir_edge import errors
from elir_edge.core.child import Child, ChildError, child_command, describe_end, job_line, run_child
from elir_edge.core.child_side import error_as_data
from elir_edge.errors import (
    DataError,
    ElirEdgeError,
    GateError,
    LockedError,
    MissingInputError,
    ResourceError,
    UnavailableError,
)
from tests.helpers import child_environment, refusal

ANSWERS = "tests.core.answers"
PARENT = """
import time
from elir_edge.core.child import Child
child = Child("tests.core.answers:converse", {"start": 5}, "it")
print(child.pid, flush=True)
time.sleep(600)
"""


def call(name, request, **options):
    return run_child(f"{ANSWERS}:{name}", request, "a.onnx: trying it", **options)


def test_a_function_answers_whatever_it_prints():
    reply = call("echo", {"text": "ü🏔\udcff", "number": 0.1, "none": None})
    assert reply.answer["text"] == "ü🏔\udcff" and reply.answer["number"] == 0.1 and reply.answer["none"] is None
    assert "chatter on stdout" in reply.said and "chatter on stderr" in reply.said


def test_the_child_runs_this_very_package_and_nothing_of_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("json.py", "numpy.py", "elir_edge.py"):
        (tmp_path / name).write_text("open('canary', 'w')\n")
    assert call("echo", {}).answer["folder"] != str(tmp_path)
    where = run_child(f"{ANSWERS}:where_the_package_is", {}, "it").answer
    assert where == {"file": elir_edge.__file__, "numpy": np.__file__}
    assert not (tmp_path / "canary").exists()


ALL = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ElirEdgeError)]


@pytest.mark.parametrize("kind", [DataError, UnavailableError, LockedError, GateError])
def test_an_error_comes_back_as_what_it_was(kind):
    error = refusal(kind, lambda: call("fail", {"kind": kind.__name__}), "a.onnx: no good", "do this")
    assert error.exit_code == kind.exit_code


def test_every_error_of_the_project_keeps_its_kind_as_data():
    class Special(DataError):
        """Of somebody else's making."""

    for kind in ALL:
        assert error_as_data(kind("x", "y")) == {"kind": kind.__name__, "message": "x", "hint": "y"}
    assert error_as_data(Special("x"))["kind"] == "DataError"
    assert error_as_data(MemoryError())["kind"] == "ResourceError"


def test_an_unforeseen_error_names_what_was_tried():
    refusal(DataError, lambda: call("fail", {"kind": "other"}), "a.onnx: trying it", "ZeroDivisionError: by nothing")
    refusal(DataError, lambda: call("nowhere", {}), "a.onnx: trying it", "nowhere")


@pytest.mark.parametrize("number, name", [(11, "SIGSEGV"), (6, "SIGABRT"), (9, "SIGKILL")])
def test_a_crash_names_file_signal_and_fix(number, name):
    error = refusal(
        ChildError,
        lambda: call("die", {"signal": number}, hint="copy it again"),
        "a.onnx: trying it",
        f"died (signal {number}, {name})",
        "last words",
        "copy it again",
    )
    assert isinstance(error, DataError) and error.exit_code == 65
    assert error.said == "last words\n"


def test_an_exit_without_an_answer_names_the_status():
    refusal(ChildError, lambda: call("die", {"status": 3}), "a.onnx", "without an answer (status 3): last words")
    assert "0xc0000005" in describe_end(0xC0000005, "")


def test_a_hang_is_ended():
    began = time.perf_counter()
    refusal(ChildError, lambda: call("sleep", {}, timeout=1), "a.onnx: trying it: no answer within 1 s")
    assert time.perf_counter() - began < 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux is sure to limit a process's memory")
def test_memory_can_be_limited():
    assert call("take", {"bytes": 1 << 20}, memory_bytes=1 << 30).answer == {"bytes": 1 << 20}
    refusal(ResourceError, lambda: call("take", {"bytes": 2 << 30}, memory_bytes=1 << 30), "not enough memory")


def test_a_conversation():
    child = Child(f"{ANSWERS}:converse", {"start": 5}, "it")
    try:
        assert child.greeting == {"hello": True}
        assert [child.ask({"add": number})["total"] for number in (1, 2)] == [6, 8]
        refusal(MissingInputError, lambda: child.ask({}), "it: nothing to add", "give add")
        refusal(ChildError, lambda: child.ask({"add": 1}), "it: its process ended")
    finally:
        child.close()
        child.close()


def test_a_conversation_that_cannot_begin():
    refusal(ChildError, lambda: Child(f"{ANSWERS}:die", {"status": 4}, "it"), "it: ", "status 4")
    refusal(DataError, lambda: Child(f"{ANSWERS}:fail", {"kind": "other"}, "it"), "it: ZeroDivisionError")


def state_of(pid):
    """The letter for a process's state, as in ps: T where it is stopped; None where it is gone, or only its entry."""
    try:
        letter = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if letter in "ZX" else letter


def wait_for(condition):
    """Wait until ``condition`` holds, 20 s at most; returns whether it does."""
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_child_that_stands_still_ends_with_a_parent_that_is_killed():
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=child_environment()) as parent:
        try:
            child = int(parent.stdout.readline())
            assert wait_for(lambda: state_of(child) == "T")
        finally:
            parent.kill()
    try:
        assert wait_for(lambda: state_of(child) is None), "it is still there"
    finally:
        if state_of(child):
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_child_whose_parent_is_gone_when_it_begins_ends_at_once():
    asked = job_line(f"{ANSWERS}:echo", {"text": "still here"}, parent=os.getppid())
    done = subprocess.run(child_command(), input=asked, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "")
