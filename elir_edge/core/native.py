"""Keep the output of native libraries off the terminal."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import IO, Any

_ONE_AT_A_TIME = threading.RLock()  # the descriptors belong to the whole process


class _StandIn:
    """Stands for ``sys.stdout`` or ``sys.stderr`` while output is captured, and for that stream itself afterwards.

    So it may be kept: a library that is imported gives it to its log handlers.
    """

    def __init__(self, stream: IO[str], captured: IO[str]) -> None:
        self._stream, self._now = stream, captured
        self._thread: int | None = threading.get_ident()
        self._of_others: list[str] = []

    def write(self, text: str) -> int:
        """Write ``text`` to the captured output; what other threads write is kept for ``give_back``."""
        if self._thread in (None, threading.get_ident()):
            return self._now.write(text)
        self._of_others.append(text)
        return len(text)

    def end(self) -> None:
        """Be the stream from now on."""
        self._now, self._thread = self._stream, None

    def give_back(self) -> None:
        """Write to the stream what other threads wrote; it has to be in its place again."""
        if isinstance(self._stream, _StandIn):  # an outer block has not ended
            self._stream._of_others += self._of_others
        elif self._of_others:
            with suppress(OSError, ValueError):
                self._stream.write("".join(self._of_others))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now, name)


@contextmanager
def captured_output() -> Iterator[Callable[[], str]]:
    """Capture file descriptors 1 and 2, Python's streams and its warnings while the block runs.

    What other threads write to ``sys.stdout`` and ``sys.stderr`` comes out at the end; what they write to the
    descriptors, or to streams that they took before, is captured too, and lost. Yields a function that returns the
    output so far; it works inside the block only.
    """
    with _ONE_AT_A_TIME, ExitStack() as stack:
        file = stack.enter_context(_file_for_output())
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        captured = stack.enter_context(open(os.dup(file.fileno()), "w", errors="replace"))  # noqa: PTH123
        streams = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
        stand_ins: dict[Any, Any] = {stream: _StandIn(stream, captured) for stream in streams}
        for stand_in in stand_ins.values():
            stack.callback(stand_in.give_back)
        for descriptor in (1, 2):
            stack.enter_context(_divert(descriptor, file.fileno()))
        for stand_in in stand_ins.values():
            stack.callback(stand_in.end)
        stack.enter_context(redirect_stdout(stand_ins.get(sys.stdout)))
        stack.enter_context(redirect_stderr(stand_ins.get(sys.stderr)))
        yield lambda: _content(file)


def _file_for_output() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError:  # no folder for temporary files can be written to
        return Path(os.devnull).open("w+b")


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
    if stream is not None:
        with suppress(OSError, ValueError):  # nobody reads it, or it is closed: whoever writes next is told
            stream.flush()
