"""The exit status of a command whose work a signal interrupted at an awkward moment."""

from __future__ import annotations

import os
import signal

import click
import pytest

from elir_edge import cli
from elir_edge.cli import run


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
