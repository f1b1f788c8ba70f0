"""Standard streams that are closed or cannot be written: work goes on without what it would have said there."""

from __future__ import annotations

import contextlib
import io
import os
import sys

NAMES = ("stdin", "stdout", "stderr")


def open_what_is_closed() -> None:
    """Put the null device where a standard stream is closed: else the next file opened would get its number."""
    for number, name in enumerate(NAMES):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(number, mode, errors="backslashreplace", closefd=False))  # noqa: SIM115


def silence(number: int) -> None:
    """Send what else is written to a descriptor to the null device."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


class Remarks(io.TextIOBase):
    """Text for people on a descriptor of its own, unbuffered: what cannot be written is dropped."""

    def __init__(self, descriptor: int, encoding: str) -> None:
        self._descriptor, self._encoding = descriptor, encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the text; what it lacks is written as escapes."""
        return self._encoding

    def write(self, text: str) -> int:
        """Write all of ``text``, or as much as the system takes."""
        data = memoryview(text.encode(self._encoding, errors="backslashreplace"))
        with contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]
        return len(text)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether a person may be looking."""
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        """True."""
        return True

    def close(self) -> None:
        """Close the descriptor too."""
        if not self.closed:
            super().close()
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
