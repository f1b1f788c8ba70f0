"""Output that is captured: what libraries keep of it, what other threads write, and streams that fail."""

from __future__ import annotations

import io
import logging
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from elir_edge.core.native import captured_output


def test_a_log_handler_that_is_made_inside_works_afterwards(capsys):
    with captured_output() as said:
        handler = logging.StreamHandler()
        handler.emit(logging.makeLogRecord({"msg": "inside"}))
        assert "inside" in said()
    handler.emit(logging.makeLogRecord({"msg": "afterwards"}))
    assert capsys.readouterr().err == "afterwards\n"


def test_what_other_threads_print_comes_out_at_the_end(capsys):
    with ThreadPoolExecutor(1) as pool, captured_output(), captured_output() as said:
        sys.stdout.write("ours\n")
        pool.submit(print, "of another thread").result(20)
        assert said() == "ours\n"
    assert capsys.readouterr().out == "of another thread\n"


def test_output_is_dropped_where_no_temporary_file_can_be_made(monkeypatch, capfd):
    def fail():
        raise FileNotFoundError("no usable temporary directory")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    with captured_output() as said:
        sys.stdout.write("inside\n")
        assert said() == ""
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("error", [BrokenPipeError("nobody reads"), ValueError("it is closed")])
def test_a_stream_that_cannot_be_flushed_stops_nothing(monkeypatch, error):
    class Gone(io.StringIO):
        def flush(self):
            raise error

    monkeypatch.setattr(sys, "stdout", Gone())
    with captured_output() as said:
        sys.stdout.write("inside\n")
        assert said() == "inside\n"
