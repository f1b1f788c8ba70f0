"""How commands are run: the exit status after a signal at an awkward moment, and threads that leave cores to others."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from elir_edge import cli
from elir_edge.cli import died
from elir_edge.core import watch as watch_module
from elir_edge.core.watch import Ending
from elir_edge.errors import DataError
from elir_edge.runtime import backend as backend_module
from elir_edge.runtime.backend import Backend
from tests.helpers import child_environment, heed_signals

# Each runs in a process of its own: a signal that nobody handles would end the test run.
ANOTHER_ERROR = """
def command():
    try:
        os.kill(os.getpid(), NUMBER)
    except BaseException as swallowed:  # as native modules do it that are being imported
        raise ImportError("generic_type: already registered") from swallowed
"""
SWALLOWED = """
def command():
    with Shown().stage("lowering"):
        with contextlib.suppress(BaseException):  # as a converter with a bare except does it
            os.kill(os.getpid(), NUMBER)
        print("the end of the stage")
    print("the next stage")
"""
IN_A_CALLBACK = """
class Thing: pass

def command():
    with Shown().stage("lowering"):
        thing = Thing()
        reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), NUMBER))
        del thing  # Python swallows what the callback raises
        print("the end of the stage")
    print("the next stage")
"""
RUN = """
import contextlib, os, sys, weakref
import click
from elir_edge import cli
from elir_edge.cli.shared import Shown
%s
cli.group = click.command(command)
sys.exit(cli.run([]))
"""


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("command, reached", [
    (ANOTHER_ERROR, ""),
    (SWALLOWED, "the end of the stage"),
    (IN_A_CALLBACK, "the end of the stage"),
])  # fmt: skip
def test_a_signal_whose_error_does_not_arrive_ends_the_command_all_the_same(command, reached, number, status):
    script = RUN % command.replace("NUMBER", str(int(number)))
    done = subprocess.run(
        [sys.executable, "-c", script], env=child_environment(), capture_output=True, text=True, timeout=60,
        preexec_fn=heed_signals,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip()) == (status, reached), done.stderr
    assert "nothing was left half done" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("command, given, policy", [
    ("restore", {}, "passive"),
    ("restore", {"OMP_WAIT_POLICY": "active"}, "active"),
    ("bench", {}, "unset"),
])  # fmt: skip
def test_threads_that_wait_sleep_except_where_pytorch_is_timed(command, given, policy, monkeypatch, capfd):
    script = "import os, sys; print(os.environ.get('OMP_WAIT_POLICY', 'unset')); sys.stdout.flush(); os._exit(0)"
    monkeypatch.setattr(watch_module, "WATCHED", script)
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["elir-edge", command, "nothing.onnx"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capfd.readouterr().out.split() == [policy]


@pytest.mark.parametrize("name", ["a.onnx", "a.split", "a.program", "photo.png"])
def test_a_runtime_that_dies_on_an_artifact_names_it(name, tmp_path, monkeypatch):
    """Split artifacts, and those of other packages' backends, too."""
    theirs = Backend("theirs", (".program",), "theirs", "theirs", "theirs")
    monkeypatch.setattr(backend_module, "backends", lambda: {own.name: own for own in (*backend_module.OWN, theirs)})
    monkeypatch.setattr(died, "address_limit", lambda: None)
    (tmp_path / name).mkdir()
    error = died.how_it_died(Ending(None, -signal.SIGSEGV, None), ["verify", str(tmp_path / name)])
    assert isinstance(error, DataError) == (name != "photo.png")
    assert (name in str(error)) == (name != "photo.png")
