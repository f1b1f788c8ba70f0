"""Keep the output of native libraries off the terminal."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import IO

_ONE_AT_A_TIME = threading.RLock()  # the descriptors belong to the whole process


@contextmanager
def captured_output() -> Iterator[Callable[[], str]]:
    """Capture file descriptors 1 and 2, Python's streams and its warnings while the block runs.

    Yields a function that returns the output so far; it works inside the block only.
    """
    with _ONE_AT_A_TIME, ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for descriptor in (1, 2):
            stack.enter_context(_divert(descriptor, file.fileno()))
        stream = stack.enter_context(open(os.dup(file.fileno()), "w", errors="replace"))  # noqa: PTH123
        stack.enter_context(redirect_stdout(stream))
        stack.enter_context(redirect_stderr(stream))
        yield lambda: _content(file)


@contextmanager
def _divert(descriptor: int, target: int) -> Iterator[None]:
    stream = sys.stdout if descriptor == 1 else sys.stderr
    try:
        original = os.dup(descriptor)
    except OSError:  # closed by whoever started this process
        yield
        return
    _flush(stream)
    os.dup2(target, descriptor)
    try:
        yield
    finally:
        _flush(stream)
        os.dup2(original, descriptor)
        os.close(original)


def _content(file: IO[bytes]) -> str:
    for stream in (sys.stdout, sys.stderr):
        _flush(stream)
    if hasattr(os, "pread"):  # it leaves alone the position at which the diverted descriptors go on writing
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
    file.seek(0)
    return file.read().decode(errors="replace")  # up to the end, where they go on


def _flush(stream: IO[str] | None) -> None:
    if stream is sys.stderr:
        with contextlib.suppress(OSError):  # remarks that cannot be written are no reason to stop
            stream.flush()
    elif stream is not None:
        stream.flush()
