"""Killing a writer at each of its file operations."""

from __future__ import annotations

import itertools
import os
import signal
import sys

EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "os.listdir", "fcntl.flock")


def survives(work, moment: int) -> bool:
    """Run ``work`` in a forked process that kills itself right before its file operation number ``moment``."""
    child = os.fork()
    if child == 0:
        count = itertools.count(1)

        def hook(event, arguments):
            if event in EVENTS and next(count) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def moments(work):
    """Kill ``work`` at its first operation, its second ... until it gets to its end; gives the number each time."""
    for moment in itertools.count(1):
        if survives(work, moment):
            assert moment > 10, "the writer was not killed at all"
            return
        yield moment
