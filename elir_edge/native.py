"""Keeping native libraries' chatter off the user's terminal, and at hand for the error when they fail."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

TAIL_CHARACTERS = 2000


class NativeLog:
    """What was said on stdout and stderr meanwhile."""

    def __init__(self) -> None:
        self.text = ""


@contextmanager
def captured_output() -> Iterator[NativeLog]:
    """Divert file descriptors 1 and 2, and Python's warnings, for as long as the block runs.

    The log's ``text`` holds the last 2000 characters once the block has ended, also where it raised.
    """
    log = NativeLog()
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        saved = [os.dup(1), os.dup(2)]
        try:
            for descriptor in (1, 2):
                os.dup2(file.fileno(), descriptor)
            yield log
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, original in zip((1, 2), saved, strict=True):
                os.dup2(original, descriptor)
                os.close(original)
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_CHARACTERS))
            log.text = file.read().decode(errors="replace")
