"""How commands are run: the exit status after a signal at an awkward moment, and threads that leave cores to others."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import weakref

import click
import pytest

from elir_edge import cli
from elir_edge.cli import run
from elir_edge.cli.shared import Shown
from elir_edge.core import watch as watch_module


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_a_native_module_made_another_error_of_is_still_a_signal(number, status, monkeypatch, capsys):
    @click.command
    def command() -> None:
        try:
            os.kill(os.getpid(), number)
        except BaseException as swallowed:  # as native modules do it that are being imported
            raise ImportError("generic_type: already registered") from swallowed

    monkeypatch.setattr(cli, "group", command)
    assert run([]) == status
    assert "nothing was left half done" in capsys.readouterr().err


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_that_a_library_swallowed_ends_the_work_with_its_stage(number, status, monkeypatch, capsys):
    reached = []

    @click.command
    def command() -> None:
        with Shown().stage("lowering"):
            with contextlib.suppress(BaseException):  # as a converter with a bare except does it
                os.kill(os.getpid(), number)
            reached.append("the end of the stage")
        reached.append("the next stage")

    monkeypatch.setattr(cli, "group", command)
    assert run([]) == status
    assert reached == ["the end of the stage"]
    assert "nothing was left half done" in capsys.readouterr().err


def test_a_signal_that_python_swallowed_is_not_reported_as_an_error(monkeypatch, capfd):
    class Thing:
        """Weak references to it can be made."""

    @click.command
    def command() -> None:
        with Shown().stage("lowering"):
            thing = Thing()
            reference = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
            del thing
            assert reference() is None

    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)  # in the place of pytest's
    monkeypatch.setattr(cli, "group", command)
    assert run([]) == 143
    assert "Traceback" not in capfd.readouterr().err


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
